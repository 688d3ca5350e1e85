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
from gateway.server.asked import (
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    check_head,
    refusal_of,
    target_parts,
    too_many_headers,
)
from gateway.server.heads import BEGINNING, Fields, standing_fields
from gateway.server.limits import ServerLimits
from gateway.server.refusals import refusal
from gateway.server.request import ServedRequest
from gateway.server.watching import WatchedConnection
from translators.errors import ErrorKind, Failure

# From a connection's, or a further request's, first sign to the end of its headers.
HEAD_SECONDS: Final = 30.0
# Requests behind the one that is answered; those that come behind them have to be sent again on another connection.
MAX_WAITING: Final = 32
# A client that finds no place may find one soon.
_RETRY_SECONDS: Final = 2.0
# So long its request may take to come, so that it can be answered; and so many may be waited for at once.
_TURN_AWAY_SECONDS: Final = 1.0
_MOST_TURNED_AWAY: Final = 64
# What happens to many connections is told once in so much time.
_TELL_SECONDS: Final = 60.0

_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}

logger: Final = logging.getLogger("uvicorn.error")


class HttpProtocol(WatchedConnection):
    """A connection for uvicorn's server: what comes before a request's body is limited in size and in time.

    Heads that are too large (431) or too slow (408), and what is no HTTP, are refused in the form of all errors. So is
    a connection for which there is no place (503). A client that takes nothing of its answer is cut off.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: ServerLimits | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        super().__init__(_loop or asyncio.get_running_loop(), limits or ServerLimits())
        # Whether nothing has been asked yet.
        self.is_new = True
        self._app = cast(ASGIApp, config.loaded_app)
        self._keepalive_seconds = config.timeout_keep_alive
        self._state = server_state
        self._app_state = app_state
        self._common_scope: Scope = {}
        self._is_paused = False
        self._drained: asyncio.Event | None = None
        self._watchers: list[Callable[[], None]] = []
        # What is being read. Its bytes without news: of a head, of trailers, or of what stands around chunks.
        self._parser: httptools.HttpRequestParser | None = _parser(self)
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._is_in_head = True
        self._fruitless_bytes = 0
        # How much of them is counted as an unfinished head.
        self._head_bytes = 0
        self._reading: ServedRequest | None = None
        # What is being answered, and what has come behind it.
        self._serving: ServedRequest | None = None
        self._waiting: deque[ServedRequest] = deque()
        # Under what the connection is counted; None: it is not.
        self._place: str | None = None
        self._is_turned_away = False

    # What the network calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected; it has its time to say what it wants."""
        # uvloop's transports do not inherit from asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        client = get_remote_addr(self.transport)
        if not self._has_entered(client):
            return
        self._state.connections.add(cast(Any, self))
        self._common_scope = {
            "type": "http",
            "asgi": _ASGI,
            "server": get_local_addr(self.transport),
            "client": client,
            "scheme": "https" if is_ssl(self.transport) else "http",
            "root_path": "",
        }
        self._end_at(self.loop.time() + HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client, or we, have closed."""
        self._is_gone = True
        self._state.connections.discard(cast(Any, self))
        if self._place is not None:
            self.limits.leave(self._place)
            self._place = None
        self.limits.head_bytes -= self._head_bytes
        self._head_bytes = 0
        if self._is_turned_away:
            self.limits.turned_away -= 1
            self._is_turned_away = False
        self._stop_watching()
        self.resume_writing()
        for request in (self._serving, self._reading):
            if request is not None:
                request.leave()
        for on_gone in tuple(self._watchers):
            on_gone()
        # They know the connection, and it knows them: what still runs has its own hold on its request.
        self._parser = self._serving = self._reading = None
        while self._waiting:
            self._drop(self._waiting.popleft())

    def data_received(self, data: bytes) -> None:
        """Some bytes of a head or of a body."""
        if self._parser is None:
            if self._is_turned_away:
                self._turn_away()
            return
        self._fruitless_bytes += len(data)
        try:
            self._parse(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._stop_reading(error)
            return
        if self._fruitless_bytes or self._head_bytes:
            self._count_head()
        if self._serving is not None and not self._fruitless_bytes:
            return
        self._check_head_so_far(is_first_sign=self._fruitless_bytes == len(data))

    def eof_received(self) -> bool:
        """The client will send nothing more; whether the connection stays open until it has its answers.

        It may also have gone. TCP tells the two apart only when something is sent: who has gone refuses it.
        """
        if self._is_watched_for_reset:
            return True
        if self._waiting and self._waiting[-1] is self._reading:
            # The rest of it will never come.
            self._drop(self._waiting.pop())
            self._reading = None
        if self._serving is None or self._reading is not None:
            return False
        self._parser = None
        self.shutdown()
        if not self.is_full:
            self._serving.send_ahead()
        self._watch_for_reset()
        return True

    def pause_writing(self) -> None:
        """The client does not take more for now."""
        self.is_full = True
        if self._drained is not None:
            self._drained.clear()
        self._watch_taking()

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

    def on_url(self, url: bytes) -> None:
        """A piece of its address."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header of its head, or a trailer, which nobody reads; of too many only so many are kept as show that."""
        if self._is_in_head and len(self._headers) <= MAX_HEADERS:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Its head is complete."""
        parser = self._parser
        assert parser is not None, "it is calling"
        version, method = parser.get_http_version(), parser.get_method()
        awaits_continue = check_head(method, version, self._headers)
        path, query = target_parts(self._url)
        if parser.should_upgrade():
            # It comes once more, as `_plain_head`.
            return
        if len(self._waiting) >= MAX_WAITING:
            raise _EnoughError
        scope: Scope = {
            **self._common_scope,
            "http_version": version,
            "method": method.decode("ascii"),
            "path": unquote(path) if "%" in path else path,
            "raw_path": path.encode("ascii"),
            "query_string": query,
            "headers": self._headers,
            "state": self._app_state.copy(),
        }
        keeps_alive = version == "1.1" and parser.should_keep_alive()
        request = ServedRequest(self, scope, keeps_alive=keeps_alive, awaits_continue=awaits_continue)
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
            self._close()
            return
        if self.transport.is_closing():
            return
        self.resume_reading()
        if self._waiting:
            self._serve(self._waiting.popleft())
            return
        has_next = self._is_in_head and self._fruitless_bytes
        self._end_at(self.loop.time() + (HEAD_SECONDS if has_next else self._keepalive_seconds))
        if self.transport.get_write_buffer_size():
            self._watch_taking()

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
            self._close()
        else:
            last.keeps_alive = False

    def _parse(self, data: bytes | memoryview) -> None:
        """Feed the parser; each turn of the loop has used up a whole head, and feeds that once more at most."""
        while data and self._parser is not None:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                data = memoryview(data)[upgrade.args[0] :]
                head = self._plain_head()
                self._parser = _parser(self)
            # Should it wish to upgrade again, that is the caller's to know.
            self._parser.feed_data(head)

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
                self._refuse(Failure(ErrorKind.INTERNAL, "The gateway has failed."))
            # The request knows its scope, which knows the request.
            detach_connection(request.scope)
            self._state.tasks.discard(cast("asyncio.Task[None]", request.task))

    # Limits.

    @property
    def _is_written_to(self) -> bool:
        return self._serving is not None and not self.is_full and not self.transport.is_closing()

    def _has_entered(self, client: tuple[str, int] | None) -> bool:
        """Take one of the places for connections; without one the client will be told, and the connection closed."""
        limits = self.limits
        place = limits.place_of(client[0] if client else None)
        if limits.enter(place):
            self._place = place
            return True
        self._parser = None
        now = self.loop.time()
        if limits.is_news(now, _TELL_SECONDS):
            said = "Connections are refused, %d are open; the last one was from %s."
            logger.warning(said, limits.connections, client)
        if limits.turned_away >= _MOST_TURNED_AWAY:
            self.transport.abort()
            return False
        # Closed with a request that nobody has read, it would be reset, and the client would not see the answer.
        self._is_turned_away = True
        limits.turned_away += 1
        self._end_at(now + _TURN_AWAY_SECONDS)
        return False

    def _turn_away(self) -> None:
        message = "The gateway has as many connections as it takes. Please try again."
        self._refuse(Failure(ErrorKind.GATEWAY_BUSY, message, retry_after_seconds=_RETRY_SECONDS))

    def _count_head(self) -> None:
        held = self._fruitless_bytes if self._is_in_head else 0
        self.limits.head_bytes += held - self._head_bytes
        self._head_bytes = held

    def _check_head_so_far(self, *, is_first_sign: bool) -> None:
        """Bounds for what is not a whole head, or not a piece of a body, yet."""
        if self.transport.is_closing():
            return
        if self._fruitless_bytes > MAX_HEAD_BYTES:
            message = f"The request's headers are larger than {MAX_HEAD_BYTES} bytes."
            self._refuse(Failure(ErrorKind.HEAD_TOO_LARGE, message))
        elif self._is_in_head and self._fruitless_bytes and len(self._headers) > MAX_HEADERS:
            self._refuse(too_many_headers().failure)
        elif not self.limits.has_room_for_head(self._head_bytes):
            message = "The gateway has as many unfinished requests in memory as it takes. Please try again."
            self._refuse(Failure(ErrorKind.GATEWAY_BUSY, message, retry_after_seconds=_RETRY_SECONDS))
        elif self._serving is None and self._is_in_head and is_first_sign and not self.is_new:
            # The first sign of a further request; a connection's first one has its time since it connected.
            self._end_at(self.loop.time() + HEAD_SECONDS)

    def _stop_reading(self, error: Exception) -> None:
        """What comes is not to be read any further."""
        if isinstance(error.__context__, _EnoughError):
            self._parser = None
            self.shutdown()
        else:
            self._refuse(refusal_of(error))

    def _run_out(self) -> None:
        """The time for a head is over, or that between two requests."""
        if self._is_turned_away:
            self._turn_away()
        elif self._is_in_head and self._fruitless_bytes:
            self._refuse(Failure(ErrorKind.TOO_SLOW, "The request did not arrive in time."))
        else:
            self._close()

    def _refuse(self, failure: Failure) -> None:
        """The end of a connection that cannot go on; a head in the middle of an answer would be read as its part."""
        serving = self._serving
        if not (self.transport.is_closing() or self._waiting or (serving is not None and serving.has_sent)):
            answer = refusal(failure, self._url, self._headers)
            has_begun = serving is not None and serving.begins_ahead
            self.transport.write(answer[len(BEGINNING) :] if has_begun else answer)
        self._close()
        for request in (serving, self._reading):
            if request is not None:
                request.leave()

    def _drop(self, request: ServedRequest) -> None:
        request.leave()
        detach_connection(request.scope)


class _EnoughError(Exception):
    """More requests than can wait have come at once."""


def _parser(protocol: HttpProtocol) -> httptools.HttpRequestParser:
    parser = httptools.HttpRequestParser(protocol)
    # What comes behind a request with `Connection: close` is passed over, and does not keep that one from its answer.
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser
