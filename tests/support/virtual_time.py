"""Time that passes only while nothing else happens: a test with real sockets that no machine is too slow for.

The loop's clock stands still as long as there is anything to do, and goes on to the next timer when there is nothing.
So an upstream's pause of two seconds takes no time, and a busy machine delays nobody. All that takes part has to live
in one process and go by the loop's clock.
"""

import asyncio
import functools
import os
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")

# What is on its way over loopback is there at once, but for moments in which the kernel has other things to do.
_LOOKS = 3
_LONG_SECONDS = 0.05
_REAL_SECONDS = 0.002


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time the loop itself makes pass."""

    def __init__(self) -> None:
        self._selecting = _Selecting()
        super().__init__(self._selecting)

    def time(self) -> float:
        """Seconds of the loop's own."""
        return self._selecting.now


class _Selecting(selectors.DefaultSelector):
    """Where a loop would wait for its next timer, this one lets the time pass."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        for _ in range(_LOOKS):
            if (ready := super().select(0)) or timeout == 0:
                return ready
            os.sched_yield()
        if timeout is None or timeout > _LONG_SECONDS:
            # Nothing is due soon: there is either something on its way, from a thread for one, or nothing at all.
            ready = super().select(timeout and _REAL_SECONDS)
        if not ready and timeout is not None:
            # A nanosecond more: rounded down it would come to the same moment again.
            self.now += timeout + 1e-9
        return ready


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """A test that lives on a loop of that kind."""

    @functools.wraps(test)
    def run(*arguments: P.args, **named: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(test(*arguments, **named))

    return run
