"""Keeps a silent stream alive: sends its head after an interval, then empty chunks or pings."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Final

from gateway.edge.responder import Responder

# While upstream is not being asked, a failure can still be sent with its own status; hold the head this many intervals.
_HELD_INTERVALS: Final = 3
_LOOK_SECONDS: Final = 1.0


class StreamClient:
    """The caller's side of one stream; inside `with`, which may be entered again, it is kept alive while it is silent.

    After `interval_seconds` without a write the head is sent, if it was not, followed by the result of `sign_of_life`:
    any byte resets the read timeouts of clients and proxies. While upstream is not being asked (`is_asking`), as in
    the queue, the head is held for up to three intervals, so that an error keeps its status. Writes never wait for a
    client that does not read: the writer holds a lease, and decides for itself what to wait for.
    """

    def __init__(
        self,
        responder: Responder,
        interval_seconds: float,
        sign_of_life: Callable[[], bytes],
        *,
        is_asking: Callable[[], bool],
    ) -> None:
        self._responder = responder
        self._is_asking = is_asking
        self._interval = interval_seconds
        self._sign_of_life = sign_of_life
        self._loop = asyncio.get_running_loop()
        self._last_write = self._loop.time()
        self._held_until = self._last_write + _HELD_INTERVALS * interval_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._sign: asyncio.Task[None] | None = None

    def __enter__(self) -> "StreamClient":
        self._responder.wait_when_full(False)
        # Entered again, it goes on as it was left.
        due = self._last_write + self._interval
        self._wait(max(0.0, (due if self._responder.has_begun else min(due, self._held_until)) - self._loop.time()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._sign is not None:
            self._sign.cancel()
        self._responder.wait_when_full(True)

    async def begin(self) -> None:
        """Send the head, unless it was sent."""
        if not self._responder.has_begun:
            await self._responder.begin_stream()

    async def write(self, data: bytes) -> None:
        await self.begin()
        self._last_write = self._loop.time()
        await self._responder.write(data)

    @property
    def is_full(self) -> bool:
        """Whether the client has stopped reading."""
        return self._responder.is_full

    async def drained(self) -> None:
        """Wait until the client reads again, or has disconnected."""
        await self._responder.drained()

    @property
    def takes_pushes(self) -> bool:
        """Whether `push` may be used now."""
        return self._responder.takes_pushes

    def push(self, data: bytes) -> bool:
        """Send one piece without waiting; returns whether another one may follow at once."""
        self._last_write = self._loop.time()
        return self._responder.push(data)

    async def finish(self, data: bytes) -> None:
        await self.begin()
        await self._responder.finish(data)

    def _wait(self, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds, self._check)

    def _check(self) -> None:
        """Check for silence. The timer is not reset on every write; it compares with the last write when it fires."""
        now = self._loop.time()
        left = self._interval - (now - self._last_write)
        if not self._responder.has_begun:
            if now < self._held_until and not self._is_asking():
                # Silence is measured from the moment upstream is asked.
                self._last_write = now
                left = min(self._interval, _LOOK_SECONDS)
            left = min(left, self._held_until - now)
        if left > 0:
            self._wait(left)
            return
        # A client that does not read needs no sign of life.
        if self._takes_signs:
            self._sign = self._loop.create_task(self._send_sign())
        self._wait(self._interval)

    async def _send_sign(self) -> None:
        await self.begin()
        if self._takes_signs:
            self._last_write = self._loop.time()
            if sign := self._sign_of_life():
                await self._responder.write(sign)

    @property
    def _takes_signs(self) -> bool:
        responder = self._responder
        return not (responder.is_sending or responder.is_full or responder.has_ended)
