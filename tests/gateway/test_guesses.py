"""Wrong keys: counted by address, slowed down, and told in the log; right ones are served whatever else comes."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from gateway.accounts import guesses
from gateway.accounts.guesses import BURST, MOST_ADDRESSES, MOST_LINES, PAUSE_SECONDS, Guesses
from gateway.config import AdminConfig
from gateway.edge import outermost as middleware
from tests.scenarios.harness import PATH, Clock, asking, assert_error, quick_gateway
from tests.support import messages
from tests.support.gateway import (
    ClientConfig,
    Config,
    RunningGateway,
    Secret,
    ServerConfig,
    config_for,
    key,
    with_settings,
)
from tests.support.scripted import ScriptedUpstream, json_answer
from translators.errors import ErrorKind

RIGHT = "the-right-key-0123456789"
ADMIN = "the-admins-key-0123456789"
TOO_MANY = ErrorKind.TOO_MANY_WRONG_KEYS
Log = Callable[[], str]


def scope(address: str) -> dict[str, Any]:
    return {"type": "http", "dragoman.address": address}


def kinds(counted: Guesses, *addresses: str) -> list[ErrorKind]:
    return [counted.refusal(scope(address), "No.").failure.kind for address in addresses]


async def test_a_burst_is_a_mistake_and_what_follows_has_to_wait() -> None:
    clock = Clock()
    counted = Guesses(clock)
    burst = kinds(counted, *["203.0.113.5"] * BURST)
    refused = counted.refusal(scope("203.0.113.5"), "No.").failure
    clock.now += PAUSE_SECONDS
    later = kinds(counted, *["203.0.113.5"] * 2)

    assert burst == [ErrorKind.WRONG_KEY] * BURST
    assert (refused.kind, refused.retry_after_seconds) == (TOO_MANY, PAUSE_SECONDS)
    assert later == [ErrorKind.WRONG_KEY, TOO_MANY]


async def test_addresses_are_counted_apart_but_not_those_of_one_network_of_ipv6() -> None:
    counted = Guesses(Clock())
    kinds(counted, *["203.0.113.5"] * BURST)
    kinds(counted, *[f"2001:db8::{number:x}" for number in range(BURST)])

    assert kinds(counted, "203.0.113.5", "203.0.113.6") == [TOO_MANY, ErrorKind.WRONG_KEY]
    assert kinds(counted, "2001:db8::ffff", "2001:db8:0:1::1") == [TOO_MANY, ErrorKind.WRONG_KEY]


async def test_the_table_is_bounded_and_nothing_is_lost_of_the_count(read_log: Log) -> None:
    counted = Guesses(Clock())
    addresses = [f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(MOST_ADDRESSES + 100)]
    kinds(counted, *addresses, addresses[-1])
    counted.report()
    lines = re.findall(r"Wrong keys were sent (?:from many other addresses|address=(\S+)) count=(\d+)", read_log())

    assert len(counted._guessers) == MOST_ADDRESSES
    assert lines[0] == (addresses[-1], "2")
    assert len(lines) == MOST_LINES + 1
    assert sum(int(count) for _, count in lines) == MOST_ADDRESSES + 101


async def test_the_log_has_one_line_an_address_in_some_seconds(read_log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses, "REPORT_SECONDS", 0.01)
    counted = Guesses(Clock())
    kinds(counted, *["203.0.113.5"] * 1_000, "203.0.113.6")
    asyncio.get_running_loop().call_later(0.05, (later := asyncio.Event()).set)
    await later.wait()

    assert re.findall(r"warning Wrong keys were sent (.*)", read_log()) == [
        "address=203.0.113.5 count=1000",
        "address=203.0.113.6 count=1",
    ]
    counted.report()
    assert read_log().count("Wrong keys") == 2


# A gateway that is asked


def guarded(upstream: ScriptedUpstream) -> Config:
    upstream.always(json_answer(200, messages.message()))
    config = config_for(key(upstream.base_url), clients=[ClientConfig(name="app", api_key=Secret(RIGHT))])
    server = ServerConfig(port=0, trusted_proxies=("127.0.0.0/8",))
    return with_settings(config, admin=AdminConfig(api_key=Secret(ADMIN)), server=server)


async def guess(running: RunningGateway, times: int, path: str = "/v1/models", **headers: str) -> list[int]:
    http = running.http()
    answers = [await http.get(path, headers={"x-api-key": f"wrong-{n}", **headers}) for n in range(times)]
    return [answer.status_code for answer in answers]


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """For how long answers would have been held back."""
    seconds: list[float] = []

    async def note(pause: float) -> None:
        seconds.append(pause)

    monkeypatch.setattr(middleware, "_pause", note)
    return seconds


async def test_who_guesses_is_slowed_down_and_who_has_the_key_is_served(
    upstream: ScriptedUpstream, held: list[float]
) -> None:
    async with quick_gateway(config=guarded(upstream)) as running:
        statuses = await guess(running, BURST + 5)
        limited = await running.http().post(PATH, json=asking(), headers={"x-api-key": "another-wrong-one-0123"})
        native = await running.http().post("/v1/messages", json={}, headers={"x-api-key": "another-wrong-one-0123"})
        served = await running.http().post(PATH, json=asking(), headers={"x-api-key": RIGHT})

    error = assert_error(limited, 429, "rate_limit_error", "too_many_wrong_keys")
    assert statuses == [401] * BURST + [429] * 5
    assert "another-wrong-one" not in error["message"]
    assert 1 <= int(limited.headers["retry-after"]) <= PAUSE_SECONDS
    assert limited.headers["x-should-retry"] == "false"
    assert (native.status_code, native.json()["error"]["type"]) == (429, "rate_limit_error")
    assert served.status_code == 200
    assert held == [middleware.HOLD_SECONDS] * 7


async def test_guesses_at_the_admins_key_count_as_well(upstream: ScriptedUpstream, held: list[float]) -> None:
    async with quick_gateway(config=guarded(upstream)) as running:
        statuses = await guess(running, BURST, "/admin/pool")
        more = await guess(running, 1, "/admin/store") + await guess(running, 1)
        admin = await running.http().get("/admin/pool", headers={"x-api-key": ADMIN})

    assert statuses == [401] * BURST
    assert more == [429, 429]
    assert admin.status_code == 200


async def test_behind_a_trusted_proxy_clients_are_counted_apart(
    upstream: ScriptedUpstream, held: list[float], read_log: Log
) -> None:
    async with quick_gateway(config=guarded(upstream)) as running:
        many = await guess(running, BURST + 1, **{"x-forwarded-for": "6.6.6.6, 203.0.113.5"})
        other = await guess(running, 1, **{"x-forwarded-for": "203.0.113.5, 203.0.113.6"})

    assert many[-1] == 429
    assert other == [401]
    assert "address=203.0.113.6 error=wrong_key" in read_log()


async def test_a_guess_too_many_has_no_line_of_its_own(
    upstream: ScriptedUpstream, held: list[float], read_log: Log
) -> None:
    async with quick_gateway(config=guarded(upstream)) as running:
        await guess(running, BURST + 50)
    lines = [line for line in read_log().splitlines() if "GET /v1/models" in line and " debug " not in line]

    assert len(lines) == BURST


async def test_no_more_answers_are_held_back_than_can_be_afforded(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, both_wait = asyncio.Event(), asyncio.Event()
    waiting: list[float] = []

    async def wait(seconds: float) -> None:
        waiting.append(seconds)
        if len(waiting) == 2:
            both_wait.set()
        await gate.wait()

    monkeypatch.setattr(middleware, "MOST_HELD", 2)
    monkeypatch.setattr(middleware, "_pause", wait)
    async with quick_gateway(config=guarded(upstream)) as running:
        await guess(running, BURST)
        held = [asyncio.create_task(guess(running, 1)) for _ in range(2)]
        await both_wait.wait()
        at_once = await guess(running, 1)
        are_held = [not task.done() for task in held]
        gate.set()
        later = await asyncio.gather(*held)

    assert at_once == [429]
    assert are_held == [True, True]
    assert later == [[429], [429]]


async def test_the_callers_address_is_in_the_line_of_its_request(upstream: ScriptedUpstream, read_log: Log) -> None:
    async with quick_gateway(config=guarded(upstream)) as running:
        await running.http().post(PATH, json=asking(), headers={"x-api-key": RIGHT})

    assert re.search(r"info +POST \S+ 200 ms=\S+ request_id=\S+ address=127.0.0.1 caller=app ", read_log())
