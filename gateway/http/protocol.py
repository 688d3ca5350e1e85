"""One client's connection: its requests are read, and answered in order (docs/adr/0002)."""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

import httptools
from starlette.types import ASGIApp, Scope
from uvicorn import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from gateway.http import refusals
from gateway.http.body import ReceivedRequest
from gateway.http.limits import ServerLimits
from gateway.http.reading import RequestReader
from gateway.http.refusals import Refusal, Refuse, TooManyWaitingError
from gateway.http.request import SERVED_REQUEST, ServedRequest
from gateway.http.request_head import HEAD_TOO_LARGE, MAX_HEAD_BYTES, MAX_HEADERS, TOO_MANY_HEADERS, refusal_of
from gateway.http.response_head import BEGINNING, Fields, standing_fields
from gateway.http.watching import WatchedConnection

# The time for a head, from the connection's start or a further request's first byte to the end of the headers.
HEAD_SECONDS: Final = 30.0
# Pipelined requests behind the one being answered; any beyond these must be sent again on another connection.
MAX_WAITING: Final = 32
# How long a connection without a place may take to send its request, so that it can be answered.
_TURN_AWAY_SECONDS: Final = 1.0

logger: Final = logging.getLogger("uvicorn.error")


class HttpProtocol(WatchedConnection):
    """A connection of uvicorn's server, with limits on the size and time of request heads.

    A head that is too large (431), too slow (408) or not HTTP (400) is refused, and so is a connection beyond the
    limits (503); `refuse` writes the answers. A client that does not read its answer is disconnected.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        refuse: Refuse,
        limits: ServerLimits | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        super().__init__(_loop or asyncio.get_running_loop(), limits or ServerLimits())
        # Whether no request has come yet.
        self.is_new = True
        self._app = cast(ASGIApp, config.loaded_app)
        self._keepalive_seconds = config.timeout_keep_alive
        self._state = server_state
        self._app_state = app_state
        self._refusal = refuse
        self._is_paused = False
        self._drained: asyncio.Event | None = None
        self._watchers: list[Callable[[], None]] = []
        self._reader = RequestReader(self._begin)
        # How many of the reader's pending bytes are counted in `limits.head_bytes`.
        self._head_bytes = 0
        # The request being answered, and those behind it.
        self._serving: ServedRequest | None = None
        self._waiting: deque[ServedRequest] = deque()
        # The key under which `limits` counts the connection; None if it does not.
        self._place: str | None = None
        self._is_turned_away = False

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected; the time for its first head begins."""
        # uvloop's transports do not inherit from asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        client = get_remote_addr(self.transport)
        if not self._has_entered(client):
            return
        self._state.connections.add(cast(Any, self))
        self._reader.connected(get_local_addr(self.transport), client, is_secure=is_ssl(self.transport))
        self._end_at(self.loop.time() + HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection was closed, by either side."""
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
        self._leave()
        for on_gone in tuple(self._watchers):
            on_gone()
        # Break the reference cycles; a task that still runs holds its own request.
        self._serving = None
        self._reader.close()
        while self._waiting:
            self._drop(self._waiting.popleft())

    def data_received(self, data: bytes) -> None:
        """Some bytes of heads or bodies."""
        reader = self._reader
        if reader.parser is None:
            if self._is_turned_away:
                self._refuse(refusals.NO_PLACE)
            return
        try:
            reader.feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._stop_reading(error)
            return
        pending = reader.pending_bytes
        if pending or self._head_bytes:
            self._count_head()
        if self._serving is not None and not pending:
            return
        self._check_head_so_far(is_first_sign=pending == len(data))

    def eof_received(self) -> bool:
        """The client has closed its side; returns whether to keep ours open for the answers.

        The client may have gone altogether. TCP tells the two apart only when something is sent and gets a reset.
        """
        if self._is_watched_for_reset:
            return True
        reader = self._reader
        if self._waiting and self._waiting[-1] is reader.request:
            # The rest of this request will never come.
            self._drop(self._waiting.pop())
            reader.request = None
        if self._serving is None or reader.request is not None:
            return False
        reader.stop()
        self.shutdown()
        if not self.is_full:
            self._serving.send_ahead()
        self._watch_for_reset()
        return True

    def pause_writing(self) -> None:
        """The write buffer is full."""
        self.is_full = True
        if self._drained is not None:
            self._drained.clear()
        self._watch_taking()

    def resume_writing(self) -> None:
        """The write buffer has room again, or the client has gone."""
        self.is_full = False
        if self._drained is not None:
            self._drained.set()

    # Called by the reader.

    def _begin(self, scope: Scope, keeps_alive: bool, awaits_continue: bool) -> ServedRequest:
        """A head is complete: serve the request now, or after those before it."""
        if len(self._waiting) >= MAX_WAITING:
            raise TooManyWaitingError
        request = ServedRequest(self, scope, keeps_alive=keeps_alive, awaits_continue=awaits_continue)
        scope["state"] = self._app_state.copy()
        scope[SERVED_REQUEST] = request
        self.is_new = False
        if self._serving is None:
            self._serve(request)
        else:
            self.pause_reading()
            self._waiting.append(request)
        return request

    # Called by requests.

    @property
    def standing(self) -> Fields:
        """The headers that every answer carries."""
        return standing_fields(tuple(self._state.default_headers))

    def pause_reading(self) -> None:
        """Stop reading from the client."""
        if not self._is_paused:
            self._is_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Resume reading if it was paused."""
        if self._is_paused and not self._is_gone:
            self._is_paused = False
            self.transport.resume_reading()

    async def drained(self) -> None:
        """Wait until the client can be sent more, or has gone."""
        if self._drained is None:
            self._drained = asyncio.Event()
        while self.is_full:
            await self._drained.wait()

    def answered(self, request: ReceivedRequest) -> None:
        """The last byte of an answer was written: serve the next request, or wait for one."""
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
        has_next = self._reader.is_in_head and self._reader.pending_bytes
        self._end_at(self.loop.time() + (HEAD_SECONDS if has_next else self._keepalive_seconds))
        if self.transport.get_write_buffer_size():
            self._watch_taking()

    def watch(self, on_gone: Callable[[], None]) -> None:
        """Call `on_gone` when the client leaves; immediately if it has left."""
        self._watchers.append(on_gone)
        # A large body may have paused reading, and without reading the end of the connection goes unnoticed.
        self.resume_reading()
        if self._is_gone:
            on_gone()

    def unwatch(self, on_gone: Callable[[], None]) -> None:
        """Undo `watch`; the next request may be watching already."""
        self._watchers.remove(on_gone)

    # Called by uvicorn's server.

    def shutdown(self) -> None:
        """Close after the answers to all requests that have come."""
        last = self._waiting[-1] if self._waiting else self._serving
        if last is None:
            self._close()
        else:
            last.keeps_alive = False

    def _serve(self, request: ServedRequest) -> None:
        self._serving = request
        self._due = math.inf
        request.task = self.loop.create_task(self._run(request))
        self._state.tasks.add(request.task)

    async def _run(self, request: ServedRequest) -> None:
        """Run the application; if it fails to answer, the client gets a 500."""
        try:
            await self._app(request.scope, request.receive, request.send)
        except Exception:
            logger.exception("The application has failed.")
        finally:
            if not (request.is_answered or request.is_gone):
                self._refuse(refusals.FAILED)
            # Break the reference cycle of request and scope.
            request.scope.pop(SERVED_REQUEST, None)
            self._state.tasks.discard(cast("asyncio.Task[None]", request.task))

    # Limits.

    @property
    def _is_written_to(self) -> bool:
        return self._serving is not None and not self.is_full and not self.transport.is_closing()

    def _has_entered(self, client: tuple[str, int] | None) -> bool:
        """Count the connection; if there are too many, it will be answered with 503, or aborted, and closed."""
        limits = self.limits
        place = limits.place_of(client[0] if client else None)
        if limits.enter(place):
            self._place = place
            return True
        self._reader.stop()
        now = self.loop.time()
        if not limits.turn_away(client, now):
            self.transport.abort()
            return False
        # Closing with an unread request would reset the connection, and the client would not see the answer.
        self._is_turned_away = True
        self._end_at(now + _TURN_AWAY_SECONDS)
        return False

    def _count_head(self) -> None:
        held = self._reader.pending_bytes if self._reader.is_in_head else 0
        self.limits.head_bytes += held - self._head_bytes
        self._head_bytes = held

    def _check_head_so_far(self, *, is_first_sign: bool) -> None:
        """Enforce the limits for bytes that are not yet a complete head or a piece of a body."""
        if self.transport.is_closing():
            return
        reader = self._reader
        if reader.pending_bytes > MAX_HEAD_BYTES:
            self._refuse(HEAD_TOO_LARGE)
        elif reader.is_in_head and reader.pending_bytes and len(reader.headers) > MAX_HEADERS:
            self._refuse(TOO_MANY_HEADERS)
        elif not self.limits.has_room_for_head(self._head_bytes):
            self._refuse(refusals.NO_ROOM_FOR_HEAD)
        elif self._serving is None and reader.is_in_head and is_first_sign and not self.is_new:
            # A further request begins; the first one's time has been running since the client connected.
            self._end_at(self.loop.time() + HEAD_SECONDS)

    def _stop_reading(self, error: Exception) -> None:
        """The parser has failed, or too many requests wait: read nothing more."""
        if isinstance(error.__context__, TooManyWaitingError):
            self._reader.stop()
            self.shutdown()
        else:
            self._refuse(refusal_of(error))

    def _run_out(self) -> None:
        """The time for a head, or between two requests, is over."""
        if self._is_turned_away:
            self._refuse(refusals.NO_PLACE)
        elif self._reader.is_in_head and self._reader.pending_bytes:
            self._refuse(refusals.TOO_SLOW)
        else:
            self._close()

    def _refuse(self, refusal: Refusal) -> None:
        """Close the connection, with a refusal unless that would appear in the middle of an answer."""
        serving = self._serving
        if not (self.transport.is_closing() or self._waiting or (serving is not None and serving.has_sent)):
            answer = self._refusal(refusal, self._reader.url, self._reader.headers)
            has_begun = serving is not None and serving.begins_ahead
            self.transport.write(answer[len(BEGINNING) :] if has_begun else answer)
        self._close()
        self._leave()

    def _leave(self) -> None:
        """End the requests that are being answered and received."""
        for request in (self._serving, self._reader.request):
            if request is not None:
                request.leave()

    def _drop(self, request: ServedRequest) -> None:
        request.leave()
        request.scope.pop(SERVED_REQUEST, None)
