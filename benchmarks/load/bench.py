"""What every case works with: a running system, the upstream, connections that are closed again, windows of time."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from benchmarks.load.client import LoadConnection, Tally, UpstreamControl, all_begun, all_done, connect
from benchmarks.load.measure import core_busy_seconds, cpu_seconds
from benchmarks.load.running import Running
from benchmarks.load.traffic import BODIES, STALLS

Figures = dict[str, float]


class CaseError(Exception):
    """A system did not answer as it should; its figures would mean nothing."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How long and how much is measured."""

    window_seconds: float = 1.5
    rounds: int = 3
    first_events: int = 200
    open_streams: int = 2000
    bodies: tuple[str, ...] = BODIES
    stalls: tuple[str, ...] = tuple(STALLS)
    starts: int = 3


_FEW_STALLS: Final = tuple(kind for kind, (megabytes, _) in STALLS.items() if megabytes <= 4)
QUICK: Final = Scale(0.6, 1, 60, 300, ("100 KB", "1 MB", "50 tools"), _FEW_STALLS, 1)
SLOW: Final = Scale(2.0, 1, 50, 300, ("100 KB", "1 MB", "1 MB image", "50 tools"), _FEW_STALLS, 1)


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time, and the CPU time that the system used in it; `tally` is what came meanwhile."""

    seconds: float
    cpu_seconds: float
    core_seconds: float
    tally: Tally

    def cpu(self, name: str, count: int) -> Figures:
        """The CPU time for each of so many, and the shares of its core that the system and that others have used."""
        return {
            f"{name}.cpu": self.cpu_seconds / max(count, 1),
            f"{name}.busy": self.cpu_seconds / self.seconds,
            f"{name}.others": max(self.core_seconds - self.cpu_seconds, 0.0) / self.seconds,
        }


@dataclass(frozen=True, slots=True)
class Bench:
    """One running system under the load of one case; `notes` is what a reader of its figures has to know."""

    running: Running
    upstream: UpstreamControl
    scale: Scale
    notes: list[str] = field(default_factory=list)

    def request(self, kind: str = "1 KB", *, stream: bool = False) -> bytes:
        """A request as this system takes it."""
        return self.running.access.request(kind, stream=stream)

    @asynccontextmanager
    async def connected(
        self, request: bytes, count: int, *, reads_stamps: bool = False
    ) -> AsyncIterator[tuple[list[LoadConnection], Tally]]:
        """So many connections that send this request over and over; they hang up at the end of the block."""
        connections: list[LoadConnection] = []
        tally = Tally()
        try:
            connections += await connect(self.running.access, request, tally, count, reads_stamps=reads_stamps)
            yield connections, tally
        finally:
            await self.hang_up(connections)
        check(tally)

    async def hang_up(self, connections: list[LoadConnection]) -> None:
        """Leave, and see to it that the next case finds upstream without open streams."""
        for connection in connections:
            connection.stop()
        await all_done(connections)
        if still_open := await self.upstream.quiet():
            self.notes.append(
                f"{still_open} of {len(connections)} streams were still open upstream 2 s after their clients left"
            )
            await self.upstream.cut()
            await self.upstream.quiet()

    async def begun(self, connections: list[LoadConnection]) -> None:
        """Wait until each has seen something; those that do not are noted."""
        if missing := await all_begun(connections):
            self.notes.append(f"{missing} of {len(connections)} streams saw no event within ten seconds")
        if missing == len(connections):
            raise CaseError("no answer at all")

    async def window(self, tally: Tally, seconds: float = 0.0) -> Window:
        """Let the load run for a while; what was tallied before does not count."""
        tally.clear()
        before = self._now()
        await asyncio.sleep(seconds or self.scale.window_seconds)
        return self._window_since(before, tally.copy())

    async def rounds(self, request: bytes, count: int, connections: int = 1) -> Window:
        """Exactly so many requests, on so many connections."""
        tally, before = Tally(), self._now()
        each = max(count // connections, 1)
        senders = await connect(self.running.access, request, tally, connections, rounds=each)
        try:
            await all_done(senders)
        finally:
            for sender in senders:
                sender.stop()
        check(tally)
        return self._window_since(before, tally)

    def of_process(self, figures: Figures) -> Figures:
        """Figures of the CPU, where there is a process that used it."""
        return figures if self.running.pid else {}

    def _now(self) -> tuple[float, float, float]:
        pid = self.running.pid
        cpu, core = (cpu_seconds(pid), core_busy_seconds(pid)) if pid else (0.0, 0.0)
        return time.perf_counter(), cpu, core

    def _window_since(self, before: tuple[float, float, float], tally: Tally) -> Window:
        seconds, cpu, core = (now - then for now, then in zip(self._now(), before, strict=True))
        return Window(seconds, cpu, core, tally)


def check(tally: Tally) -> None:
    """Raise where answers were not what they should be."""
    if tally.failures:
        what, count = tally.failures.most_common(1)[0]
        raise CaseError(f"{sum(tally.failures.values())} failures, {count} times: {what}")
