"""The time limits of a connection: for its next request, and for a client that does not read or has gone."""

import asyncio
import math
from typing import Final, cast

from gateway.http.limits import ServerLimits
from gateway.http.sockets import cut, unsent_bytes, was_reset

# How soon, and later how often at least, to check whether a client that has closed its side has gone altogether.
_FIRST_LOOK_SECONDS: Final = 0.05
_LONGEST_LOOK_SECONDS: Final = 15.0


class WatchedConnection(asyncio.Protocol):
    """One timer for all limits. Requests do not move it; it checks the state when it fires."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: ServerLimits) -> None:
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self.loop = loop
        self.limits = limits
        # Whether the write buffer is full.
        self.is_full = False
        self._is_gone = False
        # When to close, unless a request is being answered.
        self._due = math.inf
        # When the client must have read some of the `_unsent` bytes.
        self._take_by = math.inf
        self._unsent = 0
        # When to check whether the client has gone.
        self._look_at = math.inf
        self._look_seconds = _FIRST_LOOK_SECONDS
        self._timer: asyncio.TimerHandle | None = None

    @property
    def _is_written_to(self) -> bool:
        """Whether an answer is being written and the client keeps up."""
        raise NotImplementedError

    def _run_out(self) -> None:
        """The time set by `_end_at` is over."""
        raise NotImplementedError

    @property
    def _is_watched_for_reset(self) -> bool:
        return self._look_at != math.inf

    def _watch_for_reset(self) -> None:
        """Check now and then whether the client has answered with a reset."""
        self._look_at = self.loop.time() + self._look_seconds
        self._wake_at(self._look_at)

    def _stop_watching(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _end_at(self, due: float) -> None:
        self._due = due
        self._wake_at(due)

    def _wake_at(self, when: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self.loop.call_at(when, self._check)

    def _check(self) -> None:
        self._timer = None
        now = self.loop.time()
        if self._look_at <= now:
            self._look_for_reset(now)
        if self._take_by <= now:
            self._look_at_taking(now)
        if self._due <= now:
            self._due = math.inf
            self._run_out()
        next_look = min(self._due, self._take_by, self._look_at)
        if next_look != math.inf and not self._is_gone:
            self._wake_at(next_look)

    def _watch_taking(self) -> None:
        """From now on, disconnect the client if it reads nothing for `write_seconds`."""
        if self._is_gone:
            return
        self._unsent = unsent_bytes(self.transport)
        self._take_by = self.loop.time() + self.limits.write_seconds
        self._wake_at(self._take_by)

    def _look_at_taking(self, now: float) -> None:
        """Cut the connection if the client has read nothing since the last check."""
        if self._is_written_to or not self.transport.get_write_buffer_size():
            # Bytes added meanwhile would hide those that were read. A full buffer, or closing, starts the watch again.
            self._take_by = math.inf
            return
        unsent = unsent_bytes(self.transport)
        if unsent >= self._unsent:
            self._take_by = math.inf
            cut(self.transport)
            return
        self._unsent = unsent
        self._take_by = now + self.limits.write_seconds

    def _look_for_reset(self, now: float) -> None:
        """Abort if the client has answered with a reset; checked less and less often."""
        if was_reset(self.transport):
            self._look_at = math.inf
            self.transport.abort()
            return
        self._look_seconds = min(self._look_seconds * 2, _LONGEST_LOOK_SECONDS)
        self._look_at = now + self._look_seconds

    def _close(self) -> None:
        """Close after what was written is sent; a client that does not read it is disconnected."""
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self._watch_taking()
