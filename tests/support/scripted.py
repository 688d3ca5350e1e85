"""A scripted upstream: a real TCP server that answers with any bytes at any time and remembers what it was sent.

Nothing here sleeps. A test holds an answer back with `Wait(event)`, learns how far it has come with `Reached(event)`,
and waits for the server's side of things with `wait_for_requests` and `wait_for_disconnects`.
"""

import asyncio
import json
import socket
import ssl
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Literal, Protocol, cast

import httptools

PATIENCE_SECONDS = 60.0
"""How long a test waits for something that should happen at once before it fails instead of hanging."""

REQUEST_ID = "req_011CScriptedUpstream"
REASONS = {status.value: status.phrase for status in HTTPStatus} | {529: "Overloaded"}
NO_MODELS = {"data": [], "has_more": False, "first_id": None, "last_id": None}

Framing = Literal["chunked", "content-length", "close"]
Headers = Mapping[str, str] | Iterable[tuple[str, str]]


class Step(Protocol):
    """One thing that an answer does; a cancelled step means that the client has left."""

    async def play(self, connection: "Connection") -> None: ...


@dataclass(frozen=True, slots=True)
class Send:
    """Send these bytes exactly as they are; with a packet size, in pieces that reach the client as separate reads."""

    data: bytes
    packet_size: int | None = None

    async def play(self, connection: "Connection") -> None:
        size = self.packet_size or len(self.data) or 1
        for start in range(0, len(self.data), size):
            await connection.send_packet(self.data[start : start + size])


@dataclass(frozen=True, slots=True)
class Wait:
    """Go on when the test sets the event."""

    event: asyncio.Event

    async def play(self, connection: "Connection") -> None:
        await self.event.wait()


@dataclass(frozen=True, slots=True)
class Reached:
    """Tell the test that everything before this step is with the kernel."""

    event: asyncio.Event

    async def play(self, connection: "Connection") -> None:
        self.event.set()


@dataclass(frozen=True, slots=True)
class Silence:
    """Say nothing more until the client leaves."""

    async def play(self, connection: "Connection") -> None:
        await asyncio.Event().wait()


@dataclass(frozen=True, slots=True)
class Reset:
    """Break the connection off with a TCP reset."""

    async def play(self, connection: "Connection") -> None:
        await connection.reset()


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection in an orderly way, whether or not the answer is complete."""

    async def play(self, connection: "Connection") -> None:
        connection.close()


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back for one request, from the status line on: the steps, played in order."""

    steps: tuple[Step, ...]

    def then(self, *steps: Step) -> "Answer":
        """The same answer with more steps after it, such as `Close()` once it is complete."""
        return Answer((*self.steps, *steps))

    def in_packets(self, size: int | None) -> "Answer":
        """The same answer with everything it sends, the head as well, in packets of this size."""
        return Answer(tuple(replace(step, packet_size=size) if isinstance(step, Send) else step for step in self.steps))


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request as the server read it; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    @property
    def api_key(self) -> str | None:
        """The credential: `x-api-key`, else the bearer token."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return self.headers.get("x-api-key") or (token if scheme.lower() == "bearer" else None)


Scripted = Answer | Callable[[ReceivedRequest], Answer]


def stream_answer(
    *pieces: bytes | Step,
    status: int = 200,
    headers: Headers = (),
    framing: Framing = "chunked",
    packet_size: int | None = None,
) -> Answer:
    """A streamed answer: each piece of bytes is framed and sent on its own; steps are played where they stand.

    A `Send` among the pieces is not framed, so that it can break the framing. What follows a `Close`, `Reset` or
    `Silence`, the end of a chunked body included, is never sent.
    """
    defaults = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
    length = sum(len(piece) for piece in pieces if isinstance(piece, bytes))
    head = _head(status, {**defaults, **_framing_headers(framing, length), **_lower(headers)})
    steps = [Send(_framed(piece, framing)) if isinstance(piece, bytes) else piece for piece in pieces]
    end: dict[Framing, tuple[Step, ...]] = {"chunked": (Send(b"0\r\n\r\n"),), "content-length": (), "close": (Close(),)}
    answer = Answer((Send(head), *steps, *end[framing]))
    return answer.in_packets(packet_size) if packet_size else answer


def json_answer(status: int, body: object, headers: Headers = ()) -> Answer:
    """An answer in one piece; `bytes` and `str` go out as they are, anything else as JSON."""
    data = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    defaults = {"content-type": "application/json", "content-length": str(len(data))}
    return Answer((Send(_head(status, {**defaults, **_lower(headers)}) + data),))


def error_answer(
    status: int, error_type: str, message: str, *, details: object = None, headers: Headers = ()
) -> Answer:
    """An error before the stream, in Anthropic's words."""
    error = {"type": error_type, "message": message} | ({} if details is None else {"details": details})
    return json_answer(status, {"type": "error", "error": error, "request_id": REQUEST_ID}, headers)


