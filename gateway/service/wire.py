"""Hears both sides of one request: what its caller sent and got, and what upstream got and sent, with times."""

import codecs
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from msgspec import Struct

from gateway.service.listening import Listener
from gateway.service.ports import Call, Endpoint, Upstream, UpstreamAnswer
from translators.errors import FailedError

WIRE_SECONDS: Final = 300.0
MOST_WIRE_BYTES: Final = 2 * 1024 * 1024
# Of each body that is sent; the rest is for what comes back.
_MOST_BODY_BYTES: Final = 640 * 1024
_MOST_CALLS: Final = 50
# What a piece takes beside its bytes.
_PIECE_BYTES: Final = 100


class SeenCall(Struct, frozen=True):
    """One call upstream. Times are milliseconds since the request arrived; `events` are pieces of the body with theirs.

    `headers` are those that say what is asked for, none with credentials.
    """

    key: str
    url: str
    headers: dict[str, str]
    body: str
    began_ms: float
    head_ms: float | None
    ended_ms: float | None
    status: int | None
    request_id: str | None
    error: str | None
    events: list[tuple[float, str]]


class SeenWire(Struct, frozen=True):
    """Both sides of a request; `is_cut`: there was more than is kept."""

    request: str
    events: list[tuple[float, str]]
    calls: list[SeenCall]
    is_cut: bool


class Wire(Listener):
    """Takes what is said on both sides, up to `MOST_WIRE_BYTES` together."""

    __slots__ = ("_began_at", "_calls", "_clock", "_events", "_is_cut", "size")

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__(WIRE_SECONDS)
        self.size = 0
        self._clock = clock
        self._began_at = clock()
        self._events: list[tuple[float, bytes]] = []
        self._calls: list[_HeardCall] = []
        self._is_cut = False

    def take(self, body: bytes) -> bytes:
        self.request = self.within(body, _MOST_BODY_BYTES)
        return body

    def hear(self, data: bytes) -> None:
        self.add_to(self._events, data)

    def tapped(self, upstream: Upstream) -> Upstream:
        """The network to upstream, heard by this wire."""
        return _TappedUpstream(upstream, self)

    def call(self, endpoint: Endpoint, call: Call) -> "_HeardCall":
        """A call that begins now."""
        heard = _HeardCall(self, endpoint, call, self.within(call.body, _MOST_BODY_BYTES))
        if len(self._calls) < _MOST_CALLS:
            self._calls.append(heard)
        else:
            self._is_cut = True
        return heard

    def seen(self) -> SeenWire:
        """All that was heard, as text."""
        request = self.request.decode(errors="replace")
        return SeenWire(request, _texts(self._events), [call.seen() for call in self._calls], self._is_cut)

    def passed_ms(self) -> float:
        """The time since the request arrived."""
        return round((self._clock() - self._began_at) * 1000, 2)

    def add_to(self, events: list[tuple[float, bytes]], data: bytes) -> None:
        """Add a piece to those of one side."""
        if data and (piece := self.within(data, MOST_WIRE_BYTES)):
            self.size += _PIECE_BYTES
            events.append((self.passed_ms(), piece))

    def within(self, data: bytes, most: int) -> bytes:
        """What there is room for."""
        most = min(most, max(0, MOST_WIRE_BYTES - _PIECE_BYTES - self.size))
        if len(data) > most:
            self._is_cut = True
            data = data[:most]
        self.size += len(data)
        return data


class _HeardCall:
    def __init__(self, wire: Wire, endpoint: Endpoint, call: Call, body: bytes) -> None:
        self._wire = wire
        self._endpoint = endpoint
        self._url = endpoint.base_url + call.path
        self._headers = {"anthropic-version": call.version} | (
            {"anthropic-beta": ",".join(call.betas)} if call.betas else {}
        )
        self._body = body
        self._began_ms = wire.passed_ms()
        self._head_ms: float | None = None
        self._ended_ms: float | None = None
        self._status: int | None = None
        self._request_id: str | None = None
        self.error: str | None = None
        self._events: list[tuple[float, bytes]] = []

    def head(self, answer: UpstreamAnswer) -> None:
        self._head_ms, self._status = self._wire.passed_ms(), answer.status
        self._request_id = answer.headers.get("request-id")

    def hear(self, data: bytes) -> bytes:
        self._wire.add_to(self._events, data)
        return data

    def end(self) -> None:
        self._ended_ms = self._wire.passed_ms()

    def seen(self) -> SeenCall:
        # A refusal may quote the key.
        events = [(at, self._endpoint.redact(text)) for at, text in _texts(self._events)]
        return SeenCall(
            self._endpoint.name,
            self._url,
            self._headers,
            self._body.decode(errors="replace"),
            self._began_ms,
            self._head_ms,
            self._ended_ms,
            self._status,
            self._request_id,
            self.error,
            events,
        )


class _TappedUpstream:
    def __init__(self, upstream: Upstream, wire: Wire) -> None:
        self._upstream = upstream
        self._wire = wire

    def open(self, endpoint: Endpoint, call: Call) -> AbstractAsyncContextManager[UpstreamAnswer]:
        return self._open(endpoint, call)

    @asynccontextmanager
    async def _open(self, endpoint: Endpoint, call: Call) -> AsyncIterator[UpstreamAnswer]:
        heard = self._wire.call(endpoint, call)
        try:
            async with self._upstream.open(endpoint, call) as answer:
                heard.head(answer)
                yield _TappedAnswer(answer, heard)
        except FailedError as error:
            heard.error = error.failure.kind.name.lower()
            raise
        finally:
            heard.end()


class _TappedAnswer:
    """An answer that is heard as it is read."""

    def __init__(self, answer: UpstreamAnswer, heard: _HeardCall) -> None:
        self._answer = answer
        self._heard = heard

    @property
    def status(self) -> int:
        return self._answer.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._answer.headers

    @property
    def is_complete(self) -> bool:
        return self._answer.is_complete

    async def receive(self) -> bytes:
        return self._heard.hear(await self._answer.receive())

    async def push(self, sink: Callable[[bytes], bool]) -> None:
        await self._answer.push(lambda data: sink(self._heard.hear(data)))

    async def ended(self) -> None:
        await self._answer.ended()

    async def read(self, limit: int) -> bytes:
        return self._heard.hear(await self._answer.read(limit))


def _texts(events: list[tuple[float, bytes]]) -> list[tuple[float, str]]:
    """The pieces as text; a character may begin in one of them and end in the next."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    return [(at, decoder.decode(piece)) for at, piece in events]
