"""How the body of a request is received: how much is held in memory, and how slow the client may be."""

import asyncio
from collections.abc import Callable
from io import BytesIO
from typing import Final, NamedTuple, Protocol

from starlette.types import Message, Scope

from gateway.http.errors import ClientGoneError, NoRoomError
from gateway.http.limits import ServerLimits
from gateway.http.response_head import CONTINUE, Fields

# How much of a body is read before the application asks for it.
HIGH_WATER_BYTES: Final = 64 * 1024
# In each window, at least so many bytes a second must arrive; an uplink of 1 Mbit/s brings fifteen times as many.
BODY_WINDOW_SECONDS: Final = 30.0
_LEAST_BYTES_A_SECOND: Final = 8 * 1024
# The whole body may take this long, plus the time that its largest size takes at 0.5 Mbit/s: 572 s for 32 MiB.
_BODY_SECONDS: Final = 60.0
_SLOWEST_BYTES_A_SECOND: Final = 64 * 1024


class BodyPace(NamedTuple):
    """How slow a body may be: the fewest bytes in each window, and the time for the whole."""

    window_seconds: float
    least_bytes: float
    total_seconds: float


def body_pace(limit: int) -> BodyPace:
    """The pace for bodies up to a limit in bytes."""
    window = BODY_WINDOW_SECONDS
    return BodyPace(window, window * _LEAST_BYTES_A_SECOND, _BODY_SECONDS + limit / _SLOWEST_BYTES_A_SECOND)


class Connection(Protocol):
    """What a request needs from its connection."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    is_full: bool
    limits: ServerLimits

    @property
    def standing(self) -> Fields:
        """The headers that every answer carries."""
        ...

    def pause_reading(self) -> None:
        """Stop reading from the client."""
        ...

    def resume_reading(self) -> None:
        """Resume reading if it was paused."""
        ...

    async def drained(self) -> None:
        """Wait until the client can be sent more, or has gone."""
        ...

    def answered(self, request: "ReceivedRequest") -> None:
        """The last byte of an answer was written."""
        ...

    def watch(self, on_gone: Callable[[], None]) -> None:
        """Call `on_gone` when the client leaves; immediately if it has left."""
        ...

    def unwatch(self, on_gone: Callable[[], None]) -> None:
        """Undo `watch`."""
        ...


class ReceivedRequest:
    """What the client sends: the scope and the body. `ServedRequest` adds the answer."""

    __slots__ = (
        "_awaits_continue",
        "_body",
        "_changed",
        "_has_ended",
        "_held",
        "_is_refused",
        "_is_told",
        "_limit",
        "_size",
        "_wants_pieces",
        "connection",
        "is_answered",
        "is_gone",
        "keeps_alive",
        "scope",
    )

    def __init__(self, connection: Connection, scope: Scope, *, keeps_alive: bool, awaits_continue: bool) -> None:
        self.scope = scope
        # Whether the connection stays open after this request.
        self.keeps_alive = keeps_alive
        self.is_answered = False
        self.is_gone = False
        self.connection = connection
        self._awaits_continue = awaits_continue
        # A BytesIO from the second piece on: a list of one-byte pieces would take fifty times the memory.
        self._body: bytes | BytesIO = b""
        self._size = 0
        self._held = 0
        self._is_refused = False
        self._limit = HIGH_WATER_BYTES
        self._has_ended = False
        self._is_told = False
        self._wants_pieces = False
        self._changed: asyncio.Event | None = None

    # Called by the connection's `RequestReader`.

    def feed(self, piece: bytes) -> None:
        """Take a piece of the body; dropped if the request was answered already."""
        if self.is_answered or self.is_gone or self._is_refused:
            return
        if not self._body:
            self._body = piece
        else:
            if isinstance(self._body, bytes):
                first, self._body = self._body, BytesIO()
                self._body.write(first)
            self._body.write(piece)
        length = len(piece)
        self._size += length
        limits = self.connection.limits
        limits.buffered_bytes += length
        if limits.buffered_bytes > limits.ample_bytes and not limits.has_room(self._size):
            self._is_refused = True
            self._drop_body()
            self._wake()
        elif self._size > self._limit:
            self.connection.pause_reading()
            self._wake()
        elif self._wants_pieces:
            self._wake()

    def end_body(self) -> None:
        """The body is complete."""
        self._has_ended = True
        self._wake()

    # Called by the application.

    async def body(self, limit: int) -> bytes:
        """Receive the whole body, or enough of it to exceed the limit.

        Raises `ClientGoneError` if the client leaves before the end, `TimeoutError` if the body is slower than
        `body_pace`, and `NoRoomError` if this process holds too many bytes of bodies.
        """
        self._limit = limit
        if self._is_wanting:
            self._continue()
            await self._arrival(body_pace(limit))
        if self.is_gone:
            raise ClientGoneError
        if self._is_refused:
            raise NoRoomError
        return self._taken()

    def hold(self, size: int) -> None:
        """Set how many bytes are held for this request besides its body, as counted in `ServerLimits`.

        If that is more than before, raises `ClientGoneError` after the client has left, and `NoRoomError` where the
        process may not hold as much.
        """
        grows = size > self._held
        limits = self.connection.limits
        limits.buffered_bytes += size - self._held
        self._held = size
        if grows and self.is_gone:
            raise ClientGoneError
        if grows and not limits.has_room(size):
            raise NoRoomError

    async def receive(self) -> Message:
        """The next message of ASGI."""
        self._continue()
        self._wants_pieces = True
        while not (self._size or (self._has_ended and not self._is_told) or self._is_over):
            self.connection.resume_reading()
            await self._wait()
        if self._is_over:
            return {"type": "http.disconnect"}
        # After the end of the body, the next message is the disconnect.
        self._is_told = self._has_ended
        return {"type": "http.request", "body": self._taken(), "more_body": not self._has_ended}

    @property
    def _is_wanting(self) -> bool:
        return not (self._has_ended or self._size > self._limit or self.is_gone or self._is_refused)

    @property
    def _is_over(self) -> bool:
        return self.is_gone or self.is_answered or self._is_refused

    async def _arrival(self, pace: BodyPace) -> None:
        async with asyncio.timeout(pace.total_seconds):
            while self._is_wanting:
                self.connection.resume_reading()
                await self._until_changed(pace)

    def _continue(self) -> None:
        if self._awaits_continue and not (self._has_ended or self.is_gone):
            self.connection.transport.write(CONTINUE)
        self._awaits_continue = False

    def _taken(self) -> bytes:
        body = self._body
        self._drop_body()
        return body if isinstance(body, bytes) else body.getvalue()

    def _drop_body(self) -> None:
        if self._size:
            self.connection.limits.buffered_bytes -= self._size
            self._size = 0
            self._body = b""

    async def _until_changed(self, pace: BodyPace) -> None:
        """Wait for `_wake`; raises `TimeoutError` when too few bytes arrive in a window."""
        while True:
            size = self._size
            try:
                async with asyncio.timeout(pace.window_seconds):
                    return await self._wait()
            except TimeoutError:
                if self._size - size < pace.least_bytes:
                    raise

    async def _wait(self) -> None:
        if self._changed is None:
            self._changed = asyncio.Event()
        self._changed.clear()
        await self._changed.wait()

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
