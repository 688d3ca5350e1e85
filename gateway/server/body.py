"""The body of a request, as it comes: how much of it is held, how fast it has to be, and who is told of it."""

import asyncio
from collections.abc import Callable
from io import BytesIO
from typing import Final, NamedTuple, Protocol

from starlette.types import Message, Scope

from gateway.server.errors import ClientGoneError, NoRoomError
from gateway.server.heads import CONTINUE, Fields
from gateway.server.limits import ServerLimits

# Until somebody wants the body, so much of it is taken.
HIGH_WATER_BYTES: Final = 64 * 1024
# In so much time so many bytes of a body have to come; an uplink of 1 Mbit/s brings fifteen times as many.
BODY_WINDOW_SECONDS: Final = 30.0
_LEAST_BYTES_A_SECOND: Final = 8 * 1024
# All of it has so much time and, for each byte that it may have, what 0.5 Mbit/s take: 572 s for 32 MiB.
_BODY_SECONDS: Final = 60.0
_SLOWEST_BYTES_A_SECOND: Final = 64 * 1024


class BodyPace(NamedTuple):
    """How slow a body may be: so many bytes in each window, and so much time for all of it."""

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
        """Take nothing more from the client for now."""
        ...

    def resume_reading(self) -> None:
        """Go on reading, if that was paused."""
        ...

    async def drained(self) -> None:
        """Until the client takes more, or has gone."""
        ...

    def answered(self, request: "ReceivedRequest") -> None:
        """The last byte of an answer was written."""
        ...

    def watch(self, on_gone: Callable[[], None]) -> None:
        """Have a function called when the client leaves, at once if it has left."""
        ...

    def unwatch(self, on_gone: Callable[[], None]) -> None:
        """Call that off."""
        ...


class ReceivedRequest:
    """The half of a request that the client sends: its scope and its body. `ServedRequest` adds the answer."""

    __slots__ = (
        "_awaits_continue",
        "_body",
        "_connection",
        "_has_ended",
        "_held",
        "_is_refused",
        "_is_told",
        "_limit",
        "_news",
        "_size",
        "_wants_pieces",
        "is_answered",
        "is_gone",
        "keeps_alive",
        "scope",
    )

    def __init__(self, connection: Connection, scope: Scope, *, keeps_alive: bool, awaits_continue: bool) -> None:
        self.scope = scope
        # Whether the connection goes on behind it.
        self.keeps_alive = keeps_alive
        self.is_answered = False
        self.is_gone = False
        self._connection = connection
        self._awaits_continue = awaits_continue
        # It grows in one place: pieces of one byte each would take fifty times as much. And it is given without a copy.
        self._body: bytes | BytesIO = b""
        self._size = 0
        self._held = 0
        self._is_refused = False
        self._limit = HIGH_WATER_BYTES
        self._has_ended = False
        self._is_told = False
        self._wants_pieces = False
        self._news: asyncio.Event | None = None

    # What the reader of the connection says.

    def feed(self, piece: bytes) -> None:
        """A piece of the body has come; behind an answer nobody wants it."""
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
        limits = self._connection.limits
        limits.buffered_bytes += length
        if limits.buffered_bytes > limits.ample_bytes and not limits.has_room(self._size):
            self._is_refused = True
            self._drop_body()
            self._wake()
        elif self._size > self._limit:
            self._connection.pause_reading()
            self._wake()
        elif self._wants_pieces:
            self._wake()

    def end_body(self) -> None:
        """The body is complete."""
        self._has_ended = True
        self._wake()

    # What the application asks.

    async def body(self, limit: int) -> bytes:
        """The whole body, or so much of it that it is above the limit.

        Raises `ClientGoneError` if it never ends, `TimeoutError` if it is slower than its `body_pace`, `NoRoomError`
        where there is no room for it.
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
        """Have the process count so many bytes as held for this request besides its body, in place of those before.

        To hold more raises `ClientGoneError` after the client has left, `NoRoomError` where there is no room.
        """
        grows = size > self._held
        limits = self._connection.limits
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
            self._connection.resume_reading()
            await self._wait()
        if self._is_over:
            return {"type": "http.disconnect"}
        # Behind the end of the body only that of the request is news.
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
                self._connection.resume_reading()
                await self._until_news(pace)

    def _continue(self) -> None:
        if self._awaits_continue and not (self._has_ended or self.is_gone):
            self._connection.transport.write(CONTINUE)
        self._awaits_continue = False

    def _taken(self) -> bytes:
        body = self._body
        self._drop_body()
        return body if isinstance(body, bytes) else body.getvalue()

    def _drop_body(self) -> None:
        if self._size:
            self._connection.limits.buffered_bytes -= self._size
            self._size = 0
            self._body = b""

    async def _until_news(self, pace: BodyPace) -> None:
        """Until `_wake`, as long as enough comes; raises `TimeoutError`."""
        while True:
            size = self._size
            try:
                async with asyncio.timeout(pace.window_seconds):
                    return await self._wait()
            except TimeoutError:
                if self._size - size < pace.least_bytes:
                    raise

    async def _wait(self) -> None:
        if self._news is None:
            self._news = asyncio.Event()
        self._news.clear()
        await self._news.wait()

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set()
