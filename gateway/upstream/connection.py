"""One HTTP/1.1 connection to a host: one call after another, each with its answer and time limits."""

import asyncio
import math
import select
from collections.abc import Callable
from functools import partial
from typing import Final, cast

from gateway.upstream.answer import DirectAnswer
from gateway.upstream.dialing import DialledProtocol
from gateway.upstream.failures import too_slow, unread
from gateway.upstream.limits import TimeLimits

# Common servers close idle connections after 60 s or later. Closing first avoids the race with a call.
KEEPALIVE_SECONDS: Final = 55.0
# Bodies up to this size are sent together with their head; larger ones in pieces of it, as the network accepts them.
_PIECE_BYTES: Final = 64 * 1024
_PIECES_A_TURN: Final = 16


class Connection(DialledProtocol):
    """Sends calls and passes received bytes to a `DirectAnswer`; calls `on_end` when the connection has ended.

    `round_trip_seconds` is how long the network took to establish the connection.
    """

    def __init__(self, limits: TimeLimits, on_end: Callable[["Connection"], None]) -> None:
        self.has_served = False
        self.round_trip_seconds = 0.0
        self._limits = limits
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._is_readable: Callable[[], object] = bool
        self._answer: DirectAnswer | None = None
        self._unsent: memoryview | None = None
        self._is_full = False
        self._has_ended = False
        self._is_aborted = False
        self._since = self._loop.time()
        # The time limit of the running call.
        self._ends_at = math.inf
        # One timer for all limits. It is not reset with every event, but checks the state when it fires.
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_usable(self) -> bool:
        return not (self._has_ended or self._transport.is_closing())

    @property
    def is_quiet(self) -> bool:
        """Whether nothing has arrived unasked, which must not be taken for the answer to the next call."""
        return not self._is_readable()

    @property
    def _has_sent_all(self) -> bool:
        return self._unsent is None and not self._transport.get_write_buffer_size()

    @property
    def call_age(self) -> float:
        return self._loop.time() - self._since

    def begin(self, head: bytes, body: bytes, spent_seconds: float = 0.0) -> DirectAnswer:
        """Send a call; returns its answer, which has not arrived yet. `spent_seconds` of its total time are over."""
        answer = self._answer = DirectAnswer(self._transport, self._loop)
        self._since = self._loop.time()
        self._ends_at = self._since + self._limits.total_seconds - spent_seconds
        self._arm()
        if len(body) <= _PIECE_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._unsent = memoryview(body)
            self._send_on()
        return answer

    def leave(self) -> bool:
        """End the call. Returns whether the connection can take another one; otherwise closes it."""
        answer, self._answer = self._answer, None
        if answer is not None and answer.keeps_connection and self.is_usable and self._has_sent_all:
            self.has_served = True
            self._since = self._loop.time()
            self._arm()
            return True
        if answer is not None:
            answer.drop()
        self.abort()
        return False

    def abort(self) -> None:
        """Close without waiting for pending writes."""
        self._is_aborted = True
        self._unsent = None
        self._transport.abort()

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._is_readable = _readability(transport.get_extra_info("socket").fileno())

    def data_received(self, data: bytes) -> None:
        """Take bytes of an answer; without a call, close the connection."""
        answer = self._answer
        if answer is None:
            self.abort()
            return
        had_head = answer.has_head
        answer.feed(data)
        if answer.failure is not None:
            self.abort()
        elif answer.is_complete and self._unsent is not None:
            # The host answered before it had the whole request, and will not read the rest.
            answer.keeps_connection = False
            self._unsent = None
        elif answer.has_head and not (had_head or answer.is_complete):
            # From here on another time limit applies.
            self._arm()

    def eof_received(self) -> None:
        """The host sends nothing more; asyncio closes the transport by default."""
        self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)
        self._unsent = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._on_end(self)

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        self._send_on()

    def _end(self, error: Exception | None) -> None:
        self._has_ended = True
        if self._answer is not None:
            # A connection that we closed ourselves does not complete a body.
            self._answer.end(ConnectionAbortedError("closed by the gateway") if self._is_aborted else error)

    def _send_on(self) -> None:
        """Send as much of a large body as the network accepts, but only some pieces in one go."""
        for _ in range(_PIECES_A_TURN):
            if self._unsent is None or self._is_full or self._transport.is_closing():
                return
            piece, rest = self._unsent[:_PIECE_BYTES], self._unsent[_PIECE_BYTES:]
            self._unsent = rest if len(rest) else None
            self._transport.write(piece)
        # A fast host could take the whole body in one go, and other connections would have to wait.
        self._loop.call_soon(self._send_on)

    # Time limits.

    def _due(self) -> float:
        """When the next limit is reached, on the loop's clock."""
        limits, answer = self._limits, self._answer
        if answer is None:
            return self._since + KEEPALIVE_SECONDS
        if not answer.has_head:
            waited = self._since + limits.first_byte_seconds
        else:
            quiet_since = answer.quiet_since if answer.is_awaited else self._loop.time()
            waited = quiet_since + limits.idle_seconds
        return min(waited, self._ends_at)

    def _why(self, answer: DirectAnswer) -> str:
        """The detail of the failure for the limit that was reached."""
        limits = self._limits
        if self._loop.time() >= self._ends_at:
            return f"not complete after {limits.total_seconds:g} s"
        if answer.has_head:
            return f"silent for {limits.idle_seconds:g} s"
        return f"no answer after {limits.first_byte_seconds:g} s"

    def _arm(self) -> None:
        due = self._due()
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._check)

    def _check(self) -> None:
        self._timer = None
        due = self._due()
        if due > self._loop.time():
            self._timer = self._loop.call_at(due, self._check)
            return
        if (answer := self._answer) is not None:
            is_unread = answer.is_held_up and self._loop.time() >= self._ends_at
            answer.fail((unread if is_unread else too_slow)(self._why(answer)))
        self.abort()


def _readability(descriptor: int) -> Callable[[], object]:
    """A function that tells without waiting whether a socket is readable, including at its end."""
    if hasattr(select, "poll"):
        # `select` supports only the first 1,024 descriptors.
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return partial(poll.poll, 0)
    return lambda: select.select((descriptor,), (), (), 0)[0]
