"""Whether a host is back: asked while requests wait, and what becomes of them."""

import asyncio

import pytest

from gateway.keypool import SUCCESS, Key, LeaseRequest
from gateway.keypool.breaker import FAILURES_TO_OPEN
from gateway.secret import Secret
from gateway.service.probing import PROBE_PATH, Prober
from gateway.upstream.client import upstream_client
from gateway.upstream.hosts import endpoint
from gateway.upstream.limits import TimeLimits
from tests.gateway.test_dispatch import Place, turns
from tests.scenarios.harness import PATH, asking, no_lease_is_out, quick_gateway
from tests.support import messages
from tests.support.gateway import PoolConfig, config_for, key, with_settings
from tests.support.pools import MODEL, fail, failed, name_of, pool_of, state_of
from tests.support.scripted import (
    Answer,
    Reset,
    ScriptedUpstream,
    Silence,
    error_answer,
    json_answer,
)
from translators.errors import ErrorKind

UNREACHABLE, OVERLOADED = failed(ErrorKind.UNREACHABLE), failed(ErrorKind.OVERLOADED)


def request() -> LeaseRequest:
    return LeaseRequest(MODEL, blamed=[])


def down(*keys: Key | str) -> tuple[Place, LeaseRequest]:
    """A place whose host of `a` is left alone, and the request that has seen to that."""
    place, own = Place(pool_of(*keys or ("a",))), request()
    for lease_request in [*(request() for _ in range(FAILURES_TO_OPEN - 1)), own]:
        fail(place.pool, place.clock.now, UNREACHABLE, only="a", lease_request=lease_request)
    return place, own


async def test_a_host_is_asked_about_while_somebody_waits_and_once_at_a_time() -> None:
    place, own = down()
    idle = place.dispatcher.down_hosts()
    waiter = place.waiting(own)
    await turns()
    ((host, name),) = place.dispatcher.down_hosts()
    meanwhile = place.dispatcher.down_hosts()
    place.dispatcher.host_probed(host, is_well=False)
    await turns()
    is_waiting = not waiter.done()
    again = place.dispatcher.down_hosts()
    waiter.cancel()

    assert (idle, name, meanwhile) == ([], "a", [])
    assert is_waiting
    assert again == [(host, "a")]


async def test_who_has_opened_the_breaker_tries_once_its_host_has_answered() -> None:
    place, own = down()
    waiter = place.waiting(own)
    await turns()
    place.dispatcher.host_probed(state_of(place.pool, "a").host, is_well=True)

    assert name_of(await asyncio.wait_for(waiter, 5)) == "a"


async def test_a_host_that_answers_while_a_request_tries_it_lets_all_pass() -> None:
    place, own = down()
    host = state_of(place.pool, "a").host
    waiters = [place.waiting(own), *(place.waiting(request()) for _ in range(2))]
    await turns()
    place.dispatcher.host_probed(host, is_well=True)
    await turns()
    trying = [waiter.done() for waiter in waiters]
    place.dispatcher.host_probed(host, is_well=True)
    leases = [await asyncio.wait_for(waiter, 5) for waiter in waiters]

    assert sum(trying) == 1
    assert [name_of(lease) for lease in leases] == ["a"] * 3


async def test_a_host_that_answers_only_what_costs_nothing_is_tried_by_one_at_a_time() -> None:
    place, own = down()
    host = state_of(place.pool, "a").host
    place.pool.host_probed(host, is_well=True, now=place.clock.now)
    fail(place.pool, place.clock.now, UNREACHABLE, lease_request=own)

    assert place.pool.acquire(place.clock.now, request()) is None
    assert place.pool.acquire(place.clock.now, own) is None


def test_a_host_that_is_well_or_overloaded_is_not_asked_about() -> None:
    well, overloaded = pool_of("a"), pool_of("a")
    fail(well, 100, SUCCESS)
    for _ in range(FAILURES_TO_OPEN):
        fail(overloaded, 100, OVERLOADED)

    assert well.down_hosts() == overloaded.down_hosts() == []


async def test_a_rejected_key_is_not_asked_with() -> None:
    pool = pool_of("a", "b")
    fail(pool, 100, failed(ErrorKind.KEY_REJECTED), only="a")
    for _ in range(FAILURES_TO_OPEN):
        fail(pool, 100, UNREACHABLE, only="b")

    assert [name for _, name in pool.down_hosts()] == ["b"]


@pytest.mark.parametrize(
    ("answer", "is_well"),
    [
        (json_answer(200, {"data": []}), True),
        (error_answer(401, "authentication_error", "No."), True),
        (error_answer(503, "api_error", "No."), False),
        (Answer((Reset(),)), False),
        (Answer((Silence(),)), False),
    ],
    ids=["list", "refused", "unavailable", "reset", "silent"],
)
async def test_a_host_is_back_when_it_answers(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, answer: Answer, is_well: bool
) -> None:
    monkeypatch.setattr("gateway.service.probing.HOST_PROBE_SECONDS", 0.3)
    upstream.models(answer)
    place, _ = down()
    host = state_of(place.pool, "a").host
    host.is_probed = True
    found = endpoint("a", Secret("sk-ant-a"), upstream.base_url)
    network = upstream_client(TimeLimits(5, 5, 5))
    try:
        await Prober(place.dispatcher, lambda: {"a": found}).probe_host(host, "a", network)
    finally:
        await network.close()

    assert not host.is_probed
    assert (place.pool.acquire(place.clock.now, request()) is not None) is is_well
    (asked,) = upstream.model_requests
    assert asked.path == PROBE_PATH


async def test_requests_that_wait_are_answered_when_the_only_host_is_back(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.service.probing._INTERVAL_SECONDS", 0.1)
    is_down = True
    upstream.always(lambda _: Answer((Reset(),)) if is_down else json_answer(200, messages.message()))
    upstream.models(lambda _: Answer((Reset(),)) if is_down else json_answer(200, {"data": []}))
    config = with_settings(config_for(key(upstream.base_url)), pool=PoolConfig(queue_timeout_seconds=60.0))
    async with quick_gateway(config=config) as running:
        http = running.http()
        asked = [asyncio.create_task(http.post(PATH, json=asking(str(number)))) for number in range(8)]
        at_start = len(upstream.model_requests)
        async with asyncio.timeout(60):
            while len(upstream.model_requests) < at_start + 4:  # noqa: ASYNC110 - nobody tells the test
                await asyncio.sleep(0.01)
        received = len(upstream.received)
        is_down = False
        answers = await asyncio.wait_for(asyncio.gather(*asked), 60)
        await no_lease_is_out(running)

    # Nobody has to try in vain while it is down, but for a request now and then.
    assert received <= 8 * 3
    assert [answer.status_code for answer in answers].count(200) >= 1
