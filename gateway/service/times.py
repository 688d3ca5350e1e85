"""The gateway's sources of time, which tests can replace."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Times:
    """`clock` returns monotonic seconds, `now` Unix seconds; `sleep` is for pauses between attempts."""

    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


REAL_TIMES = Times()
