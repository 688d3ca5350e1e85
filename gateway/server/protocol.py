"""One client's connection: requests are read, served in their order, and answered (docs/adr/0002)."""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast
from urllib.parse import unquote

import httptools
from starlette.types import ASGIApp, Scope
from uvicorn import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from gateway.api.requests import attach_connection, detach_connection
from gateway.server.heads import Fields, standing_fields
from gateway.server.refusals import refusal
from gateway.server.request import ServedRequest
from translators.errors import ErrorKind

# nginx allows 32 KB; keys, cookies and tracing headers of real clients stay far below.
MAX_HEAD_BYTES: Final = 64 * 1024
# From a connection's, or a further request's, first sign to the end of its headers.
HEAD_SECONDS: Final = 30.0

_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}

logger: Final = logging.getLogger("uvicorn.error")


class HttpProtocol(asyncio.Protocol):
    """A connection for uvicorn's server: what comes before a request's body is limited in size and in time.

    Heads that are too large (431) or too slow (408), and what is no HTTP, are refused in the form of all errors.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self.loop = _loop or asyncio.get_running_loop()
        # Whether the client does not take more for now.
        self.is_full = False
        # Whether nothing has been asked yet.
        self.is_new = True
        self._app = cast(ASGIApp, config.loaded_app)
        self._keepalive_seconds = config.timeout_keep_alive
        self._state = server_state
        self._app_state = app_state
        self._common_scope: Scope = {}
        self._is_gone = False
        self._is_paused = False
        self._drained: asyncio.Event | None = None
        self._watchers: list[Callable[[], None]] = []
        # What is being read. Its bytes without news: of a head, of trailers, or of what stands around chunks.
        self._parser: httptools.HttpRequestParser | None = _parser(self)
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._expects_continue = False
        self._is_in_head = True
        self._fruitless_bytes = 0
        self._reading: ServedRequest | None = None
        # What is being answered, and what has come behind it.
        self._serving: ServedRequest | None = None
        self._waiting: deque[ServedRequest] = deque()
        # One timer for all limits: it is not moved with every request, but looks where things stand when it fires.
        self._due = math.inf
        self._timer: asyncio.TimerHandle | None = None

    # What the network calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected; it has its time to say what it wants."""
        # uvloop's transports do not inherit from asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        self._state.connections.add(cast(Any, self))
        self._common_scope = {
            "type": "http",
            "asgi": _ASGI,
            "server": get_local_addr(self.transport),
            "client": get_remote_addr(self.transport),
            "scheme": "https" if is_ssl(self.transport) else "http",
            "root_path": "",
        }
        self._end_at(self.loop.time() + HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client, or we, have closed."""
        self._is_gone = True
        self._state.connections.discard(cast(Any, self))
        if self._timer is not None:
            self._timer.cancel()
        self.resume_writing()
        for request in (self._serving, self._reading):
            if request is not None:
                request.leave()
        for on_gone in tuple(self._watchers):
            on_gone()
        # They know the connection, and it knows them: what still runs has its own hold on its request.
        self._parser = self._serving = self._reading = None
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        """Some bytes of a head or of a body."""
        self._fruitless_bytes += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self._refuse(ErrorKind.INVALID_REQUEST, "Invalid HTTP request received.")
            return
        if self._serving is not None and not self._fruitless_bytes:
            return
        if self._fruitless_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(ErrorKind.HEAD_TOO_LARGE, f"The request's headers are larger than {MAX_HEAD_BYTES} bytes.")
        elif self._serving is None and self._is_in_head and self._fruitless_bytes == len(data) and not self.is_new:
            # The first sign of a further request; a connection's first one has its time since it connected.
            self._end_at(self.loop.time() + HEAD_SECONDS)

    def eof_received(self) -> None:
        """The client will send nothing more; that the transport closes now is asyncio's default."""

    def pause_writing(self) -> None:
        """The client does not take more for now."""
        self.is_full = True
        if self._drained is not None:
            self._drained.clear()

    def resume_writing(self) -> None:
        """The client takes more, or has gone."""
        self.is_full = False
        if self._drained is not None:
            self._drained.set()

    # What the parser calls.

    def on_message_begin(self) -> None:
        """A request begins."""
        self._url = b""
        self._headers = []
        self._expects_continue = False

    def on_url(self, url: bytes) -> None:
        """A piece of its address."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header of its head, or a trailer, which nobody reads."""
        if not self._is_in_head:
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self._expects_continue = True
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Its head is complete."""
        parser = self._parser
        assert parser is not None, "it is calling"
        path, query = _parts(self._url)
        if parser.should_upgrade():
            # It comes once more, as `_plain_head`.
            return
        version = parser.get_http_version()
        scope: Scope = {
            **self._common_scope,
            "http_version": version,
            "method": parser.get_method().decode("ascii"),
            "path": unquote(path) if "%" in path else path,
            "raw_path": path.encode("ascii"),
            "query_string": query,
            "headers": self._headers,
            "state": self._app_state.copy(),
        }
        is_current = version == "1.1"
        request = ServedRequest(
            self,
            scope,
            keeps_alive=is_current and parser.should_keep_alive(),
            awaits_continue=is_current and self._expects_continue,
        )
        attach_connection(scope, request)
        self.is_new = self._is_in_head = False
        self._fruitless_bytes = 0
        self._reading = request
        if self._serving is None:
            self._serve(request)
        else:
            self.pause_reading()
            self._waiting.append(request)

    def on_body(self, body: bytes) -> None:
        """A piece of its body."""
        self._fruitless_bytes = 0
        if self._reading is not None:
            self._reading.feed(body)

    def on_message_complete(self) -> None:
        """A request is complete; the next thing to come is another one's head."""
        if self._reading is not None:
            self._reading.end_body()
            self._reading = None
        self._is_in_head = True
        self._fruitless_bytes = 0

    # What requests use.

    @property
    def standing(self) -> Fields:
        """The headers that every answer carries."""
        return standing_fields(tuple(self._state.default_headers))

    def pause_reading(self) -> None:
        """Take nothing more from the client for now."""
        if not self._is_paused:
            self._is_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on reading, if that was paused."""
        if self._is_paused and not self._is_gone:
            self._is_paused = False
            self.transport.resume_reading()

    async def drained(self) -> None:
        """Until the client takes more, or has gone."""
        if self._drained is None:
            self._drained = asyncio.Event()
        while self.is_full:
            await self._drained.wait()

    def answered(self, request: ServedRequest) -> None:
        """The last byte of an answer was written: the next one has its turn."""
        self._state.total_requests += 1
        self._serving = None
        if not request.keeps_alive:
            self.transport.close()
            return
        if self.transport.is_closing():
            return
        self.resume_reading()
        if self._waiting:
            self._serve(self._waiting.popleft())
        else:
            has_next = self._is_in_head and self._fruitless_bytes
            self._end_at(self.loop.time() + (HEAD_SECONDS if has_next else self._keepalive_seconds))

    def watch(self, on_gone: Callable[[], None]) -> None:
        """Have a function called when the client leaves, at once if it has left."""
        self._watchers.append(on_gone)
        # A large body has paused the reading, and whoever does not read does not hear of an end.
        self.resume_reading()
        if self._is_gone:
            on_gone()

    def unwatch(self, on_gone: Callable[[], None]) -> None:
        """Call that off; the next request may be watched already."""
        self._watchers.remove(on_gone)

    # What uvicorn's server uses.

    def shutdown(self) -> None:
        """Close after the answers to what has been asked."""
        last = self._waiting[-1] if self._waiting else self._serving
        if last is None:
            self.transport.close()
        else:
            last.keeps_alive = False

    def _parse(self, data: bytes) -> None:
        while data and self._parser is not None:
            try:
                self._parser.feed_data(data)
                data = b""
            except httptools.HttpParserUpgrade as upgrade:
                data = self._plain_head() + data[upgrade.args[0] :]
                self._parser = _parser(self)

    def _plain_head(self) -> bytes:
        """The head that has just been read, without its wish to upgrade.

        There is nothing to upgrade to, so it begins a request like any other (RFC 9110, 7.8). But the parser takes what
        stands behind it for another protocol, and would not see that it is a body.
        """
        assert self._parser is not None, "it has just read"
        lines = [b"%b %b HTTP/%b" % (self._parser.get_method(), self._url, self._parser.get_http_version().encode())]
        lines += [b"%b: %b" % header for header in self._headers if header[0] != b"upgrade"]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _serve(self, request: ServedRequest) -> None:
        self._serving = request
        self._due = math.inf
        request.task = self.loop.create_task(self._run(request))
        self._state.tasks.add(request.task)

    async def _run(self, request: ServedRequest) -> None:
        """Run the application, which has to answer, whatever happens in it."""
        try:
            await self._app(request.scope, request.receive, request.send)
        except Exception:
            logger.exception("The application has failed.")
        finally:
            if not (request.is_answered or request.is_gone):
                self._refuse(ErrorKind.INTERNAL, "The gateway has failed.")
            # The request knows its scope, which knows the request.
            detach_connection(request.scope)
            self._state.tasks.discard(cast("asyncio.Task[None]", request.task))

    # Limits.

    def _end_at(self, due: float) -> None:
        self._due = due
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self.loop.call_at(due, self._check)

    def _check(self) -> None:
        self._timer = None
        if self._due > self.loop.time():
            if self._due != math.inf:
                self._timer = self.loop.call_at(self._due, self._check)
        elif self._is_in_head and self._fruitless_bytes:
            self._refuse(ErrorKind.TOO_SLOW, "The request did not arrive in time.")
        else:
            self.transport.close()

    def _refuse(self, kind: ErrorKind, message: str) -> None:
        """The end of a connection that cannot go on; a head in the middle of an answer would be read as its part."""
        serving = self._serving
        if not (self.transport.is_closing() or self._waiting or (serving is not None and serving.has_sent)):
            self.transport.write(refusal(kind, message, self._url, self._headers))
        self.transport.close()
        for request in (serving, self._reading):
            if request is not None:
                request.leave()


def _parser(protocol: HttpProtocol) -> httptools.HttpRequestParser:
    parser = httptools.HttpRequestParser(protocol)
    # What comes behind a request with `Connection: close` is passed over, and does not keep that one from its answer.
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def _parts(url: bytes) -> tuple[str, bytes]:
    """Path and query of a request's target; raises for what has none, or bytes that no address may have."""
    if url.startswith(b"/") and b"#" not in url:
        path, _, query = url.partition(b"?")
        return path.decode("ascii"), query
    parsed = httptools.parse_url(url)
    return parsed.path.decode("ascii"), parsed.query or b""
