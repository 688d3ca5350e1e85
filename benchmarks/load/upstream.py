"""A simulated Messages upstream that costs next to nothing: every byte it sends was encoded before.

What it answers is told it by `POST /control` with a `Behaviour` as JSON; `GET /stats` says what it has seen,
`POST /cut` breaks off what is still open.
Run as `python -m benchmarks.load.upstream`; it prints its port.
"""

import asyncio
import heapq
import os
import queue
import random
import re
import threading
import time
from typing import Final, Literal, cast

import msgspec
import uvloop

from benchmarks.load.traffic import (
    MODEL,
    deltas,
    json_answer,
    message_answer,
    stamped_delta,
    stream_ending,
    stream_opening,
)

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_BLOCK_EVENTS: Final = 400
_EVENTS_IN_TURN: Final = 8
_TAKE_A_BREATH_SECONDS: Final = 0.001
_LATE_SECONDS: Final = 0.005
_MODELS: Final = {
    "data": [{"type": "model", "id": MODEL, "display_name": "Claude", "created_at": "2026-10-01T00:00:00Z"}],
    "has_more": False,
    "first_id": MODEL,
    "last_id": MODEL,
}


class Behaviour(msgspec.Struct, forbid_unknown_fields=True):
    """How Messages requests are answered from now on.

    `json`: whole. `finite`: a stream of so many events, at once. `endless`: one event, and after `POST /go` as many as
    are taken, each written by itself. `bulk`: the same in large blocks. `paced`: an event every interval, with the time
    of its sending. `silent`: one event, then nothing more.
    """

    kind: Literal["json", "finite", "endless", "bulk", "paced", "silent"] = "json"
    events: int = 20
    interval_seconds: float = 0.02


class Stats(msgspec.Struct):
    """What has happened since the start; `late` are paced events that were sent more than 5 ms after their time."""

    requests: int = 0
    open_streams: int = 0
    cut_streams: int = 0
    connections: int = 0
    paced: int = 0
    late: int = 0
    stalled: int = 0


class Pacer(threading.Thread):
    """Sends events on many connections, each at its own time.

    A thread, since event loops keep time in milliseconds only; the phases are spread at random, but the same each time.
    """

    def __init__(self, stats: Stats) -> None:
        super().__init__(daemon=True)
        self._stats = stats
        self._new: queue.SimpleQueue[tuple[Connection, int, float]] = queue.SimpleQueue()
        self._random = random.Random(1)

    def add(self, connection: "Connection", socket_fd: int, interval_seconds: float) -> None:
        """Send events to this socket, which the pacer owns from now on."""
        self._new.put((connection, socket_fd, interval_seconds))

    def run(self) -> None:
        """Send what is due, for ever."""
        due: list[tuple[float, int, Connection, float]] = []
        while True:
            if not due or not self._new.empty():
                connection, fd, interval = self._new.get()
                first = time.monotonic() + self._random.random() * interval
                heapq.heappush(due, (first, fd, connection, interval))
                continue
            at, fd, connection, interval = due[0]
            if (wait := at - time.monotonic()) > 0:
                time.sleep(min(wait, 0.001))
                continue
            if connection.is_closed:
                heapq.heappop(due)
                os.close(fd)
                continue
            self._send(fd, at)
            heapq.heapreplace(due, (at + interval, fd, connection, interval))

    def _send(self, fd: int, at: float) -> None:
        now = time.monotonic_ns()
        self._stats.paced += 1
        self._stats.late += now * 1e-9 - at > _LATE_SECONDS
        try:
            os.write(fd, stamped_delta(now))
        except BlockingIOError:
            self._stats.stalled += 1
        except OSError:
            return


class Upstream:
    """What all connections share."""

    def __init__(self) -> None:
        self.behaviour = Behaviour()
        self.stats = Stats()
        self.pacer = Pacer(self.stats)
        self.pacer.start()
        self.message = message_answer()
        self.opening = stream_opening()
        self.block = deltas(_BLOCK_EVENTS)
        self.events = [stamped_delta(number) for number in range(_BLOCK_EVENTS)]
        self.finite = b""
        self.streams: set[Connection] = set()
        self.waiting: list[Connection] = []

    def go(self) -> bytes:
        """Let the streams run that were opened to run at full speed."""
        waiting, self.waiting = self.waiting, []
        for connection in waiting:
            connection.start()
        return json_answer({"ok": True})

    def cut(self) -> bytes:
        """Break off every open stream."""
        for connection in list(self.streams):
            connection.abort()
        return json_answer({"ok": True})

    def control(self, body: bytes) -> bytes:
        """Change the behaviour."""
        self.behaviour = behaviour = msgspec.json.decode(body, type=Behaviour)
        self.finite = self.opening + deltas(behaviour.events) + stream_ending()
        return json_answer({"ok": True})


