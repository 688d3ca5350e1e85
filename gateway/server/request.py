"""One request that is being served: its body as it comes, and the ways to answer it."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from starlette.types import Message, Scope, Send

from gateway.api.requests import ClientGoneError
from gateway.server.heads import (
    BODILESS,
    CHUNKED,
    CLOSE,
    CONTINUE,
    LAST_CHUNK,
    STATUS_LINES,
    Fields,
    chunk,
    fields,
)

# Until somebody wants the body, so much of it is taken.
HIGH_WATER_BYTES: Final = 64 * 1024


class Connection(Protocol):
    """What a request needs from its connection."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    is_full: bool

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
        "_connection",
        "_has_body",
        "_has_ended",
        "_held_head",
        "_is_chunked",
        "_is_told",
        "_left",
        "_limit",
        "_news",
        "_pieces",
        "_size",
        "_wants_pieces",
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
        self._pieces: list[bytes] = []
        self._size = 0
        self._limit = HIGH_WATER_BYTES
        self._has_ended = False
        self._is_told = False
        self._wants_pieces = False
        self._news: asyncio.Event | None = None
        # The answer's.
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
        if self.is_answered:
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > self._limit:
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
        self._wake()

    # The body.

    async def body(self, limit: int, idle_seconds: float) -> bytes:
        """The whole body, or so much of it that it is above the limit."""
        self._continue()
        self._limit = limit
        while not self._has_ended and self._size <= limit:
            if self.is_gone:
                raise ClientGoneError
            self._connection.resume_reading()
            await self._until_news(idle_seconds)
        return self._taken()

    async def receive(self) -> Message:
        """The next message of ASGI."""
        self._continue()
        self._wants_pieces = True
        while not (self._pieces or (self._has_ended and not self._is_told) or self.is_gone or self.is_answered):
            self._connection.resume_reading()
            await self._wait()
        if self.is_gone or self.is_answered:
            return {"type": "http.disconnect"}
        # Behind the end of the body only that of the request is news.
        self._is_told = self._has_ended
        return {"type": "http.request", "body": self._taken(), "more_body": not self._has_ended}

    def _continue(self) -> None:
        if self._awaits_continue and not (self._has_ended or self.is_gone):
            self._connection.transport.write(CONTINUE)
        self._awaits_continue = False

    def _taken(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        self._size = 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _until_news(self, idle_seconds: float) -> None:
        """Until `_wake`, as long as something comes; raises `TimeoutError`."""
        while True:
            size = self._size
            try:
                async with asyncio.timeout(idle_seconds):
                    return await self._wait()
            except TimeoutError:
                if self._size == size:
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
        return b"%b%b%b%b\r\n" % (STATUS_LINES[status], standing.lines, lines, close)

    def _end(self) -> None:
        self.is_answered = True
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
