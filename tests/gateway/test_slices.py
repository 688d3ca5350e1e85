"""What long work leaves to others."""

import asyncio
import time
from collections.abc import Generator

from gateway.edge.slices import in_slices


def work(steps: int, step_seconds: float, done: list[int]) -> Generator[None, None, str]:
    """So many steps that keep the processor busy."""
    for number in range(steps):
        give_up_at = time.perf_counter() + step_seconds
        while time.perf_counter() < give_up_at:
            pass
        done.append(number)
        yield
    return "ready"


async def test_the_result_is_what_the_steps_return() -> None:
    assert await in_slices(work(3, 0.0, [])) == "ready"


async def test_others_have_their_turn_before_the_work_and_within_it() -> None:
    done: list[int] = []
    seen: list[int] = []
    working = asyncio.create_task(in_slices(work(3, 0.002, done)))
    while not working.done():
        seen.append(len(done))
        await asyncio.sleep(0)

    # Each step is longer than a turn.
    assert {0, 1, 2, 3} <= set(seen)


async def test_who_is_cancelled_does_no_more_of_the_work() -> None:
    done: list[int] = []
    working = asyncio.create_task(in_slices(work(100, 0.002, done)))
    # Its first turn comes after the loop's second.
    for _ in range(3):
        await asyncio.sleep(0)
    working.cancel()
    await asyncio.wait((working,))

    assert working.cancelled()
    assert 0 < len(done) < 100
