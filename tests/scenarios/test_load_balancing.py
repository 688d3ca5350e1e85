"""Many keys in front of an upstream with real limits, caches and faults: what callers see, and what upstream does."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace

from benchmarks.pool.buckets import Limits
from benchmarks.pool.world import Fault
from tests.scenarios.harness import PATH, asking, assert_error, no_lease_is_out, pool_of, quick_gateway
from tests.scenarios.processes import Fleet
from tests.support.commands import started
from tests.support.gateway import Config, PoolConfig, RetriesConfig, RunningGateway, TimeoutsConfig, config_for
from tests.support.limited import LimitedUpstream, keys_of, limited_upstream
from tests.support.virtual_time import in_virtual_time

# Of each of three organizations: 20 requests a second.
LIMITS = Limits(requests=1200, input_tokens=50_000_000, output_tokens=10_000_000)
PER_SECOND = 60
BURST_SECONDS = 2.0
LONG_TEXT = "What does the second section of the contract say about the end of the term? " * 20


def balanced(upstream: LimitedUpstream, **settings: Any) -> Config:
    """The gateway as it comes, over the upstream's keys."""
    pool = {"strategy": "affinity", "queue_timeout_seconds": 0.5, **settings}
    config = config_for(*upstream.keys)
    return replace(
        config,
        pool=PoolConfig(**pool),
        timeouts=TimeoutsConfig(connect_seconds=5, first_byte_seconds=2, idle_seconds=5),
        retries=RetriesConfig(deadline_seconds=20),
    )


@asynccontextmanager
async def balancing(
    *organizations: int, limits: Limits = LIMITS, fill: float = 1.0, **settings: Any
) -> AsyncIterator[tuple[LimitedUpstream, RunningGateway]]:
    """A gateway before so many keys in so many organizations."""
    async with (
        limited_upstream(keys_of(*organizations), limits, burst_seconds=BURST_SECONDS, fill=fill) as upstream,
        quick_gateway(config=balanced(upstream, **settings)) as running,
    ):
        # The pool goes by the time that upstream and the loop live in.
        running.gateway.services.dispatcher.clock = asyncio.get_running_loop().time
        yield upstream, running


@asynccontextmanager
async def two_workers(
    upstream: LimitedUpstream, file: Path, **settings: Any
) -> AsyncIterator[tuple[Fleet, httpx2.AsyncClient]]:
    """A gateway of two processes before the same, and a client."""
    keys = [
        {"name": found.name, "api_key": found.api_key.reveal(), "base_url": found.base_url} for found in upstream.keys
    ]
    pool = {"queue_timeout_seconds": 0.5, **settings}
    await asyncio.to_thread(file.write_text, json.dumps({"keys": keys, "pool": pool, "log": {"level": "warning"}}))
    async with (
        started("serve", "--config", str(file), "--workers", "2") as running,
        httpx2.AsyncClient(base_url=running.url, timeout=60) as http,
    ):
        yield Fleet(running), http


async def offered(http: httpx2.AsyncClient, count: int, per_second: float) -> list[httpx2.Response]:
    """So many requests, each of another conversation, evenly spread over time."""
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    asked: list[asyncio.Task[httpx2.Response]] = []
    for number in range(count):
        await asyncio.sleep(began_at + number / per_second - loop.time())
        asked.append(asyncio.create_task(http.post(PATH, json=asking(f"Question {number}"))))
    return await asyncio.gather(*asked)


