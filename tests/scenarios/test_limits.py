"""A gateway over an upstream with limits: what callers see below them, above them, and when something goes wrong."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest

from benchmarks.pool.buckets import Limits
from tests.scenarios.harness import PATH, asking, quick_gateway
from tests.support.gateway import RunningGateway
from tests.support.limited import LimitedUpstream, keys_of, limited_upstream

# 15 a second for each organisation; a test of seconds cannot use up a minute's worth, so little is there to begin with.
PER_SECOND = 15
LIMITS = Limits(requests=60 * PER_SECOND, input_tokens=6_000_000, output_tokens=1_200_000)
FILL = 0.03


@dataclass(frozen=True, slots=True)
class Seen:
    """What a caller saw."""

    status: int
    retry_after: str | None
    at: float


@pytest.fixture
async def upstream() -> AsyncIterator[LimitedUpstream]:
    """Six keys in three organisations."""
    async with limited_upstream(keys_of(3, 2, 1), LIMITS, fill=FILL) as running:
        yield running


async def offer(running: RunningGateway, per_second: float, seconds: float) -> list[Seen]:
    """So many single questions a second, whether or not the ones before are answered."""
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    client = running.http()

    async def one(number: int) -> Seen:
        answer = await client.post(PATH, json=asking(f"Question {number}"))
        return Seen(answer.status_code, answer.headers.get("retry-after"), loop.time() - began_at)

    tasks = []
    for number in range(int(per_second * seconds)):
        await asyncio.sleep(max(0.0, began_at + number / per_second - loop.time()))
        tasks.append(asyncio.create_task(one(number)))
    return list(await asyncio.gather(*tasks))


def statuses(seen: Sequence[Seen]) -> Counter[int]:
    return Counter(answer.status for answer in seen)


async def test_below_the_limits_nobody_sees_any(upstream: LimitedUpstream) -> None:
    async with quick_gateway(*upstream.keys) as running:
        seen = await offer(running, 0.95 * 3 * PER_SECOND, 4)

    assert statuses(seen) == {200: len(seen)}
    print(upstream.statuses())