class ScriptedUpstream:
    """Answers requests as the test has scripted them.

    The first of these that has an answer gives it: the queue of the request's API key, the key's `always`,
    the general queue, the general `always`. Otherwise the client gets a 500 that says so.
    `GET /v1/models` stands apart: it is in `model_requests` instead of `received` and uses up no answers.
    """

    def __init__(self) -> None:
        self.base_url = ""
        self.received: list[ReceivedRequest] = []
        self.model_requests: list[ReceivedRequest] = []
        self.disconnects = 0
        self.connections_accepted = 0
        self.failures: list[Exception] = []
        self._connections: set[Connection] = set()
        self._queues: dict[str | None, deque[Scripted]] = {}
        self._always: dict[str | None, Scripted] = {}
        self._models: Scripted = json_answer(200, NO_MODELS)
        self._news = asyncio.Event()

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self._connections)

    def script(self, *answers: Scripted) -> None:
        """Queue answers: each is used once, in order of the requests' arrival."""
        self._queues.setdefault(None, deque()).extend(answers)

    def by_key(self, api_key: str, *answers: Scripted) -> None:
        """Queue answers for the requests that carry this API key."""
        self._queues.setdefault(api_key, deque()).extend(answers)

    def always(self, answer: Scripted, *, api_key: str | None = None) -> None:
        """What to answer, for everyone or for one API key, when the queue is empty."""
        self._always[api_key] = answer

    def models(self, answer: Scripted) -> None:
        """What to answer to each `GET /v1/models`; an empty list unless told otherwise."""
        self._models = answer

    async def wait_for_requests(self, count: int) -> None:
        """Until so many requests, `GET /v1/models` aside, have been received in all."""
        await self._until(lambda: len(self.received) >= count, f"{count} requests")

    async def wait_for_disconnects(self, count: int) -> None:
        """Until so many connections in all were left by the client while an answer was in progress."""
        await self._until(lambda: self.disconnects >= count, f"{count} disconnects")

    async def wait_for_connections(self, count: int) -> None:
        """Until exactly so many connections are open."""
        await self._until(lambda: self.open_connections == count, f"{count} open connections")

    def close_idle_connections(self) -> None:
        """Close, in an orderly way, every connection on which no answer is in progress."""
        for connection in tuple(self._connections):
            if not connection.answering:
                connection.close()

    def answer_to(self, request: ReceivedRequest) -> Answer:
        """Note a request and choose its answer."""
        is_models = request.method == "GET" and request.path.partition("?")[0].startswith("/v1/models")
        (self.model_requests if is_models else self.received).append(request)
        self._news.set()
        scripted = self._models if is_models else self._next(request)
        try:
            return scripted if isinstance(scripted, Answer) else scripted(request)
        except Exception as error:
            self.failures.append(error)
            return error_answer(500, "api_error", f"The scripted answer raised {error!r}.")

    def connected(self, connection: "Connection") -> int:
        """Note a new connection and give its number."""
        self._connections.add(connection)
        self.connections_accepted += 1
        self._news.set()
        return self.connections_accepted

    def disconnected(self, connection: "Connection", *, answering: bool) -> None:
        """Note that a connection is gone, and whether the client left too early."""
        self._connections.discard(connection)
        self.disconnects += answering
        self._news.set()

    async def end(self) -> None:
        """Break off whatever is still open and wait until it is gone."""
        for connection in tuple(self._connections):
            connection.abort()
        await self.wait_for_connections(0)

    def _next(self, request: ReceivedRequest) -> Scripted:
        keys = (None,) if request.api_key is None else (request.api_key, None)
        for key in keys:
            if queue := self._queues.get(key):
                return queue.popleft()
            if key in self._always:
                return self._always[key]
        what = f"request {len(self.received)} ({request.method} {request.path}, key {request.api_key})"
        return error_answer(500, "api_error", f"The script has no answer left for {what}.")

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            seen = f"{len(self.received)} requests, {self.disconnects} disconnects, {self.open_connections} open"
            raise TimeoutError(f"Waited for {what}, saw {seen}.") from None


