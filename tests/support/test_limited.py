"""The upstream with limits refuses what is beyond them, says whose key it was, and misbehaves when it is told to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from benchmarks.pool.buckets import Limits
from benchmarks.pool.world import Fault
from tests.support.limited import SECRET, LimitedUpstream, keys_of, limited_upstream

# 20 requests at once, and one a second.
LIMITS = Limits(requests=60, input_tokens=300_000, output_tokens=60_000)
BURST_SECONDS = 20
MODEL = "claude-sonnet-5-5"


@asynccontextmanager
async def upstream_of(*organizations: int) -> AsyncIterator[LimitedUpstream]:
    async with limited_upstream(keys_of(*organizations), LIMITS, burst_seconds=BURST_SECONDS) as running:
        yield running


async def ask(upstream: LimitedUpstream, name: str, *texts: str, stream: bool = False) -> httpx2.Response:
    """A call with one key: a conversation of these texts, the assistant's every second."""
    roles = ("user", "assistant")
    messages = [{"role": roles[place % 2], "content": text} for place, text in enumerate(texts or ("Hi",))]
    body: dict[str, Any] = {"model": MODEL, "max_tokens": 100, "messages": messages, "stream": stream}
    host = upstream.hosts[upstream.world.keys[name].host]
    async with httpx2.AsyncClient(base_url=host.base_url, timeout=5, trust_env=False) as client:
        return await client.post("/v1/messages", json=body, headers={"x-api-key": SECRET + name})


async def test_what_is_beyond_the_limit_of_an_organization_is_refused_with_a_true_retry_after() -> None:
    async with upstream_of(2, 1) as upstream:
        answers = await asyncio.gather(*(ask(upstream, name) for name in ("a1", "a2") * 15))
        elsewhere = await ask(upstream, "b1")
        refused = [answer for answer in answers if answer.status_code == 429]

        assert upstream.statuses() == {200: len(answers) - len(refused) + 1, 429: len(refused)}
        assert 20 <= len(answers) - len(refused) <= 20 + upstream.now
        assert {answer.headers["retry-after"] for answer in refused} == {"1"}
        assert {answer.headers["anthropic-ratelimit-requests-remaining"] for answer in refused} == {"0"}
        assert elsewhere.status_code == 200


async def test_an_answer_says_whose_key_it_was_and_what_is_left() -> None:
    async with upstream_of(1, 2) as upstream:
        answer = await ask(upstream, "b2")

        assert answer.headers["anthropic-organization-id"] == "organization-b"
        assert answer.headers["anthropic-workspace-id"] == "workspace-b"
        assert answer.headers["anthropic-ratelimit-requests-limit"] == "60"
        assert answer.headers["anthropic-ratelimit-requests-remaining"] == "19"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_later_turn_reads_what_an_earlier_one_has_cached_where_it_was_asked(stream: bool) -> None:
    async with upstream_of(1, 1) as upstream:
        for name in ("a1", "b1", "a1"):
            await ask(upstream, name, "A first question", stream=stream)
        await ask(upstream, "a1", "A first question", "An answer", "A second question", stream=stream)
        await ask(upstream, "b1", "A first question", "An answer", "A second question", "More", "Third", stream=stream)
        seen = [(asked.is_later_turn, asked.is_at_home) for asked in upstream.asked]

        assert seen == [(False, True), (True, False), (True, True), (True, True), (True, False)]
        assert upstream.asked[3].usage.cache_read_tokens > 0
        assert upstream.share_at_home() == 2 / 4


async def test_output_runs_while_an_answer_streams_and_stops_with_it() -> None:
    async with upstream_of(1) as upstream:
        bucket = upstream.world.organizations["organization-a"].meter(MODEL).output_tokens
        upstream.answer_tokens, upstream.answer_seconds = 10_000, 0.1
        answer = await ask(upstream, "a1", stream=True)

        assert "message_stop" in answer.text
        assert bucket.drain_per_second == 0
        assert bucket.level < bucket.capacity - 5_000


async def test_a_fault_befalls_a_key_or_a_host_until_it_is_over() -> None:
    async with upstream_of(2, 1) as upstream:
        revoked = upstream.misbehave(Fault.REVOKED, "a1")
        overloaded = upstream.misbehave(Fault.OVERLOADED, "host-b")
        statuses = [(await ask(upstream, name)).status_code for name in ("a1", "a2", "b1")]
        upstream.behave(revoked)
        upstream.behave(overloaded)

        assert statuses == [401, 200, 529]
        assert [(await ask(upstream, name)).status_code for name in ("a1", "b1")] == [200, 200]


async def test_a_host_can_reset_connections_and_hang() -> None:
    async with upstream_of(1, 1) as upstream:
        upstream.misbehave(Fault.RESET, "host-a")
        upstream.misbehave(Fault.HANG, "host-b")
        with pytest.raises(httpx2.TransportError):
            await ask(upstream, "a1")
        hanging = asyncio.create_task(ask(upstream, "b1"))
        await upstream.hosts["host-b"].wait_for_requests(1)
        hanging.cancel()

        assert [(asked.status, asked.fault) for asked in upstream.asked] == [(None, Fault.RESET), (None, Fault.HANG)]


async def test_a_key_that_nobody_has_given_is_refused() -> None:
    async with upstream_of(1) as upstream:
        async with httpx2.AsyncClient(base_url=upstream.hosts["host-a"].base_url, trust_env=False) as client:
            answer = await client.post("/v1/messages", json={}, headers={"x-api-key": "sk-ant-else"})

        assert answer.status_code == 401
