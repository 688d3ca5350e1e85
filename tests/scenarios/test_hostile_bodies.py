"""A body as large as it may be, in each way there is, and one just beyond: a stream beside it goes on at its pace.

The same stream from a second gateway, to which nobody sends anything large, tells how late this process makes events,
and the time in which a gateway waits for a core does not count. A body that holds a stream up does so each time, a busy
machine does not: the best of a few tries counts.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.scenarios.harness import PATH, asking
from tests.scenarios.hostile.bodies import KINDS, MOST_BYTES
from tests.scenarios.hostile.target import HONEST_KEY, Target, attacked_and_calm, can_attack, order
from tests.scenarios.hostile.upstream import timed_stream

Reply = tuple[int, bytes]

# What is beyond the body's own limit.
TOO_MANY_BYTES = 33 * 2**20
TOO_LARGE = (413, 0)


@dataclass(frozen=True, slots=True)
class Case:
    """How much of a kind is accepted, and how much is refused; and the statuses that both may have.

    `beyond` is None where only the size of the body bounds it: one kind stands for all.
    """

    most: int
    beyond: int | None
    refused: tuple[int, ...] = (400,)
    accepted: tuple[int, ...] = (200,)


def _in_bytes(*accepted: int) -> Case:
    return Case(MOST_BYTES - 20_000, None, accepted=accepted)


# `translators/limits.py` and docs/errors.md have the bounds.
CASES = {
    "calls_with_results": Case(2_000, 2_001),
    "messages": Case(83_000, 100_001),
    "parts": Case(5_000, 5_001),
    # Who still sends when it is refused may find the connection broken off.
    "blanks": Case(MOST_BYTES - 20_000, TOO_MANY_BYTES, TOO_LARGE),
    "properties": Case(5_000, 125_001),
    "required": Case(3_300, 83_400),
    "nested_all_of": Case(90, 2_500),
    "details_of_one_index": Case(10_000, 10_001),
    "tiny_details": Case(10_000, 10_001),
    # It is no JSON at any size; what counts is how long it takes to say so.
    "lone_surrogate": _in_bytes(400),
    "tools": Case(5_000, 5_001),
    "unknown_fields": Case(1_000, 1_001),
    "prompts": Case(8, 2_049),
    "compacted_items": Case(12_000, 33_334),
    # The scripted upstream counts nothing.
    "counted_items": Case(12_000, 33_334, accepted=(502,)),
    "native_brackets": _in_bytes(200),
    "native_strings": Case(80_000, 260_000),
    # Nested too deeply at any size.
    "native_nested_results": _in_bytes(400),
    "native_name": Case(200, MOST_BYTES),
    "items": Case(83_000, 100_001),
    "call_items": Case(2_000, 2_001),
    "foreign_seals": Case(40_000, 100_001),
    # Seals that cannot be opened are passed over at any size.
    "one_seal": _in_bytes(200),
    "instructions": _in_bytes(200),
    "namespace": Case(5_000, 5_001),
    # None of them exists, so all are refused, however few they are.
    "references": Case(5_000, 5_001, accepted=(400,)),
}

# A quiet machine shows less than 50 ms for each kind; twice that, since one piece of 32 MB is as slow as the machine.
HELD_UP_SECONDS = 0.1
TRIES = 8
GROWTH_BYTES = 20 * 2**20
PACE_SECONDS = 0.005
MOST_EVENTS = 100_000

pytestmark = pytest.mark.skipif(not can_attack(), reason="needs /proc, and 127.0.0.2 as an address of its own")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateways(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Target, Target]]:
    async with attacked_and_calm(tmp_path_factory.mktemp("gateways")) as pair:
        yield pair


async def _latest(gateway: Target, ready: asyncio.Event, end: asyncio.Event) -> float:
    """The longest time that an event took on its way, from when the stream has begun until the end is told."""
    latest = 0.0
    gateway.script.answers["timed"] = lambda: timed_stream(MOST_EVENTS, PACE_SECONDS, gateway.clock)
    body = asking(order("timed"), stream=True)
    async with gateway.client(HONEST_KEY) as client, client.stream("POST", PATH, json=body) as answer:
        async for piece in answer.aiter_bytes():
            now = gateway.clock()
            if ready.is_set():
                moments = re.findall(rb"at=([0-9.]+);", piece)
                latest = max(latest, *(now - float(moment) for moment in moments), 0.0)
            ready.set()
            if end.is_set():
                return latest
    raise AssertionError("The stream has ended by itself.")


async def _held_up(attacked: Target, calm: Target, work: Awaitable[Reply]) -> tuple[float, Reply]:
    """How much later than a calm gateway's the events of an attacked one came, at most, while the work went on."""
    end = asyncio.Event()
    pair = [(attacked, asyncio.Event()), (calm, asyncio.Event())]
    streams = [asyncio.create_task(_latest(gateway, ready, end)) for gateway, ready in pair]
    await asyncio.gather(*(asyncio.wait_for(ready.wait(), 10) for _, ready in pair))
    reply = await work
    end.set()
    late, usual = await asyncio.gather(*streams)
    return late - usual, reply


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", CASES)
async def test_a_large_body_holds_no_stream_up_and_leaves_no_memory(name: str, gateways: tuple[Target, Target]) -> None:
    case, kind = CASES[name], KINDS[name]
    attacked, calm = gateways
    attacked.log.clear()
    await attacked.post(kind.build(1), kind.path)
    await attacked.at_rest()
    memory = attacked.resident_bytes
    for count, expected in ((case.most, case.accepted), (case.beyond, case.refused)):
        if count is None:
            continue
        body = await asyncio.to_thread(kind.build, count)
        held_up = []
        for _ in range(TRIES):
            late, (status, answer) = await _held_up(attacked, calm, attacked.post(body, kind.path))
            assert status in expected, (count, status, answer[:300])
            held_up.append(late)
            if late <= HELD_UP_SECONDS:
                break
        assert min(held_up) <= HELD_UP_SECONDS, (count, held_up)
    freed = await attacked.until(lambda: attacked.resident_bytes <= memory + GROWTH_BYTES)
    left = (attacked.resident_bytes - memory) / 2**20
    log = "".join(attacked.log)

    assert freed, f"{left:.1f} MB more than before"
    assert "Traceback" not in log, log[-3000:]


def test_every_kind_of_body_has_a_case() -> None:
    assert CASES.keys() == KINDS.keys()
