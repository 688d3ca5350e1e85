"""Runs long computations in short turns, so that the event loop serves other requests in between."""

import asyncio
import time
from collections.abc import Generator
from typing import Final, TypeVar

# Smaller bodies take less than one turn.
LARGE_BYTES: Final = 256 * 1024
_TURN_SECONDS: Final = 0.001

T = TypeVar("T")


async def in_slices(steps: Generator[None, None, T]) -> T:
    """The result of the steps; yields to the event loop after every millisecond.

    A thread would not help: JSON is parsed and written in single calls that hold the GIL, and for everything else the
    loop would wait for the GIL with every event (docs/performance.md).
    """
    while True:
        # Also before the first step, since the caller has already used some of its turn.
        await asyncio.sleep(0)
        began_at = time.perf_counter()
        while time.perf_counter() - began_at < _TURN_SECONDS:
            try:
                next(steps)
            except StopIteration as end:
                result: T = end.value
                return result
