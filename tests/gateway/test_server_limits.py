"""What clients may take of the process before anybody knows them, and what a half-closed or a dead one costs."""

import asyncio
import os
import resource
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from gateway.config import ServerConfig
from gateway.edge.requests import read_body
from gateway.http.body import HIGH_WATER_BYTES, BodyPace, body_pace
from gateway.http.descriptors import connections_for
from gateway.http.errors import ClientGoneError
from gateway.http.limits import SMALL_HEAD_BYTES, ServerLimits
from gateway.http.request import ServedRequest, served_request
from gateway.http.response_head import fields
from gateway.process.serving import set_limits
from tests.gateway.test_server import GET, LAST, POST, Served, body_of, echo, read_answer, served, tell, until
from tests.scenarios.harness import PATIENCE_SECONDS
from tests.support.commands import ROOT
from translators.errors import FailedError

Run = Callable[[Coroutine[Any, Any, None]], None]
LARGE = 4 * HIGH_WATER_BYTES

# The gateway runs on uvloop, most of the tests on asyncio's own loop.
on_both_loops = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


async def reading(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the body as the endpoints do."""
    try:
        body = await read_body(scope, receive, 2**30)
    except FailedError as error:
        await tell(send, error.failure.as_json(), status=error.failure.rule.status)
    except ClientGoneError:
        pass
    else:
        await tell(send, b"%d" % len(body))


# Connections.


def test_addresses_are_counted_by_whom_they_belong_to() -> None:
    limits = ServerLimits(is_exempt=lambda address: address == "10.0.0.1")
    places = [limits.place_of(address) for address in ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2")]
    networks = [limits.place_of(address) for address in ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1")]

    assert places[0] == places[1] != places[2]
    assert networks[0] == networks[1] != networks[2]
    assert [limits.place_of(address) for address in ("127.0.0.1", "::1", "::ffff:127.9.9.9", "10.0.0.1", None)] == [
        ""
    ] * 5


def test_a_trusted_proxys_connections_are_not_counted_by_its_address() -> None:
    limits = ServerLimits()
    set_limits(limits, ServerConfig(trusted_proxies=("10.0.0.0/8",)), 20_000)

    assert limits.place_of("10.1.2.3") == ""
    assert limits.place_of("11.1.2.3") == "11.1.2.3"


def test_one_address_does_not_take_all_the_places() -> None:
    limits = ServerLimits(max_connections=4, max_per_address=2)

    assert [limits.enter("a"), limits.enter("a"), limits.enter("a"), limits.enter("b")] == [True, True, False, True]
    assert [limits.enter(""), limits.enter("c")] == [True, False]
    limits.leave("a")
    assert limits.enter("a")
    for place in ("a", "a", "b", ""):
        limits.leave(place)
    assert (limits.connections, limits._by_place) == (0, {})


async def test_a_connection_without_a_place_is_told_to_come_again() -> None:
    limits = ServerLimits(max_connections=1)
    async with served(echo, limits=limits) as server:
        async with server.connected() as (reader, writer):
            writer.write(f"{GET}\r\n".encode())
            await read_answer(reader)
            refused = await server.answer_to(f"{POST}content-length: 5000\r\n\r\n" + "x" * 5000)
            silent = await server.answer_to("")
        await until(lambda: limits.connections == 0)
        answer = await server.answer_to(f"{GET}{LAST}")

    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nretry-after: 2\r\n" in refused
    assert b"gateway_busy" in refused
    assert b"gateway_busy" in silent
    assert body_of(answer) == b"<GET / >"
    assert limits.turned_away == 0


async def test_not_many_connections_without_a_place_are_waited_for() -> None:
    limits = ServerLimits(max_connections=0)
    async with served(echo, limits=limits) as server, AsyncExitStack() as clients:
        readers = [(await clients.enter_async_context(server.connected()))[0] for _ in range(100)]
        await until(lambda: limits.turned_away == 64)
        ended = asyncio.gather(*(reader.read() for reader in readers), return_exceptions=True)
        async with asyncio.timeout(PATIENCE_SECONDS):
            answers = await ended

    assert sum(isinstance(answer, bytes) and b"gateway_busy" in answer for answer in answers) == 64
    assert limits.turned_away == 0


def test_places_follow_what_the_system_allows_and_the_configuration_says() -> None:
    limits = ServerLimits()
    set_limits(limits, ServerConfig(), 1024)
    assert (limits.max_connections, limits.max_per_address) == (480, 240)
    set_limits(limits, ServerConfig(max_connections=1000, max_connections_per_address=7), 1024)
    assert (limits.max_connections, limits.max_per_address) == (480, 7)
    set_limits(limits, ServerConfig(max_connections=20_000, client_write_seconds=5.0, max_buffered_bytes=8000), 10**6)
    assert (limits.max_connections, limits.write_seconds) == (20_000, 5.0)
    assert (limits.max_buffered_bytes, limits.ample_bytes) == (8000, 7000)
    set_limits(limits, ServerConfig(), None)
    assert limits.max_connections == 16_384
    # One of upstream's for each, and some for us.
    assert connections_for(20_100) * 2 < 20_100


def test_the_process_takes_all_the_descriptors_that_it_may_have() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    check = (
        f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, {hard}))\n"
        "from gateway.process.serving import run\n"
        "async def limits(): print(*resource.getrlimit(resource.RLIMIT_NOFILE))\n"
        "run(limits())"
    )
    said = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout

    assert said.split() == [str(hard)] * 2


# glibc's name among the variables of `confstr`.
_GLIBC = "CS_GNU_LIBC_VERSION"


@pytest.mark.skipif(_GLIBC not in os.confstr_names, reason="the allocator is another")
def test_the_memory_of_large_bodies_goes_back_to_the_system_when_it_is_free() -> None:
    check = (
        "import resource\n"
        "from pathlib import Path\n"
        "from gateway.process.serving import run\n"
        "def pages(): return int(Path('/proc/self/statm').read_text().split()[1])\n"
        "def hold(*megabytes): return [bytes([1]) * (each * 2**20) for each in megabytes]\n"
        "async def left():\n"
        "    before = pages()\n"
        "    hold(31)\n"
        "    hold(8, 8, 8, 8, 8)\n"
        "    print((pages() - before) * resource.getpagesize())\n"
        "run(left())"
    )
    said = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, cwd=ROOT).stdout

    # By itself it would keep the latter forty.
    assert int(said) < 5 * 2**20


# Heads.


async def test_unfinished_heads_share_some_room_and_small_ones_always_have_it() -> None:
    limits = ServerLimits()
    limits.allow_bodies(8 * 2 * SMALL_HEAD_BYTES)
    begun = f"{GET}x-a: {'a' * SMALL_HEAD_BYTES}".encode()
    async with served(echo, limits=limits) as server, server.connected() as first, server.connected() as second:
        first[1].write(begun)
        await until(lambda: limits.head_bytes == len(begun))
        second[1].write(f"{GET}x-a: ".encode())
        await until(lambda: limits.head_bytes > len(begun))
        refused = await server.answer_to(begun)
        # That one has given its room back.
        await until(lambda: limits.head_bytes < 2 * SMALL_HEAD_BYTES)
        for _, writer in (first, second):
            writer.write(f"1\r\n{LAST}".encode())
        answers = [await reader.read() for reader, _ in (first, second)]

    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"gateway_busy" in refused
    assert [body_of(answer) for answer in answers] == [b"<GET / >"] * 2
    assert limits.head_bytes == 0


# Bodies.


def a_network() -> Any:
    """What a request needs of a connection, without one."""
    network = SimpleNamespace(limits=ServerLimits(), is_full=False, standing=fields(()), transport=Mock())
    network.pause_reading = network.resume_reading = network.answered = lambda *_: None
    return network


def a_request(network: Any) -> ServedRequest:
    return ServedRequest(network, {}, keeps_alive=True, awaits_continue=False)


async def test_a_body_takes_no_more_memory_for_coming_in_tiny_pieces() -> None:
    network = a_network()
    request = a_request(network)
    tracemalloc.start()
    try:
        for number in range(200_000):
            request.feed(b"%d" % (number % 10))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    request.end_body()

    assert most < 500_000
    assert len(await request.body(2**20)) == 200_000
    assert network.limits.buffered_bytes == 0


async def test_what_is_no_longer_needed_of_a_body_is_not_counted() -> None:
    network = a_network()
    left, refused, answered = (a_request(network) for _ in range(3))
    for request in (left, refused, answered):
        request.feed(bytes(1000))
    assert network.limits.buffered_bytes == 3000
    left.leave()
    network.limits.allow_bodies(2000)
    refused.feed(bytes(HIGH_WATER_BYTES))
    answered.answer(200, b"", b"")
    for request in (left, refused, answered):
        request.feed(bytes(1000))

    assert network.limits.buffered_bytes == 0


async def test_a_body_for_which_there_is_no_room_is_told_to_come_again_and_small_ones_still_have_it() -> None:
    limits = ServerLimits()
    limits.allow_bodies(8 * LARGE)
    head = f"{POST}content-length: {LARGE}\r\n"
    async with served(reading, limits=limits) as server, held(server, 7, head) as holders:
        await until(lambda: limits.buffered_bytes == 7 * (LARGE - 1))
        async with server.connected() as (reader, writer):
            writer.write(f"{head}\r\n".encode() + bytes(LARGE))
            refused = await read_answer(reader)
        small = await server.answer_to(f"{POST}content-length: 1000\r\n{LAST}" + "x" * 1000)
        for reader, writer in holders:
            writer.write(b"x")
            assert body_of(await read_answer(reader)) == b"%d" % LARGE

    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"gateway_busy" in refused
    assert body_of(small) == b"1000"
    assert limits.buffered_bytes == 0


async def test_what_waits_behind_another_request_is_counted_and_given_back() -> None:
    limits = ServerLimits()
    begun, gone = asyncio.Event(), asyncio.Event()

    async def busy(scope: Scope, _receive: Receive, _send: Send) -> None:
        request = served_request(scope)
        assert request is not None
        request.connection.watch(gone.set)
        begun.set()
        await asyncio.Event().wait()

    async with served(busy, limits=limits) as server:
        async with server.connected() as (_, writer):
            writer.write(f"{GET}\r\n{POST}content-length: 5000\r\n\r\n".encode() + bytes(4000))
            await begun.wait()
            await until(lambda: limits.buffered_bytes == 4000)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await gone.wait()

    assert limits.buffered_bytes == 0


@asynccontextmanager
async def held(
    server: Served, count: int, head: str
) -> AsyncIterator[list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]:
    """Clients that send all but the last byte of a body."""
    clients = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(count)]
    try:
        for _, writer in clients:
            writer.write(f"{head}\r\n".encode() + b"x" * (LARGE - 1))
        yield clients
    finally:
        for _, writer in clients:
            writer.transport.abort()


def test_an_uplink_of_one_megabit_is_fast_enough_for_the_largest_body() -> None:
    limit, a_second = 32 * 2**20, 1_000_000 / 8 * 0.9
    pace = body_pace(limit)

    assert limit / a_second < pace.total_seconds < 600
    assert pace.least_bytes < a_second * pace.window_seconds


@pytest.mark.parametrize("pace", [BodyPace(0.05, 1000, 60), BodyPace(60, 0, 0.2)], ids=["too slow", "too long"])
async def test_a_body_that_comes_in_drops_is_not_waited_for(pace: BodyPace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.http.body.body_pace", lambda _limit: pace)
    request = a_request(a_network())
    waiting = asyncio.create_task(request.body(1000))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not waiting.done():
            request.feed(b"x")
            await asyncio.sleep(0.01)

    with pytest.raises(TimeoutError):
        await waiting


# Clients that take nothing.


async def flood(scope: Scope, _receive: Receive, send: Send) -> None:
    """More than all buffers on the way take, in pieces or at once."""
    if scope["path"] == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": bytes(2**18), "more_body": True})
    await tell(send, bytes(2**26))


@on_both_loops
@pytest.mark.parametrize("path", ["/stream", "/whole"])
@pytest.mark.parametrize("end", ["\r\n", LAST], ids=["keep-alive", "close"])
def test_a_client_that_takes_nothing_of_its_answer_is_cut_off(run: Run, path: str, end: str) -> None:
    async def main() -> None:
        async with (
            served(flood, limits=ServerLimits(write_seconds=0.1)) as server,
            server.connected() as (reader, writer),
        ):
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n{end}".encode())
            await until(lambda: bool(server.state.connections))
            async with asyncio.timeout(PATIENCE_SECONDS):
                while server.state.connections or server.state.tasks:  # noqa: ASYNC110 - nobody tells the test
                    await asyncio.sleep(0.01)
            writer.transport.resume_reading()  # type: ignore[attr-defined]
            with pytest.raises(ConnectionResetError):
                await reader.read()

    run(main())


@on_both_loops
def test_a_client_that_goes_on_taking_is_not(run: Run) -> None:
    async def main() -> None:
        async with (
            # Less than all its pauses take together, and much more than one of them on any machine.
            served(flood, limits=ServerLimits(write_seconds=1.0)) as server,
            server.connected() as (reader, writer),
        ):
            writer.write(f"GET /whole HTTP/1.1\r\nhost: x\r\n{LAST}".encode())
            (got, pieces) = (0, 0)
            async with asyncio.timeout(60):
                while piece := await reader.read(2**22):
                    got += len(piece)
                    pieces += 1
                    if pieces % 20 == 0 and pieces < 300:
                        await asyncio.sleep(0.1)
            assert got > 2**26

    run(main())


async def test_what_is_left_of_an_answer_keeps_no_connection_open_that_is_closed_between_requests() -> None:
    limits = ServerLimits(write_seconds=0.1)
    async with served(echo, keepalive_seconds=0, limits=limits) as server, server.connected() as (_, writer):
        writer.write(f"{GET}\r\n".encode())
        await until(lambda: bool(server.state.connections))
        (connection,) = server.state.connections
        # Less than what makes the transport say that it is full.
        connection.transport = _Stuck(connection.transport)  # type: ignore[assignment]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while server.state.connections:  # noqa: ASYNC110 - nobody tells the test
                await asyncio.sleep(0.01)


class _Stuck:
    """A transport whose peer takes nothing, so that it never gets to close."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._is_closing = False

    def get_write_buffer_size(self) -> int:
        return 1000

    def close(self) -> None:
        self._is_closing = True

    def is_closing(self) -> bool:
        return self._is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


# Clients that have sent all, and clients that have gone: at first both look alike.


class Patient:
    """Answers when it is told to, in one piece or two, and notes whether its client has gone."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.gone = asyncio.Event()

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        request = served_request(scope)
        assert request is not None
        request.connection.watch(self.gone.set)
        if scope["path"] == "/stream":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"one", "more_body": True})
        self.begun.set()
        await self.may_end.wait()
        if scope["path"] == "/stream":
            await send({"type": "http.response.body", "body": b"two"})
        elif scope["path"] == "/fails":
            raise LookupError
        else:
            await tell(send, b"all")


EXPECTED = {
    "/whole": b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nall",
    # A length may begin with zeros.
    "/stream": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n03\r\ntwo\r\n0\r\n\r\n",
}


@on_both_loops
@pytest.mark.parametrize("path", EXPECTED)
def test_a_client_that_has_sent_all_and_says_so_gets_its_answer(run: Run, path: str) -> None:
    async def main() -> None:
        app = Patient()
        async with served(app) as server, server.connected() as (reader, writer):
            writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            await app.begun.wait()
            writer.write_eof()
            # Long enough to be looked at a few times.
            await asyncio.sleep(0.3)
            assert not app.gone.is_set()
            app.may_end.set()
            async with asyncio.timeout(PATIENCE_SECONDS):
                answer = await reader.read()
            await until(lambda: server.state.connections == set())
        assert answer.replace(b"connection: close\r\n", b"") == EXPECTED[path]

    run(main())


@on_both_loops
@pytest.mark.parametrize("path", EXPECTED)
def test_a_client_that_has_gone_is_noticed_although_nothing_was_to_be_sent(run: Run, path: str) -> None:
    async def main() -> None:
        app = Patient()
        async with served(app) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            await app.begun.wait()
            if path == "/stream":
                await reader.readuntil(b"one\r\n")
            writer.close()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await app.gone.wait()
            app.may_end.set()

    run(main())


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_all_requests_that_came_whole_before_the_end_are_answered(version: str) -> None:
    async with served(echo) as server, server.connected() as (reader, writer):
        whole = f"{POST}content-length: 1\r\n\r\na{POST}content-length: 1\r\n\r\nb" if version == "1.1" else "GET / "
        rest = f"{POST}content-length: 5\r\n\r\ncut" if version == "1.1" else "HTTP/1.0\r\n\r\n"
        writer.write((whole + rest).encode())
        writer.write_eof()
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = await reader.read()

    assert [part.partition(b"<")[2] for part in answer.split(b">")[:-1]] == (
        [b"POST / a", b"POST / b"] if version == "1.1" else [b"GET / "]
    )


async def test_a_request_that_will_never_be_whole_is_not_waited_for() -> None:
    async with served(reading) as server, server.connected() as (reader, writer):
        writer.write(f"{POST}content-length: 5\r\n\r\ncut".encode())
        writer.write_eof()
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await reader.read() == b""
        await until(lambda: server.state.tasks == set())


async def test_a_failure_after_the_end_is_told_in_one_piece() -> None:
    app = Patient()
    async with served(app) as server, server.connected() as (reader, writer):
        writer.write(b"GET /fails HTTP/1.1\r\nhost: x\r\n\r\n")
        await app.begun.wait()
        writer.write_eof()
        async with asyncio.timeout(PATIENCE_SECONDS):
            beginning = await reader.readexactly(9)
            app.may_end.set()
            rest = await reader.read()

    assert (beginning + rest).startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
