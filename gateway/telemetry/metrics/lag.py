"""How late the event loop runs what is due."""

import asyncio
from typing import Final

from gateway.telemetry.metrics.histogram import Histogram
from gateway.telemetry.metrics.table import LAGS

INTERVAL_SECONDS: Final = 0.25


class LoopLag:
    """Measures the event loop in which it was started, until it is stopped."""

    def __init__(self) -> None:
        self.histogram = Histogram(LAGS)
        self._timer: asyncio.TimerHandle | None = None
        self._due_at = 0.0

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._due_at = loop.time() + INTERVAL_SECONDS
        self._timer = loop.call_at(self._due_at, self._measure, loop)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _measure(self, loop: asyncio.AbstractEventLoop) -> None:
        self.histogram.observe(max(0.0, loop.time() - self._due_at))
        self.start()
