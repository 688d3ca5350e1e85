"""One request that is being served: how it is answered."""

import asyncio
from typing import Final

from starlette.types import Message, Scope, Send

from gateway.http.body import Connection, ReceivedRequest
from gateway.http.response_head import (
    BEGINNING,
    BODILESS,
    CHUNKED,
    CLOSE,
    LAST_CHUNK,
    LEADING_ZERO,
    STATUS_LINES,
    Fields,
    chunk,
    fields,
)

# The key in the ASGI scope under which applications find the request.
SERVED_REQUEST: Final = "dragoman.served_request"


class ServedRequest(ReceivedRequest):
    """A request as an ASGI application sees it (`receive`, `send`), and faster ways to answer it."""

    __slots__ = (
        "_has_body",
        "_held_head",
        "_is_chunked",
        "_left",
        "begins_ahead",
        "has_begun",
        "is_patient",
        "task",
    )

    def __init__(self, connection: Connection, scope: Scope, *, keeps_alive: bool, awaits_continue: bool) -> None:
        super().__init__(connection, scope, keeps_alive=keeps_alive, awaits_continue=awaits_continue)
        self.has_begun = False
        # Whether `send` waits while the client does not read.
        self.is_patient = True
        self.task: asyncio.Task[None] | None = None
        # Whether `BEGINNING` was sent before the answer was known.
        self.begins_ahead = False
        self._held_head = b""
        self._has_body = True
        self._is_chunked = False
        self._left: int | None = None

    @property
    def has_sent(self) -> bool:
        """Whether any of the answer was written."""
        return self.has_begun and not self._held_head

    # Called by the connection.

    def leave(self) -> None:
        """The client has gone, or its connection is about to be closed."""
        self.is_gone = True
        self._held_head = b""
        self._drop_body()
        self._wake()

    def send_ahead(self) -> None:
        """Send the first bytes of any answer or chunk, as a probe: a client that has gone answers with a reset."""
        if not self.has_begun and not self.begins_ahead:
            self.begins_ahead = True
            self.connection.transport.write(BEGINNING)
        elif self._is_chunked and self._has_body and self.has_sent and not self.is_answered:
            self.connection.transport.write(LEADING_ZERO)

    # Answering by ASGI.

    async def send(self, message: Message) -> None:
        """Send a head or a piece of a body; waits while the client does not read."""
        if self.is_patient and self.connection.is_full:
            await self.connection.drained()
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
            # In HTTP/1.0 the end of the connection ends a body of unknown length.
            self._is_chunked = True
            framing = CHUNKED
        self.keeps_alive = self.keeps_alive and not given.closes
        # The body usually follows at once; then both leave in one write. If not, the head is sent alone.
        self._held_head = self._head(status, given.lines + framing, says_close=given.closes)
        self.connection.loop.call_soon(self._release_head)
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
            self.connection.transport.write(data)
        if is_last:
            self._end()

    def _release_head(self) -> None:
        if self._held_head:
            self.connection.transport.write(self._held_head)
        self._held_head = b""

    def _head(self, status: int, lines: bytes, *, says_close: bool = False) -> bytes:
        standing = self.connection.standing
        # A client that waits for `100 Continue` may or may not send the body, so the next bytes would be ambiguous.
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
        self.connection.answered(self)

    # Answering faster.

    def takes_answer(self, send: Send) -> bool:
        """Whether `answer` has the same effect as `send`: no middleware wraps it, and the client keeps up."""
        is_open = not (self.has_begun or self.is_gone or self.connection.is_full)
        return is_open and send == self.send and self.scope["method"] != "HEAD"

    def answer(self, status: int, lines: bytes, body: bytes) -> None:
        """Send a whole answer in one write; `lines` are its headers, including the content-length."""
        self.connection.transport.write(self._head(status, lines) + body)
        self.has_begun = True
        self._end()

    @property
    def takes_pushes(self) -> bool:
        """Whether `push` may be used: the head was sent, without a content-length, and the client keeps up."""
        is_open = self.has_begun and self._has_body and not (self.is_answered or self.is_gone)
        return is_open and self._left is None and not (self._held_head or self.connection.is_full)

    def push(self, data: bytes) -> None:
        """Send a piece of the body without waiting."""
        self.connection.transport.write(chunk(data) if self._is_chunked else data)


def served_request(scope: Scope) -> ServedRequest | None:
    """The request that a scope belongs to; None if another server runs the application."""
    return scope.get(SERVED_REQUEST)