class Connection(asyncio.Protocol):
    """One accepted connection: reads requests at all times, answers them one after another."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self._upstream = upstream
        self._parser = httptools.HttpRequestParser(self)
        self._request = _PartialRequest()
        self._answers: deque[Answer] = deque()
        self._player: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._ended = False  # by us, and not by the client

    @property
    def answering(self) -> bool:
        """Whether an answer is in progress."""
        return self._player is not None

    async def send_packet(self, data: bytes) -> None:
        """Send bytes that a client in the same loop gets as a read of its own; returns when the kernel has them."""
        # The client's loop has to come round before the next packet: in the first pass it learns of what is already
        # there, in the second it has read it. Before and not after, so that an answer ends with its last byte.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self._transport.write(data)
        await self._writable.wait()
        if self._transport.is_closing():
            # The client has left; the answer stays in progress until connection_lost counts that and cancels it.
            await asyncio.Event().wait()

    async def reset(self) -> None:
        """End the connection with a TCP reset, once the client had its turn to read what was sent before."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        linger_for_no_time = struct.pack("ii", 1, 0)
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_for_no_time)
        self._ended = True
        self._transport.abort()

    def close(self) -> None:
        """End the connection in an orderly way."""
        self._ended = True
        self._transport.close()

    def abort(self) -> None:
        """Drop the connection; an answer in progress ends, and does not count as left by the client."""
        self._stop_answering()
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports do not inherit from asyncio's
        # What has been written is with the kernel, or else writing is paused.
        # asyncio's TLS compares with >= and would never resume at 0.
        self._transport.set_write_buffer_limits(high=int(transport.get_extra_info("sslcontext") is not None))
        self._number = self._upstream.connected(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # a client that would like WebSocket gets the scripted answer, as any other
        except httptools.HttpParserError as error:
            self._upstream.failures.append(error)
            self.abort()

    def eof_received(self) -> None:
        # A client that half-closes has left, as far as HTTP clients go; waiting for our own writes would hide it.
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._upstream.disconnected(self, answering=self.answering)
        self._stop_answering()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def on_message_begin(self) -> None:
        self._request = _PartialRequest()

    def on_url(self, url: bytes) -> None:
        self._request.path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._request.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._request.body += body

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode()
        path, headers, body = self._request.path.decode(), self._request.headers, bytes(self._request.body)
        answer = self._upstream.answer_to(ReceivedRequest(method, path, headers, body, self._number))
        self._answers.append(answer if self._parser.should_keep_alive() else answer.then(Close()))
        if self._player is None:
            self._player = asyncio.get_running_loop().create_task(self._play())

    async def _play(self) -> None:
        try:
            while self._answers:
                for step in self._answers.popleft().steps:
                    await step.play(self)
                    if self._ended:
                        return
        except Exception as error:
            self._upstream.failures.append(error)
            self._transport.abort()
        finally:
            self._player = None

    def _stop_answering(self) -> None:
        if self._player is not None:
            self._player.cancel()
            self._player = None


@asynccontextmanager
async def scripted_upstream(
    host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[ScriptedUpstream]:
    """A scripted upstream on a free port of this machine; at the end, what went wrong inside it is raised."""
    upstream = ScriptedUpstream()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(upstream), host, 0, ssl=tls)
    upstream.base_url = _base_url(server.sockets[0], "https" if tls else "http")
    try:
        yield upstream
    finally:
        server.close()
        await upstream.end()
        await server.wait_closed()
    if upstream.failures:
        raise ExceptionGroup("The scripted upstream failed.", upstream.failures)


@contextmanager
def refusing_upstream() -> Iterator[str]:
    """The base URL of a port that refuses every connection."""
    # Bound but not listening: nobody else can take the port meanwhile.
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield _base_url(bound)


@dataclass(slots=True)
class _PartialRequest:
    path: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


class _HasName(Protocol):
    def getsockname(self) -> Any: ...


def _base_url(bound: _HasName, scheme: str = "http") -> str:
    host, port = bound.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"{name}: {value}\r\n" for name, value in ({"request-id": REQUEST_ID} | dict(headers)).items()]
    return f"HTTP/1.1 {status} {REASONS.get(status, '')}\r\n{''.join(lines)}\r\n".encode("latin-1")


def _lower(headers: Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in dict(headers).items()}


def _framing_headers(framing: Framing, length: int) -> dict[str, str]:
    return {
        "chunked": {"transfer-encoding": "chunked"},
        "content-length": {"content-length": str(length)},
        "close": {"connection": "close"},
    }[framing]


def _framed(piece: bytes, framing: Framing) -> bytes:
    # An empty chunk would end the body.
    return b"%x\r\n%b\r\n" % (len(piece), piece) if framing == "chunked" and piece else piece
