"""uvicorn's HTTP protocol with bounds: what comes before a request's body is limited in size and in time."""

import asyncio
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import unquote, urlsplit

from starlette.types import Scope, Send
from uvicorn.protocols.http.flow_control import CLOSE_HEADER, HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gateway.api.middleware import new_request_id
from gateway.api.requests import ClientGoneError, attach_connection
from gateway.api.shapes import OPENAI, ErrorShape, shape_for
from translators.errors import ErrorKind, Failure

# nginx allows 32 KB; keys, cookies and tracing headers of real clients stay far below.
MAX_HEAD_BYTES: Final = 64 * 1024
# From a connection's, or a further request's, first sign to the end of its headers.
HEAD_SECONDS: Final = 30.0


class ServedRequest:
    """The `ClientConnection` of one request: what uvicorn knows of it beyond ASGI, and quicker ways to answer.

    It goes by uvicorn's own record of the request (`cycle`), and keeps that true.
    """

    __slots__ = ("_cycle", "_limit", "_pieces", "_protocol", "_size", "_waiter")

    def __init__(self, protocol: "BoundedHttpProtocol", cycle: RequestResponseCycle) -> None:
        self._protocol = protocol
        self._cycle = cycle
        self._pieces: list[bytes] = []
        self._size = 0
        # Until somebody wants the body, little of it is taken.
        self._limit = HIGH_WATER_LIMIT
        self._waiter: asyncio.Future[None] | None = None

    async def body(self, limit: int, idle_seconds: float) -> bytes:
        """The whole body, or so much of it that it is above the limit."""
        cycle, protocol = self._cycle, self._protocol
        if cycle.waiting_for_100_continue and not protocol.transport.is_closing():
            protocol.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            cycle.waiting_for_100_continue = False
        self._limit = limit
        while cycle.more_body and self._size <= limit:
            if cycle.disconnected:
                raise ClientGoneError
            protocol.flow.resume_reading()
            await self._news(idle_seconds)
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def feed(self, piece: bytes) -> None:
        """A piece of the body has come; the task waits for the last one only."""
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > self._limit:
            self._protocol.flow.pause_reading()
            self.wake()

    def wake(self) -> None:
        """The body has ended, or has grown too large, or the client has left."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _news(self, idle_seconds: float) -> None:
        """Until `wake`, as long as something comes; raises `TimeoutError`."""
        loop = self._protocol.loop
        while True:
            size = self._size
            self._waiter = loop.create_future()
            done, _ = await asyncio.wait((self._waiter,), timeout=idle_seconds)
            if done:
                return
            if self._size == size:
                raise TimeoutError

    def watch(self, on_gone: Callable[[], None]) -> None:
        """Have a function called when the client leaves, at once if it has left."""
        self._protocol.watch(on_gone)

    def unwatch(self, on_gone: Callable[[], None]) -> None:
        """Call that off."""
        self._protocol.unwatch(on_gone)

    def takes_answer(self, send: Send) -> bool:
        """Whether `answer` does what `send` would: nobody stands between who adds headers, and the client keeps up."""
        cycle = self._cycle
        is_open = not (cycle.response_started or cycle.disconnected or self._protocol.flow.write_paused)
        return is_open and send == cycle.send and cycle.scope["method"] != "HEAD"

    def answer(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """Send a whole answer, head and body in one write; `headers` hold the content-length."""
        cycle, transport = self._cycle, self._protocol.transport
        lines = [STATUS_LINE[status]]
        for name, value in (*cycle.default_headers, *headers):
            if (name, value) == CLOSE_HEADER:
                cycle.keep_alive = False
            else:
                lines += (name, b": ", value, b"\r\n")
        lines.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        lines.append(body)
        transport.write(b"".join(lines))
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.message_event.set()
        if not cycle.keep_alive:
            transport.close()
        cycle.on_response()

    @property
    def takes_pushes(self) -> bool:
        """Whether the head of a chunked answer has left and the client takes what it is sent."""
        cycle = self._cycle
        is_open = cycle.chunked_encoding and not (cycle.response_complete or cycle.disconnected)
        return bool(is_open) and not self._protocol.flow.write_paused

    def push(self, data: bytes) -> None:
        """Send a piece of a chunked answer at once."""
        self._protocol.transport.write(b"%x\r\n%b\r\n" % (len(data), data))


class BoundedHttpProtocol(HttpToolsProtocol):
    """Refuses heads that are too large (431) or too slow (408), and what is no HTTP, in the form of all errors."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._is_in_head = True
        self._head_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._is_gone = False
        self._served: ServedRequest = cast(ServedRequest, None)
        self._watchers: list[Callable[[], None]] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected; it has its time to say what it wants."""
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client, or we, have closed."""
        self._disarm()
        super().connection_lost(exc)
        self._is_gone = True
        if self._served is not None:
            self._served.wake()
        for on_gone in tuple(self._watchers):
            on_gone()
        # They know the connection, and it knows them: what still runs has its own hold on its request.
        self._served = cast(ServedRequest, None)
        self.cycle = cast(RequestResponseCycle, None)

    def data_received(self, data: bytes) -> None:
        """Some bytes of a head or of a body."""
        if self._is_in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if not self._is_in_head or not self._head_bytes or self.transport.is_closing():
            return
        if self._deadline is None:
            self._arm()
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(ErrorKind.HEAD_TOO_LARGE, f"The request's headers are larger than {MAX_HEAD_BYTES} bytes.")

    def on_headers_complete(self) -> None:
        """A request begins."""
        self._is_in_head = False
        self._disarm()
        super().on_headers_complete()
        self._served = ServedRequest(self, self.cycle)
        attach_connection(cast(Scope, self.scope), self._served)

    def on_body(self, body: bytes) -> None:
        """A piece of a body; what comes behind an answer is not looked at."""
        if not self.cycle.response_complete:
            self._served.feed(body)

    def on_message_complete(self) -> None:
        """A request is complete; the next thing to come is another one's head."""
        super().on_message_complete()
        self._served.wake()
        self._is_in_head = True
        self._head_bytes = 0

    def watch(self, on_gone: Callable[[], None]) -> None:
        """Have a function called when the client leaves, at once if it has left."""
        self._watchers.append(on_gone)
        # A large body has paused the reading, and whoever does not read does not hear of an end.
        self.flow.resume_reading()
        if self._is_gone:
            on_gone()

    def unwatch(self, on_gone: Callable[[], None]) -> None:
        """Call that off; the next request may be watched already."""
        self._watchers.remove(on_gone)

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self._refuse(ErrorKind.INVALID_REQUEST, msg)

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if self._head_bytes:
            self._refuse(ErrorKind.TOO_SLOW, "The request did not arrive in time.")
        else:
            self.transport.close()

    def _refuse(self, kind: ErrorKind, message: str) -> None:
        cycle = self.cycle
        is_answering = cycle is not None and (self.pipeline or (cycle.response_started and not cycle.response_complete))
        if is_answering:
            # A second head in the middle of an answer would be read as a part of it.
            self.transport.close()
            return
        request_id = new_request_id()
        answer = self._shape().answer(Failure(kind, message), request_id)
        head = [
            f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
            "content-type: application/json",
            f"content-length: {len(answer.body)}",
            *(f"{name}: {value}" for name, value in answer.headers.items()),
            f"x-request-id: {request_id}",
            "connection: close",
            "\r\n",
        ]
        self.transport.write("\r\n".join(head).encode() + answer.body)
        self.transport.close()

    def _shape(self) -> ErrorShape:
        """The form of errors at the address that was asked, as far as it has arrived."""
        # uvicorn has neither address nor headers before a first request has begun.
        if self.headers is None:
            return OPENAI
        try:
            path = urlsplit(self.url.decode("latin-1")).path
        except ValueError:
            return OPENAI
        return shape_for({"path": unquote(path), "headers": self.headers})
