"""One request that is being served: its body as it comes, and the ways to answer it."""

import asyncio
from collections.abc import Callable
from io import BytesIO
from typing import Final, Protocol

from starlette.types import Message, Scope, Send

from gateway.api.requests import BodyPace, ClientGoneError, body_pace
from gateway.server.heads import (
    BEGINNING,
    BODILESS,
    CHUNKED,
    CLOSE,
    CONTINUE,
    LAST_CHUNK,
    LEADING_ZERO,
    STATUS_LINES,
    Fields,
    chunk,
    fields,
)
from gateway.server.limits import ServerLimits
from translators.errors import ErrorKind, FailedError, Failure

# Until somebody wants the body, so much of it is taken.
HIGH_WATER_BYTES: Final = 64 * 1024
# Those who hold the room have so long at least; most are through sooner.
_RETRY_SECONDS: Final = 2.0


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

    def answered(self, request: "ServedRequest") -> None:
        """The last byte of an answer was written."""
        ...

    def watch(self, on_gone: Callable[[], None]) -> None:
        """Have a function called when the client leaves, at once if it has left."""
        ...

    def unwatch(self, on_gone: Callable[[], None]) -> None:
        """Call that off."""
        ...


class ServedRequest:
    """A request as an ASGI application sees it (`receive`, `send`), and quicker ways, those of `ClientConnection`."""

    __slots__ = (
        "_awaits_continue",
        "_body",
        "_connection",
        "_has_body",
        "_has_ended",
        "_held",
        "_held_head",
        "_is_chunked",
        "_is_refused",
        "_is_told",
        "_left",
        "_limit",
        "_news",
        "_size",
        "_wants_pieces",
        "begins_ahead",
        "has_begun",
        "is_answered",
        "is_gone",
        "is_patient",
        "keeps_alive",
        "scope",
        "task",
    )

    def __init__(self, connection: Connection, scope: Scope, *, keeps_alive: bool, awaits_continue: bool) -> None:
        self.scope = scope
        self.keeps_alive = keeps_alive
        self.has_begun = False
        self.is_answered = False
        self.is_gone = False
        # Whether `send` waits while the client does not read.
        self.is_patient = True
        self.task: asyncio.Task[None] | None = None
        self._connection = connection
        self._awaits_continue = awaits_continue
        # The request's body.
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
        # The answer's; whether its first bytes have left before it was known.
        self.begins_ahead = False
        self._held_head = b""
        self._has_body = True
        self._is_chunked = False
        self._left: int | None = None

    @property
    def has_sent(self) -> bool:
        """Whether something of the answer has left."""
        return self.has_begun and not self._held_head

    # What the connection says.

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

    def leave(self) -> None:
        """The client has gone, or is of no further interest."""
        self.is_gone = True
        self._held_head = b""
        self._drop_body()
        self._wake()

    def send_ahead(self) -> None:
        """Send what the answer goes on with in any case: a client that has gone, and not only ended, refuses it."""
        if not self.has_begun and not self.begins_ahead:
            self.begins_ahead = True
            self._connection.transport.write(BEGINNING)
        elif self._is_chunked and self._has_body and self.has_sent and not self.is_answered:
            self._connection.transport.write(LEADING_ZERO)

    # The body.

    async def body(self, limit: int) -> bytes:
        """The whole body, or so much of it that it is above the limit."""
        self._limit = limit
        if self._is_wanting:
            self._continue()
            await self._arrival(body_pace(limit))
        if self.is_gone:
            raise ClientGoneError
        if self._is_refused:
            raise _no_room()
        return self._taken()

    def hold(self, size: int) -> None:
        """Have so many bytes counted as held for this request besides its body, in place of those before."""
        grows = size > self._held
        limits = self._connection.limits
        limits.buffered_bytes += size - self._held
        self._held = size
        if grows and self.is_gone:
            raise ClientGoneError
        if grows and not limits.has_room(size):
            raise _no_room()

    @property
    def _is_wanting(self) -> bool:
        return not (self._has_ended or self._size > self._limit or self.is_gone or self._is_refused)

    async def _arrival(self, pace: BodyPace) -> None:
        async with asyncio.timeout(pace.total_seconds):
            while self._is_wanting:
                self._connection.resume_reading()
                await self._until_news(pace)

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
    def _is_over(self) -> bool:
        return self.is_gone or self.is_answered or self._is_refused

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

    # The answer, by ASGI.

    async def send(self, message: Message) -> None:
        """Send a head or a piece of a body; waits while the client does not read."""
        if self.is_patient and self._connection.is_full:
            await self._connection.drained()
        if self.is_gone:
            return
        kind = message["type"]
        if kind == "http.response.start" and not self.has_begun:
            self._begin(message["status"], fields(message.get("headers", ())))
        elif kind == "http.response.body" and self.has_begun and not self.is_answered:
            self._write(message.get("body", b""), is_last=not message.get("more_body", False))
        else:
            raise RuntimeError(f"{kind} is not what is due.")

    def _begin(self, status: int, given: Fields) -> None:
        self._has_body = self.scope["method"] != "HEAD" and status not in BODILESS
        self._left = given.length
        framing = b""
        if given.is_chunked:
            self._is_chunked = True
        elif given.length is None and self._has_body and self.scope["http_version"] == "1.1":
            # Before 1.1 a body of unknown length ends with the connection.
            self._is_chunked = True
            framing = CHUNKED
        self.keeps_alive = self.keeps_alive and not given.closes
        # A body mostly follows at once, and leaves together with the head; else the head leaves by itself.
        self._held_head = self._head(status, given.lines + framing, says_close=given.closes)
        self._connection.loop.call_soon(self._release_head)
        self.has_begun = True

    def _write(self, data: bytes, *, is_last: bool) -> None:
        if not self._has_body:
            data = b""
        elif self._is_chunked:
            data = (chunk(data) if data else b"") + (LAST_CHUNK if is_last else b"")
        elif self._left is not None:
            self._left -= len(data)
            if self._left < 0 or (is_last and self._left):
                raise RuntimeError("The body is not as long as its content-length says.")
        if self._held_head:
            data, self._held_head = self._held_head + data, b""
        if data:
            self._connection.transport.write(data)
        if is_last:
            self._end()

    def _release_head(self) -> None:
        if self._held_head:
            self._connection.transport.write(self._held_head)
        self._held_head = b""

    def _head(self, status: int, lines: bytes, *, says_close: bool = False) -> bytes:
        standing = self._connection.standing
        # Who waits for `100 Continue` may send the body or not: what comes next on the connection cannot be known.
        if standing.closes or (self._awaits_continue and not self._has_ended):
            self.keeps_alive = False
        close = b"" if self.keeps_alive or says_close or standing.closes else CLOSE
        head = b"%b%b%b%b\r\n" % (STATUS_LINES[status], standing.lines, lines, close)
        return head[len(BEGINNING) :] if self.begins_ahead else head

    def _end(self) -> None:
        self.is_answered = True
        if self._size:
            self._drop_body()
        self._wake()
        self._connection.answered(self)

    # The answer, quicker.

    def takes_answer(self, send: Send) -> bool:
        """Whether `answer` does what `send` would: nobody stands between who adds headers, and the client keeps up."""
        is_open = not (self.has_begun or self.is_gone or self._connection.is_full)
        return is_open and send == self.send and self.scope["method"] != "HEAD"

    def answer(self, status: int, lines: bytes, body: bytes) -> None:
        """Send a whole answer, head and body in one write; `lines` are its headers, the content-length among them."""
        self._connection.transport.write(self._head(status, lines) + body)
        self.has_begun = True
        self._end()

    @property
    def takes_pushes(self) -> bool:
        """Whether the head of an answer without a length has left and the client takes what it is sent."""
        is_open = self.has_begun and self._has_body and not (self.is_answered or self.is_gone)
        return is_open and self._left is None and not (self._held_head or self._connection.is_full)

    def push(self, data: bytes) -> None:
        """Send a piece of such an answer at once."""
        self._connection.transport.write(chunk(data) if self._is_chunked else data)

    @property
    def is_full(self) -> bool:
        """Whether the client does not take more for now."""
        return self._connection.is_full

    async def drained(self) -> None:
        """Until the client takes more, or has gone."""
        await self._connection.drained()

    def watch(self, on_gone: Callable[[], None]) -> None:
        """Have a function called when the client leaves, at once if it has left."""
        self._connection.watch(on_gone)

    def unwatch(self, on_gone: Callable[[], None]) -> None:
        """Call that off."""
        self._connection.unwatch(on_gone)


def _no_room() -> FailedError:
    message = "The gateway has as many request bodies in memory as it takes. Please try again."
    return FailedError(Failure(ErrorKind.GATEWAY_BUSY, message, retry_after_seconds=_RETRY_SECONDS))