@in_virtual_time
async def test_below_the_limits_nobody_sees_a_429_and_upstream_says_none() -> None:
    async with balancing(2, 2, 2, fill=0.2) as (upstream, running):
        answers = await offered(running.http(), 4 * PER_SECOND * 95 // 100, PER_SECOND * 0.95)
        elapsed = upstream.now
        await no_lease_is_out(running)

        assert {answer.status_code for answer in answers} == {200}
        assert upstream.statuses().get(429, 0) <= len(answers) / 100
        # The most there was to give: what the buckets held and what has come since.
        most = PER_SECOND * (BURST_SECONDS * 0.2 + elapsed)
        assert len(answers) >= 0.9 * min(most, len(answers))


@in_virtual_time
async def test_beyond_the_limits_the_excess_gets_clean_429s_and_the_rest_is_served() -> None:
    async with balancing(2, 2, 2, fill=0.2) as (upstream, running):
        answers = await offered(running.http(), 4 * PER_SECOND * 3 // 2, PER_SECOND * 1.5)
        elapsed = upstream.now
        served = [answer for answer in answers if answer.status_code == 200]
        refused = [answer for answer in answers if answer.status_code != 200]

        assert len(served) >= 0.9 * min(PER_SECOND * elapsed, len(answers))
        assert upstream.statuses().get(429, 0) <= len(upstream.asked) / 100
        assert refused
        for answer in refused:
            error = assert_error(answer, 429, "rate_limit_error", "rate_limit_exceeded")
            assert "Please try again in" in error["message"]
            assert 0 < int(answer.headers["retry-after-ms"]) < 5000


@in_virtual_time
async def test_a_retry_after_is_true() -> None:
    # One organization, half a request a second and none left: nobody else waits for it.
    async with balancing(1, limits=LIMITS.times(1 / 40), fill=0.0, queue_timeout_seconds=0.05) as (_, running):
        http = running.http()
        first, second = [await http.post(PATH, json=asking(str(number))) for number in range(2)]
        while first.status_code == 200:
            first, second = second, await http.post(PATH, json=asking("again"))
        await asyncio.sleep(int(second.headers["retry-after-ms"]) / 1000)
        third = await http.post(PATH, json=asking("Now"))

        assert (second.status_code, third.status_code) == (429, 200)


async def converse(http: httpx2.AsyncClient, name: str, turns: int, path: str = PATH) -> None:
    """A conversation as clients hold it: each turn repeats all that was said before."""
    messages: list[dict[str, str]] = [{"role": "user", "content": f"{name}: {LONG_TEXT}"}]
    for turn in range(turns):
        body = asking(stream=turn % 2 == 1)
        response = await http.post(path, json={**body, "messages": messages})
        assert response.status_code == 200, response.text
        messages += [
            {"role": "assistant", "content": "One two three four five six seven eight nine ten."},
            {"role": "user", "content": f"And then? {turn} {LONG_TEXT}"},
        ]


@pytest.mark.parametrize("path", [PATH, "/v1/messages"])
@in_virtual_time
async def test_the_turns_of_a_conversation_go_to_where_its_cache_is(path: str) -> None:
    # Beyond the limits a turn goes where there is room: here there is.
    async with balancing(2, 2, 2, limits=LIMITS.times(5)) as (upstream, running):
        http = running.http()
        for wave in range(4):
            await asyncio.gather(*(converse(http, f"{wave}/{number}", 5, path) for number in range(8)))

        assert upstream.share_at_home() >= 0.95
        workspaces = {asked.key.workspace for asked in upstream.asked}
        assert len(workspaces) == 3


FAULTY = [
    (Fault.REVOKED, "a1"),
    (Fault.RESET, "host-a"),
    (Fault.OVERLOADED, "host-a"),
    (Fault.HANG, "host-a"),
]


@pytest.mark.parametrize(("fault", "target"), FAULTY, ids=lambda value: getattr(value, "name", value))
@in_virtual_time
async def test_a_part_that_fails_costs_no_caller_an_answer_and_comes_back(fault: Fault, target: str) -> None:
    async with balancing(2, 2, 2) as (upstream, running):
        http = running.http()
        for number in range(6):
            await http.post(PATH, json=asking(f"Before {number}"))
        trouble = upstream.misbehave(fault, target)
        before = len(upstream.asked)
        answers = await offered(http, 60, 25)
        during = upstream.asked[before:]
        upstream.behave(trouble)

        assert {answer.status_code for answer in answers} == {200}
        # Traffic has moved: not every request has to find out anew.
        assert sum(asked.fault is fault for asked in during[-20:]) <= 4

        def is_back() -> bool:
            return any(asked.key.name.startswith("a") and asked.status == 200 for asked in upstream.asked[-6:])

        async with asyncio.timeout(10):
            for number in itertools.count():
                await http.post(PATH, json=asking(f"After {number}"))
                if is_back():
                    break


@in_virtual_time
async def test_when_all_are_down_callers_are_told_and_when_they_are_back_they_are_served() -> None:
    async with balancing(1, 1, queue_timeout_seconds=0.2) as (upstream, running):
        http = running.http()
        await http.post(PATH, json=asking("Before"))
        troubles = [upstream.misbehave(Fault.RESET, f"host-{letter}") for letter in "ab"]
        down = [await http.post(PATH, json=asking(f"Down {number}")) for number in range(12)]
        asked = len(upstream.asked)
        for trouble in troubles:
            upstream.behave(trouble)
        async with asyncio.timeout(10):
            while (await http.post(PATH, json=asking("Back"))).status_code != 200:  # noqa: ASYNC110
                # An answer without asking takes no time.
                await asyncio.sleep(0.1)
        await no_lease_is_out(running)

        for answer in down:
            assert_error(answer, 502, "server_error", answer.json()["error"]["code"])
        # The breakers keep most of them from asking at all.
        assert asked < 1 + 12 * 3
        assert pool_of(running).in_flight == 0


async def test_two_workers_keep_within_the_limits_together(tmp_path: Path) -> None:
    async with (
        limited_upstream(keys_of(2, 2, 2), LIMITS, burst_seconds=BURST_SECONDS, fill=0.5) as upstream,
        two_workers(upstream, tmp_path / "config.yaml") as (_, http),
    ):
        answers = await offered(http, 4 * PER_SECOND * 9 // 10, PER_SECOND * 0.9)

        assert {answer.status_code for answer in answers} == {200}
        assert upstream.statuses().get(429, 0) <= len(upstream.asked) / 50


async def test_two_workers_send_a_conversation_to_the_same_cache(tmp_path: Path) -> None:
    async with (
        limited_upstream(keys_of(2, 2, 2), LIMITS.times(5), burst_seconds=BURST_SECONDS) as upstream,
        two_workers(upstream, tmp_path / "config.yaml") as (_, http),
    ):
        for wave in range(3):
            await asyncio.gather(*(converse(http, f"{wave}/{number}", 5) for number in range(8)))

        assert upstream.share_at_home() >= 0.95
