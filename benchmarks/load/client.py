"""The load generator: keep-alive connections that send one request after another, and count what comes back."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, cast

import msgspec

from benchmarks.load.histories import Dialect
from benchmarks.load.reading import AnswerReader
from benchmarks.load.traffic import request_body
from benchmarks.load.upstream import Behaviour, Stats

_PATIENCE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Access:
    """How a system is called: where, in which protocol, and by which name the model goes there."""

    port: int
    dialect: Dialect
    path: str
    model: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def request(self, kind: str = "1 KB", *, stream: bool = False) -> bytes:
        """A whole HTTP request."""
        body = request_body(kind, self.dialect, self.model, stream=stream)
        lines = [f"{name}: {value}\r\n" for name, value in self.headers.items()]
        head = (
            f"POST {self.path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\ncontent-type: application/json\r\n"
            f"accept: application/json\r\nuser-agent: benchmark\r\n{''.join(lines)}content-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


@dataclass(slots=True)
class Tally:
    """What a number of connections have seen."""

    events: int = 0
    bytes: int = 0
    reads: int = 0
    answers: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    first_events: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)

    def copy(self) -> "Tally":
        """As it is now."""
        return replace(
            self,
            failures=self.failures.copy(),
            latencies=self.latencies.copy(),
            first_events=self.first_events.copy(),
            delays=self.delays.copy(),
        )

    def clear(self) -> None:
        """Begin anew; failures stay."""
        self.events = self.bytes = self.reads = self.answers = 0
        self.latencies, self.first_events, self.delays = [], [], []


class LoadConnection(asyncio.Protocol):
    """Sends a request as soon as it stands, and another after each answer, `rounds` times (0: until it is closed)."""

    def __init__(self, request: bytes, tally: Tally, *, rounds: int = 0, reads_stamps: bool = False) -> None:
        self._request = request
        self._tally = tally
        self._rounds = rounds
        self._reads_stamps = reads_stamps
        self._is_stopping = False
        loop = asyncio.get_running_loop()
        self.has_begun: asyncio.Future[None] = loop.create_future()
        self.is_done: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        tally, reader = self._tally, self._reader
        before = reader.events
        reader.feed(data)
        tally.bytes += len(data)
        tally.reads += 1
        if came := reader.events - before:
            tally.events += came
            if not before:
                tally.first_events.append(time.perf_counter() - self._sent_at)
                if not self.has_begun.done():
                    self.has_begun.set_result(None)
        if reader.stamps:
            now = time.monotonic_ns()
            tally.delays += [(now - stamp) / 1e9 for stamp in reader.stamps if stamp]
            reader.stamps.clear()
        if reader.is_complete:
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.is_done.done():
            if not self._is_stopping:
                self._tally.failures["connection closed before the answer was complete"] += 1
            self._end()

    def stop(self) -> None:
        """Hang up, whatever is going on."""
        self._is_stopping = True
        self._transport.abort()

    def _send(self) -> None:
        self._reader = AnswerReader(reads_stamps=self._reads_stamps)
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)

    def _finish(self) -> None:
        reader, tally = self._reader, self._tally
        tally.answers += 1
        tally.latencies.append(time.perf_counter() - self._sent_at)
        if reader.status != 200 or not reader.events:
            tally.failures[f"status {reader.status}: {reader.body_start[:200].decode(errors='replace')}"] += 1
        self._rounds -= 1
        if self._rounds == 0:
            self._is_stopping = True
            self._transport.close()
            self._end()
        else:
            self._send()

    def _end(self) -> None:
        for future in (self.has_begun, self.is_done):
            if not future.done():
                future.set_result(None)


async def connect(
    access: Access, request: bytes, tally: Tally, count: int, *, rounds: int = 0, reads_stamps: bool = False
) -> list[LoadConnection]:
    """Open so many connections that all send this request."""
    loop = asyncio.get_running_loop()
    connections = []
    for _ in range(count):
        _, connection = await loop.create_connection(
            lambda: LoadConnection(request, tally, rounds=rounds, reads_stamps=reads_stamps), "127.0.0.1", access.port
        )
        connections.append(connection)
    return connections


async def all_begun(connections: list[LoadConnection], patience_seconds: float = 10.0) -> int:
    """Wait until every connection has seen a first event; gives the number of those that have not."""
    _, missing = await asyncio.wait([one.has_begun for one in connections], timeout=patience_seconds)
    return len(missing)


async def all_done(connections: list[LoadConnection], patience_seconds: float = _PATIENCE_SECONDS) -> None:
    """Wait until every connection has done its rounds."""
    await asyncio.wait_for(asyncio.gather(*(one.is_done for one in connections)), patience_seconds)


class UpstreamControl:
    """Tells the simulated upstream what to do, and asks what it has seen."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def behave(self, behaviour: Behaviour) -> None:
        """Answer like this from now on."""
        await self._call(b"POST /control", msgspec.json.encode(behaviour))

    async def stats(self) -> Stats:
        """What it has seen since its start."""
        return msgspec.json.decode(await self._call(b"GET /stats", b""), type=Stats)

    async def go(self) -> None:
        """Let streams run that wait for it."""
        await self._call(b"POST /go", b"")

    async def cut(self) -> None:
        """Break off every open stream."""
        await self._call(b"POST /cut", b"")

    async def quiet(self, patience_seconds: float = 2.0) -> int:
        """Wait until no stream is open any more; gives the number of those that stayed."""
        give_up_at = time.monotonic() + patience_seconds
        # What is waited for is in another process: it has to be asked.
        while (still_open := (await self.stats()).open_streams) and time.monotonic() < give_up_at:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        return still_open

    async def _call(self, what: bytes, body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"%b HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b" % (what, len(body), body))
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        answer = await reader.readexactly(length)
        writer.close()
        return answer
