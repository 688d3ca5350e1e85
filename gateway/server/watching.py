"""How long a connection may go on: until its time is over, its client takes nothing, or turns out to have gone."""

import asyncio
import math
from typing import Final, cast

from gateway.server.limits import ServerLimits
from gateway.server.sockets import cut, unsent_bytes, was_reset

# When to look whether a client that will send nothing more has gone altogether: first, and at the latest each time.
_FIRST_LOOK_SECONDS: Final = 0.05
_LONGEST_LOOK_SECONDS: Final = 15.0


class WatchedConnection(asyncio.Protocol):
    """One timer for all limits: it is not moved with every request, but looks where things stand when it fires."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: ServerLimits) -> None:
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self.loop = loop
        self.limits = limits
        # Whether the client does not take more for now.
        self.is_full = False
        self._is_gone = False
        # When its time is over, unless a request is being answered.
        self._due = math.inf
        # When the client has to have taken something of so much that waits for it.
        self._take_by = math.inf
        self._unsent = 0
        # When to look whether it has gone.
        self._look_at = math.inf
        self._look_seconds = _FIRST_LOOK_SECONDS
        self._timer: asyncio.TimerHandle | None = None

    @property
    def _is_written_to(self) -> bool:
        """Whether more may be written at any time."""
        raise NotImplementedError

    def _run_out(self) -> None:
        """Its time is over."""
        raise NotImplementedError

    @property
    def _is_watched_for_reset(self) -> bool:
        return self._look_at != math.inf

    def _watch_for_reset(self) -> None:
        """From now on look now and then whether the client has refused what it was sent."""
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
        """From now on the client has to take something of what waits for it, now and then."""
        if self._is_gone:
            return
        self._unsent = unsent_bytes(self.transport)
        self._take_by = self.loop.time() + self.limits.write_seconds
        self._wake_at(self._take_by)

    def _look_at_taking(self, now: float) -> None:
        """Cut the connection off if nothing was taken since the last look."""
        if self._is_written_to or not self.transport.get_write_buffer_size():
            # What is added meanwhile would hide what is taken; too much of it, and its end, begin the watch anew.
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
        """Whether the client, which sends nothing more, has refused what it was sent; looked for ever more rarely."""
        if was_reset(self.transport):
            self._look_at = math.inf
            self.transport.abort()
            return
        self._look_seconds = min(self._look_seconds * 2, _LONGEST_LOOK_SECONDS)
        self._look_at = now + self._look_seconds

    def _close(self) -> None:
        """Close once the client has taken what was written, which it has to do now and then."""
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self._watch_taking()
