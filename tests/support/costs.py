"""What work costs, in figures that do not depend on the machine: how time grows with size, and peaks of memory."""

import gc
import math
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

# A ratio below this is no doubt.
_LINEAR = 6.0
_TRIES = 3


def growth(work: Callable[[int], object], size: int) -> float:
    """How many times as long the work takes on four times the size: about 4 where it is linear, 16 where quadratic.

    It is the smallest of several measurements of processor time, since whatever else happens only adds to them.
    """
    small_heap()
    small = min(_seconds(work, size) for _ in range(_TRIES))
    large = math.inf
    for _ in range(_TRIES):
        large = min(large, _seconds(work, 4 * size))
        if large / small < _LINEAR:
            break
        small = min(small, _seconds(work, size))
    return large / small


def small_heap() -> None:
    """Leave the garbage collector nothing of what the tests hold: a gateway has much less.

    It stays so, since `gc.unfreeze` would also give back what is frozen for the whole run.
    """
    gc.collect()
    gc.freeze()


def peak_bytes(work: Callable[[], object]) -> int:
    """What is allocated at most while the work is done."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def exhaust(steps: Any) -> tuple[int, Any]:
    """How many steps there were, and their result."""
    count = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return count, end.value
        count += 1


def _seconds(work: Callable[[int], object], size: int) -> float:
    gc.collect()
    began_at = time.process_time()
    work(size)
    return max(time.process_time() - began_at, 1e-6)
