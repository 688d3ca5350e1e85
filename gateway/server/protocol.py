"""One client's connection: requests are read, served in their order, and answered (docs/adr/0002)."""

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

from gateway.server import refusals
from gateway.server.asked import HEAD_TOO_LARGE, MAX_HEAD_BYTES, MAX_HEADERS, TOO_MANY_HEADERS, refusal_of
from gateway.server.body import ReceivedRequest
from gateway.server.heads import BEGINNING, Fields, standing_fields
from gateway.server.limits import ServerLimits
from gateway.server.reading import RequestReader
from gateway.server.refusals import Refusal, Refuse, TooManyWaitingError
from gateway.server.request import CONNECTION, ServedRequest
from gateway.server.watching import WatchedConnection

# From a connection's, or a further request's, first sign to the end of its headers.
HEAD_SECONDS: Final = 30.0
# Requests behind the one that is answered; those that come behind them have to be sent again on another connection.
MAX_WAITING: Final = 32
# So long its request may take to come, so that it can be answered.
_TURN_AWAY_SECONDS: Final = 1.0

logger: Final = logging.getLogger("uvicorn.error")


class HttpProtocol(WatchedConnection):
    """A connection for uvicorn's server: what comes before a request's body is limited in size and in time.

    Heads that are too large (431) or too slow (408), and what is no HTTP, are refused, with the answer that `refuse`
    writes. So is a connection for which there is no place (503). A client that takes nothing of its answer is cut off.
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
        # Whether nothing has been asked yet.
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
        # How much of its bytes without news is counted as an unfinished head.
        self._head_bytes = 0
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
        self._reader.connected(get_local_addr(self.transport), client, is_secure=is_ssl(self.transport))
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
        self._leave()
        for on_gone in tuple(self._watchers):
            on_gone()
        # They know the connection, and it knows them: what still runs has its own hold on its request.
        self._serving = None
        self._reader.close()
        while self._waiting:
            self._drop(self._waiting.popleft())

    def data_received(self, data: bytes) -> None:
        """Some bytes of a head or of a body."""
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
        fruitless = reader.fruitless_bytes
        if fruitless or self._head_bytes:
            self._count_head()
        if self._serving is not None and not fruitless:
            return
        self._check_head_so_far(is_first_sign=fruitless == len(data))

    def eof_received(self) -> bool:
        """The client will send nothing more; whether the connection stays open until it has its answers.

        It may also have gone. TCP tells the two apart only when something is sent: who has gone refuses it.
        """
        if self._is_watched_for_reset:
            return True
        reader = self._reader
        if self._waiting and self._waiting[-1] is reader.request:
            # The rest of it will never come.
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

    # What the reader calls.

    def _begin(self, scope: Scope, keeps_alive: bool, awaits_continue: bool) -> ServedRequest:
        """A head has come: it is served now, or in its turn."""
        if len(self._waiting) >= MAX_WAITING:
            raise TooManyWaitingError
        request = ServedRequest(self, scope, keeps_alive=keeps_alive, awaits_continue=awaits_continue)
        scope["state"] = self._app_state.copy()
        scope[CONNECTION] = request
        self.is_new = False
        if self._serving is None:
            self._serve(request)
        else:
            self.pause_reading()
            self._waiting.append(request)
        return request

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

    def answered(self, request: ReceivedRequest) -> None:
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
        has_next = self._reader.is_in_head and self._reader.fruitless_bytes
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
                self._refuse(refusals.FAILED)
            # The request knows its scope, which knows the request.
            request.scope.pop(CONNECTION, None)
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
        self._reader.stop()
        now = self.loop.time()
        if not limits.turn_away(client, now):
            self.transport.abort()
            return False
        # Closed with a request that nobody has read, it would be reset, and the client would not see the answer.
        self._is_turned_away = True
        self._end_at(now + _TURN_AWAY_SECONDS)
        return False

    def _count_head(self) -> None:
        held = self._reader.fruitless_bytes if self._reader.is_in_head else 0
        self.limits.head_bytes += held - self._head_bytes
        self._head_bytes = held

    def _check_head_so_far(self, *, is_first_sign: bool) -> None:
        """Bounds for what is not a whole head, or not a piece of a body, yet."""
        if self.transport.is_closing():
            return
        reader = self._reader
        if reader.fruitless_bytes > MAX_HEAD_BYTES:
            self._refuse(HEAD_TOO_LARGE)
        elif reader.is_in_head and reader.fruitless_bytes and len(reader.headers) > MAX_HEADERS:
            self._refuse(TOO_MANY_HEADERS)
        elif not self.limits.has_room_for_head(self._head_bytes):
            self._refuse(refusals.NO_ROOM_FOR_HEAD)
        elif self._serving is None and reader.is_in_head and is_first_sign and not self.is_new:
            # The first sign of a further request; a connection's first one has its time since it connected.
            self._end_at(self.loop.time() + HEAD_SECONDS)

    def _stop_reading(self, error: Exception) -> None:
        """What comes is not to be read any further."""
        if isinstance(error.__context__, TooManyWaitingError):
            self._reader.stop()
            self.shutdown()
        else:
            self._refuse(refusal_of(error))

    def _run_out(self) -> None:
        """The time for a head is over, or that between two requests."""
        if self._is_turned_away:
            self._refuse(refusals.NO_PLACE)
        elif self._reader.is_in_head and self._reader.fruitless_bytes:
            self._refuse(refusals.TOO_SLOW)
        else:
            self._close()

    def _refuse(self, refusal: Refusal) -> None:
        """The end of a connection that cannot go on; a head in the middle of an answer would be read as its part."""
        serving = self._serving
        if not (self.transport.is_closing() or self._waiting or (serving is not None and serving.has_sent)):
            answer = self._refusal(refusal, self._reader.url, self._reader.headers)
            has_begun = serving is not None and serving.begins_ahead
            self.transport.write(answer[len(BEGINNING) :] if has_begun else answer)
        self._close()
        self._leave()

    def _leave(self) -> None:
        """Nobody waits any more for what is being answered, or sends what is being read."""
        for request in (self._serving, self._reader.request):
            if request is not None:
                request.leave()

    def _drop(self, request: ServedRequest) -> None:
        request.leave()
        request.scope.pop(CONNECTION, None)