class Connection(asyncio.Protocol):
    """One connection; reads as little of a request as it can."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._head = b""
        self._body: list[bytes] = []
        self._missing: int | None = 0
        self._is_paused = False
        self._pumps = False
        self._is_in_bulk = False
        self._streams = False
        self.is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._upstream.stats.connections += 1

    def data_received(self, data: bytes) -> None:
        if not self._missing and self._missing is not None:
            self._head += data
            if (end := self._head.find(b"\r\n\r\n")) < 0:
                return
            head, data = self._head[: end + 2], self._head[end + 4 :]
            self._head = head
            length = _LENGTH.search(head)
            self._missing = None if _CHUNKED.search(head) else int(length[1]) if length else 0
        if self._missing is not None:
            self._missing -= len(data)
            is_complete = self._missing <= 0
        else:
            is_complete = data.endswith(b"0\r\n\r\n")
        if self._head.startswith(b"POST /control"):
            self._body.append(data)
        if is_complete:
            head, self._head, self._missing = self._head, b"", 0
            self._answer(head)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        if self in self._upstream.waiting:
            self._upstream.waiting.remove(self)
        self._upstream.streams.discard(self)
        if self._streams:
            self._upstream.stats.open_streams -= 1
            self._upstream.stats.cut_streams += 1

    def start(self) -> None:
        """Begin to send at full speed."""
        if self._transport.is_closing():
            return
        if self._is_in_bulk:
            self._pumps = True
            self._pump()
        else:
            self._write_singly(self._socket_fd(), 0)

    def abort(self) -> None:
        """Close without another word."""
        self._transport.abort()

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        if self._pumps:
            self._pump()

    def _answer(self, head: bytes) -> None:
        upstream = self._upstream
        if head.startswith(b"POST /v1/messages"):
            upstream.stats.requests += 1
            self._answer_message(upstream.behaviour)
        elif head.startswith(b"POST /control"):
            body, self._body = b"".join(self._body), []
            self._transport.write(upstream.control(body))
        elif head.startswith(b"POST /go"):
            self._transport.write(upstream.go())
        elif head.startswith(b"POST /cut"):
            self._transport.write(upstream.cut())
        elif head.startswith(b"GET /stats"):
            self._transport.write(json_answer(msgspec.to_builtins(upstream.stats)))
        elif head.startswith(b"GET /v1/models"):
            self._transport.write(json_answer(_MODELS))
        else:
            self._transport.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")

    def _answer_message(self, behaviour: Behaviour) -> None:
        upstream = self._upstream
        if behaviour.kind == "json":
            self._transport.write(upstream.message)
            return
        if behaviour.kind == "finite":
            self._transport.write(upstream.finite)
            return
        self._streams = True
        upstream.stats.open_streams += 1
        upstream.streams.add(self)
        self._transport.write(upstream.opening + stamped_delta(0))
        if behaviour.kind in ("endless", "bulk"):
            self._is_in_bulk = behaviour.kind == "bulk"
            upstream.waiting.append(self)
        elif behaviour.kind == "paced":
            # A copy, so that the number cannot come to mean another connection while the pacer holds it.
            upstream.pacer.add(self, os.dup(self._socket_fd()), behaviour.interval_seconds)

    def _socket_fd(self) -> int:
        return int(self._transport.get_extra_info("socket").fileno())

    def _write_singly(self, fd: int, number: int) -> None:
        """A few events, past the transport, which would write them together; then it is the other streams' turn."""
        if self._transport.is_closing():
            return
        loop = asyncio.get_running_loop()
        events = self._upstream.events
        if self._transport.get_write_buffer_size():
            loop.call_later(_TAKE_A_BREATH_SECONDS, self._write_singly, fd, number)
            return
        for _ in range(_EVENTS_IN_TURN):
            event = events[number % _BLOCK_EVENTS]
            try:
                written = os.write(fd, event)
            except BlockingIOError:
                loop.call_later(_TAKE_A_BREATH_SECONDS, self._write_singly, fd, number)
                return
            except OSError:
                return
            number += 1
            if written < len(event):
                # The socket is full in the middle of an event: the transport sees to the rest.
                self._transport.write(event[written:])
                break
        loop.call_soon(self._write_singly, fd, number)

    def _pump(self) -> None:
        while not self._is_paused and not self._transport.is_closing():
            self._transport.write(self._upstream.block)


async def serve() -> None:
    """Serve on any free port of loopback, and say which."""
    upstream = Upstream()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(upstream), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
