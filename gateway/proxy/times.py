"""The time as all of the gateway knows it: it comes in from outside, so that tests bring their own."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Times:
    """`clock` gives monotonic seconds, `now` seconds of Unix; `sleep` is for pauses between attempts."""

    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


REAL_TIMES = Times()
