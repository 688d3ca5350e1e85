"""Long work in turns: what a large request takes of the one loop, others get in between."""

import asyncio
import time
from collections.abc import Generator
from typing import Final, TypeVar

# Nothing smaller takes longer than a turn does.
LARGE_BYTES: Final = 256 * 1024
_TURN_SECONDS: Final = 0.001

T = TypeVar("T")


async def in_turns(steps: Generator[None, None, T]) -> T:
    """What the steps give in the end; the loop goes round once after every millisecond of them.

    Not in a thread: JSON is read and written in single calls that keep the interpreter's lock, and during all else the
    loop would wait for that lock with every event (docs/performance.md).
    """
    while True:
        # Also before the first: what came before has had its turn.
        await asyncio.sleep(0)
        began_at = time.perf_counter()
        while time.perf_counter() - began_at < _TURN_SECONDS:
            try:
                next(steps)
            except StopIteration as end:
                result: T = end.value
                return result
