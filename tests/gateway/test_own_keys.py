"""What is remembered of keys that callers bring: until when they may not be used, by digests, and bounded."""

from typing import Any

import pytest

from gateway.keypool import SUCCESS, LeaseRequest
from gateway.service.own_keys import MAX_CLASSES, OwnLimits
from tests.scenarios.harness import PATH, asking, assert_error, quick_gateway, without_pauses
from tests.scenarios.native_harness import PATH as NATIVE_PATH
from tests.scenarios.native_harness import asking_natively
from tests.support import messages
from tests.support.gateway import config_for
from tests.support.pools import MODEL, OTHER, failed
from tests.support.scripted import ScriptedUpstream, error_answer, json_answer
from translators.errors import ErrorKind

MINE, YOURS = b"digest of mine", b"digest of yours"


class Owner:
    """Requests with callers' own keys, at moments that the test says."""

    def __init__(self, **more: int) -> None:
        self.now = 100.0
        self.limits = OwnLimits(**more)

    def clock(self) -> float:
        return self.now

    def meets_429(self, digest: bytes = MINE, model: str = MODEL, seconds: float | None = 20.0) -> None:
        dispatcher = self.limits.dispatcher("caller", digest, self.clock)
        lease = dispatcher.acquire(LeaseRequest(model))
        assert lease is not None
        dispatcher.answered(lease, {}, 429)
        dispatcher.release(lease, failed(ErrorKind.RATE_LIMITED, seconds))

    def may_ask(self, digest: bytes = MINE, model: str = MODEL) -> bool:
        return self.limits.dispatcher("caller", digest, self.clock).acquire(LeaseRequest(model)) is not None


def test_a_429_is_remembered_for_its_key_and_class_of_models_until_its_time() -> None:
    owner = Owner()
    owner.meets_429()
    others = (owner.may_ask(YOURS), owner.may_ask(model=OTHER))
    owner.now = 119.9
    early = owner.may_ask()
    owner.now = 120.0

    assert others == (True, True)
    assert not early
    assert owner.may_ask()
    assert not len(owner.limits)


def test_whatever_else_becomes_of_a_request_is_not_remembered() -> None:
    owner = Owner()
    for outcome in (SUCCESS, failed(ErrorKind.UNREACHABLE), failed(ErrorKind.MODEL_REFUSED)):
        dispatcher = owner.limits.dispatcher("caller", MINE, owner.clock)
        lease = dispatcher.acquire(LeaseRequest(MODEL))
        assert lease is not None
        dispatcher.release(lease, outcome)

    assert not len(owner.limits)


def test_what_is_remembered_is_bounded_in_keys_and_classes() -> None:
    owner = Owner(max_keys=3)
    for number in range(5):
        owner.meets_429(b"%d" % number)
    kept = [number for number in range(5) if not owner.may_ask(b"%d" % number)]
    for number in range(MAX_CLASSES + 2):
        owner.meets_429(b"4", f"invented-{number}")

    assert kept == [2, 3, 4]
    assert owner.may_ask(b"4", "invented-0")
    assert not owner.may_ask(b"4", f"invented-{MAX_CLASSES + 1}")


def test_keys_whose_time_is_over_leave_when_others_come() -> None:
    owner = Owner()
    owner.meets_429(b"1", seconds=5)
    owner.now += 6
    owner.meets_429(b"2")

    assert len(owner.limits) == 1


@pytest.mark.parametrize("path", [PATH, NATIVE_PATH])
async def test_upstream_is_not_asked_again_before_the_time_that_it_has_told(
    upstream: ScriptedUpstream, path: str
) -> None:
    upstream.script(
        error_answer(429, "rate_limit_error", "Too fast.", headers={"retry-after": "20"}),
        json_answer(200, messages.message()),
    )
    body: dict[str, Any] = asking() if path == PATH else asking_natively()
    async with quick_gateway(config=config_for(), callers_base_url=upstream.base_url) as running:
        clock = without_pauses(running)
        http = running.http()
        mine = {"authorization": "Bearer sk-ant-mine-of-this-test"}
        first, second = [await http.post(path, json=body, headers=mine) for _ in range(2)]
        asked = len(upstream.received)
        clock.now += 20
        third = await http.post(path, json=body, headers=mine)

    assert [first.status_code, second.status_code, third.status_code] == [429, 429, 200]
    assert second.headers["retry-after"] == "20"
    assert asked == 1
    assert "Your key is at its rate limit" in second.text
    if path == PATH:
        assert_error(second, 429, "rate_limit_error", "rate_limit_exceeded")
