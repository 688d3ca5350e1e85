"""What networks and hosts do to a client: proxies, certificates, addresses, large bodies, early and late answers."""

import asyncio
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme

from gateway.secret import Secret
from gateway.service.ports import Call, Upstream, UpstreamAnswer
from gateway.upstream import connection, dialing, direct
from gateway.upstream.client import ClientName, UpstreamClient, has_proxy, upstream_client
from gateway.upstream.hosts import HostEndpoint, endpoint
from gateway.upstream.limits import TimeLimits
from tests.gateway.test_upstream import (
    BODY,
    CALL,
    EVENTS,
    IMPLEMENTATIONS,
    KEY,
    at,
    failure_of,
    kind_of_failure,
    opened,
    pieces_of,
)
from tests.scenarios.harness import soon
from tests.support.garbage import garbage
from tests.support.scripted import (
    Answer,
    Close,
    Reset,
    Send,
    Silence,
    Wait,
    json_answer,
    scripted_upstream,
    stream_answer,
)
from tests.support.scripted import ScriptedUpstream as Scripted
from translators.errors import ErrorKind, FailedError

both = pytest.mark.parametrize("name", IMPLEMENTATIONS)
only_direct = pytest.mark.parametrize("name", ["direct"])
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


@asynccontextmanager
async def raw_server(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[HostEndpoint]:
    """A server that does with each connection what the test says, and closes it then."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handle(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**16)
    try:
        yield endpoint("main", Secret(KEY), "http://127.0.0.1:{1}".format(*server.sockets[0].getsockname()))
    finally:
        server.close()


async def body_of(answer: UpstreamAnswer) -> bytes:
    return b"".join(await pieces_of(answer))


# Answers that are not as simple as they could be.


@both
@pytest.mark.parametrize("status", [100, 102, 103])
async def test_interim_answers_are_passed_over(upstream: Scripted, name: ClientName, status: int) -> None:
    interim = Send(b"HTTP/1.1 %d Wait\r\nlink: </x>; rel=preload\r\n\r\n" % status)
    upstream.always(Answer((interim, interim, *stream_answer(*EVENTS).steps)))

    async with opened(name) as client:
        for _ in range(2):
            async with client.open(at(upstream), CALL) as answer:
                assert answer.status == 200
                assert "link" not in answer.headers
                assert await body_of(answer) == b"".join(EVENTS)

    assert upstream.connections_accepted == 1


@only_direct
async def test_endless_interim_answers_have_an_end(name: ClientName) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        while True:
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
            await writer.drain()

    async with raw_server(handle) as target, opened(name, first_byte_seconds=0.05) as client:
        assert await kind_of_failure(client, target) is ErrorKind.UPSTREAM_TIMEOUT


@only_direct
async def test_a_switch_of_protocols_is_refused(upstream: Scripted, name: ClientName) -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    upstream.script(Answer((Send(head), Silence())))

    async with opened(name) as client:
        assert await kind_of_failure(client, at(upstream)) is ErrorKind.PROTOCOL_ERROR


@both
async def test_chunk_extensions_and_trailers_are_not_content(upstream: Scripted, name: ClientName) -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    body = b"5;name=value\r\nhello\r\n0\r\nx-trailer: 1\r\n\r\n"
    upstream.always(Answer((Send(head + body),)))

    async with opened(name) as client:
        for _ in range(2):
            async with client.open(at(upstream), CALL) as answer:
                assert await answer.read(100) == b"hello"
                assert await answer.receive() == b""
                assert "x-trailer" not in answer.headers

    assert upstream.connections_accepted == 1


@both
async def test_two_framings_at_once_are_a_broken_answer(upstream: Scripted, name: ClientName) -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n"
    upstream.script(Answer((Send(head + b"5\r\nhello\r\n0\r\n\r\n"), Close())))

    # The chunks count or nothing does: readers who disagree are what request smuggling lives on.
    body = b""
    async with opened(name) as client:
        with suppress(FailedError):
            async with client.open(at(upstream), CALL) as answer:
                body = await body_of(answer)
    assert body in (b"", b"hello")


@both
@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_is_complete_at_once(upstream: Scripted, name: ClientName, status: int) -> None:
    upstream.always(Answer((Send(b"HTTP/1.1 %d Empty\r\n\r\n" % status),)))

    async with opened(name) as client:
        for _ in range(2):
            async with client.open(at(upstream), CALL) as answer:
                assert (answer.status, await answer.receive()) == (status, b"")

    assert upstream.connections_accepted == 1


# httpx2 takes it for the answer to the next call.
@only_direct
async def test_what_comes_behind_an_answer_is_nobodys(upstream: Scripted, name: ClientName) -> None:
    stray = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nstray"
    upstream.script(Answer((Send(OK + stray),)), json_answer(200, b"second"))

    async with opened(name) as client:
        async with client.open(at(upstream), CALL) as answer:
            assert await answer.read(100) == b"{}"
        async with client.open(at(upstream), CALL) as answer:
            assert await answer.read(100) == b"second"


@both
async def test_parting_words_on_an_idle_connection_are_no_answer(upstream: Scripted, name: ClientName) -> None:
    late = asyncio.Event()
    parting = Send(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    upstream.script(Answer((Send(OK), Wait(late), parting)), json_answer(200, b"second"))

    async with opened(name) as client:
        async with client.open(at(upstream), CALL) as answer:
            assert await answer.read(100) == b"{}"
            assert await answer.receive() == b""
        late.set()
        if name == "direct":
            await upstream.wait_for_connections(0)
        else:
            await asyncio.sleep(0.01)
        async with client.open(at(upstream), CALL) as answer:
            assert await answer.read(100) == b"second"


@only_direct
async def test_events_of_one_read_are_one_piece(upstream: Scripted, name: ClientName) -> None:
    head, *frames = stream_answer(*EVENTS).steps
    packet = b"".join(frame.data for frame in frames if isinstance(frame, Send))
    upstream.script(Answer((head, Send(packet))))

    async with opened(name) as client, client.open(at(upstream), CALL) as answer:
        assert await pieces_of(answer) == [b"".join(EVENTS)]
        assert answer.is_complete


# Bodies on their way up.


@both
@pytest.mark.parametrize("size", [0, 1, 2**16 - 1, 2**16, 2**16 + 1, 3_000_000])
async def test_bodies_of_any_size_arrive_whole(upstream: Scripted, name: ClientName, size: int) -> None:
    upstream.always(json_answer(200, {}))
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)

    async with opened(name) as client:
        for _ in range(2):
            async with client.open(at(upstream), Call("2026-10-21", body)) as answer:
                await answer.read(100)
                await answer.receive()

    assert [request.body for request in upstream.received] == [body, body]
    assert [request.headers["content-length"] for request in upstream.received] == [str(size)] * 2
    assert upstream.connections_accepted == 1


@both
async def test_a_host_that_reads_slowly_gets_everything_and_holds_nobody_up(
    upstream: Scripted, name: ClientName
) -> None:
    body = b"0123456789abcdef" * 2**20
    may_read = asyncio.Event()
    got = bytearray()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await may_read.wait()
        while len(got) < len(body):
            got.extend(await reader.read(100_000))
        writer.write(OK)
        await writer.drain()

    upstream.always(stream_answer(*EVENTS))
    async with raw_server(handle) as target, opened(name) as client:

        async def upload() -> bytes:
            async with client.open(target, Call("2026-10-21", body)) as answer:
                return await answer.read(100)

        task = asyncio.create_task(upload())
        async with asyncio.timeout(60), client.open(at(upstream), CALL) as answer:
            assert await body_of(answer) == b"".join(EVENTS)
        may_read.set()
        assert await task == b"{}"

    assert got == body


# httpx2 sends to the end first, and then finds the connection broken.
@only_direct
@pytest.mark.parametrize("closes", [True, False])
async def test_an_answer_may_come_before_the_body_is_sent(name: ClientName, *, closes: bool) -> None:
    body = b"x" * 2**26
    is_over = asyncio.Event()
    connections = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig")
        await writer.drain()
        if not closes:
            await is_over.wait()

    async with raw_server(handle) as target, opened(name) as client, asyncio.timeout(60):
        for _ in range(2):
            async with client.open(target, Call("2026-10-21", body)) as answer:
                assert answer.status == 413
                assert await answer.read(100) == b"big"
        is_over.set()

    # What was not sent to the end cannot carry another call.
    assert connections == 2


@only_direct
async def test_a_call_cancelled_while_its_body_is_sent_hangs_up(name: ClientName) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def handle(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        began.set()
        try:
            while await reader.read(1000):
                pass
        finally:
            ended.set()

    async with raw_server(handle) as target, opened(name) as client:

        async def upload() -> None:
            async with client.open(target, Call("2026-10-21", b"x" * 2**26)):
                pass

        task = asyncio.create_task(upload())
        await soon(began)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await soon(ended)


# Connections that turn out dead.


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow this machine is, what it takes is taken for the network's time."""
    monkeypatch.setattr(direct, "_STALE_SECONDS", 10.0)


@only_direct
@pytest.mark.usefixtures("patient")
async def test_a_connection_that_was_given_up_meanwhile_is_no_failure(upstream: Scripted, name: ClientName) -> None:
    upstream.script(stream_answer(*EVENTS), Answer((Close(),)), stream_answer(*EVENTS))

    async with opened(name) as client:
        for _ in range(2):
            async with client.open(at(upstream), CALL) as answer:
                assert await body_of(answer) == b"".join(EVENTS)

    assert [request.connection for request in upstream.received] == [1, 1, 2]


@only_direct
@pytest.mark.usefixtures("patient")
async def test_it_is_sent_anew_once_and_on_a_new_connection(upstream: Scripted, name: ClientName) -> None:
    gate = asyncio.Event()
    upstream.script(*[stream_answer(EVENTS[0], Wait(gate), *EVENTS[1:])] * 3)
    upstream.always(Answer((Close(),)))

    async with opened(name) as client:

        async def call() -> bytes:
            async with client.open(at(upstream), CALL) as answer:
                return await body_of(answer)

        calls = [asyncio.create_task(call()) for _ in range(3)]
        await upstream.wait_for_requests(3)
        gate.set()
        await asyncio.gather(*calls)
        assert await kind_of_failure(client, at(upstream)) is ErrorKind.UNREACHABLE

    assert [request.connection for request in upstream.received[3:]] == [3, 4]


SPOILT = {
    "an answer has begun": Answer((Send(b"HTTP/1.1 200 OK\r\nconte"), Close())),
    "the head is there": stream_answer(Close()),
}


@only_direct
@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.usefixtures("patient")
async def test_a_call_that_may_have_been_begun_is_not_sent_anew(upstream: Scripted, name: ClientName, how: str) -> None:
    upstream.script(stream_answer(*EVENTS), SPOILT[how])

    async with opened(name) as client:
        async with client.open(at(upstream), CALL) as answer:
            await body_of(answer)
        await kind_of_failure(client, at(upstream))

    assert len(upstream.received) == 2


@only_direct
async def test_nor_is_one_that_the_host_has_held(
    upstream: Scripted, name: ClientName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "_STALE_SECONDS", -10.0)
    upstream.script(stream_answer(*EVENTS), Answer((Close(),)))

    async with opened(name) as client:
        async with client.open(at(upstream), CALL) as answer:
            await body_of(answer)
        assert await kind_of_failure(client, at(upstream)) is ErrorKind.UNREACHABLE

    assert len(upstream.received) == 2


@only_direct
async def test_idle_connections_expire(upstream: Scripted, name: ClientName, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "KEEPALIVE_SECONDS", 0.03)
    upstream.always(stream_answer(*EVENTS))

    async with opened(name) as client:
        async with client.open(at(upstream), CALL) as answer:
            await body_of(answer)
        await upstream.wait_for_connections(0)


@only_direct
async def test_few_idle_connections_are_kept(
    upstream: Scripted, name: ClientName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "MAX_IDLE", 2)
    gate = asyncio.Event()
    upstream.always(stream_answer(EVENTS[0], Wait(gate), *EVENTS[1:]))

    async with opened(name) as client:

        async def call() -> bytes:
            async with client.open(at(upstream), CALL) as answer:
                return await body_of(answer)

        calls = [asyncio.create_task(call()) for _ in range(5)]
        await upstream.wait_for_requests(5)
        gate.set()
        await asyncio.gather(*calls)
        await upstream.wait_for_connections(2)


# Time limits.


@both
async def test_an_answer_that_drips_has_an_end(name: ClientName) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"drip")
            await writer.drain()
            await asyncio.sleep(0)

    async with raw_server(handle) as target, opened(name, total_seconds=0.05) as client:
        assert await kind_of_failure(client, target) is ErrorKind.UPSTREAM_TIMEOUT


@both
async def test_silence_counts_only_while_somebody_listens(upstream: Scripted, name: ClientName) -> None:
    gate, is_rested = asyncio.Event(), asyncio.Event()
    upstream.script(stream_answer(EVENTS[0], Wait(gate), *EVENTS[1:]))
    loop = asyncio.get_running_loop()

    async with opened(name, idle_seconds=0.1) as client, client.open(at(upstream), CALL) as answer:
        first = await answer.receive()
        # The caller's client does not take what it was sent: that is not upstream's silence.
        loop.call_later(0.25, is_rested.set)
        await soon(is_rested)
        loop.call_later(0.02, gate.set)
        assert first + await body_of(answer) == b"".join(EVENTS)


# Certificates, addresses, proxies.


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def server_tls(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@both
async def test_tls_with_an_authority_of_ones_own(name: ClientName, authority: trustme.CA, ca_file: str) -> None:
    async with scripted_upstream(tls=server_tls(authority, "127.0.0.1")) as upstream, opened(name, ca_file) as client:
        upstream.always(stream_answer(*EVENTS))
        for _ in range(2):
            async with client.open(at(upstream), Call("2026-10-21", b"x" * 300_000)) as answer:
                assert await body_of(answer) == b"".join(EVENTS)

        assert [len(request.body) for request in upstream.received] == [300_000] * 2
        assert upstream.connections_accepted == 1


@both
@pytest.mark.parametrize("what", ["unknown authority", "another host's certificate"])
async def test_certificates_are_verified(name: ClientName, authority: trustme.CA, ca_file: str, what: str) -> None:
    is_unknown = what == "unknown authority"
    tls = server_tls(authority, "127.0.0.1" if is_unknown else "elsewhere.example")
    async with scripted_upstream(tls=tls) as upstream:
        async with opened(name, None if is_unknown else ca_file) as client:
            failure = await failure_of(client, at(upstream))
        assert failure.kind is ErrorKind.UNREACHABLE
        assert failure.detail.startswith("the certificate was not accepted: ")
        # No key has left.
        assert upstream.received == []


@both
async def test_ipv6_hosts(name: ClientName) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 on this machine: {error}")
    async with scripted_upstream("::1") as upstream, opened(name) as client:
        upstream.script(stream_answer(*EVENTS))
        async with client.open(at(upstream), CALL) as answer:
            assert await body_of(answer) == b"".join(EVENTS)
        assert upstream.received[0].headers["host"] == upstream.base_url.removeprefix("http://")


@pytest.mark.parametrize("first", ["refuses", "is silent"])
async def test_the_next_address_is_tried(upstream: Scripted, monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    upstream.always(stream_answer(*EVENTS))
    loop = asyncio.get_running_loop()
    resolve = loop.getaddrinfo
    with socket.socket() as listener, socket.socket() as one, socket.socket() as two:
        listener.bind(("127.0.0.1", 0))
        if first == "is silent":
            # A queue of one that is full: further connections are neither taken nor refused.
            listener.listen(0)
            for filler in (one, two):
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            monkeypatch.setattr(dialing, "_NEXT_ADDRESS_SECONDS", 0.02)
        bad_port = listener.getsockname()[1]

        async def found(host: str, port: int, **how: Any) -> list[Any]:
            assert host == "two.example"
            return [*await resolve("127.0.0.1", bad_port, **how), *await resolve("127.0.0.1", port, **how)]

        monkeypatch.setattr(loop, "getaddrinfo", found, raising=False)
        async with opened("direct") as client:
            target = endpoint("main", Secret(KEY), upstream.base_url.replace("127.0.0.1", "two.example"))
            async with client.open(target, CALL) as answer:
                assert await body_of(answer) == b"".join(EVENTS)


def test_families_take_turns() -> None:
    found = [(10, "a"), (10, "b"), (10, "c"), (2, "d")]

    assert dialing._mixed(found) == [(10, "a"), (2, "d"), (10, "b"), (10, "c")]


async def test_a_proxy_of_the_environment_is_used(
    upstream: Scripted, monkeypatch: pytest.MonkeyPatch, no_proxies: None
) -> None:
    monkeypatch.setenv("HTTP_PROXY", upstream.base_url)
    upstream.script(stream_answer(*EVENTS))

    client = upstream_client(TimeLimits())
    try:
        async with client.open(endpoint("main", Secret(KEY), "http://host.example"), CALL) as answer:
            assert await body_of(answer) == b"".join(EVENTS)
    finally:
        await client.close()

    (received,) = upstream.received
    assert (received.path, received.body) == ("http://host.example/v1/messages", BODY)


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme}_proxy".upper(), raising=False)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"HTTPS_PROXY": "http://p:1"}, True),
        ({"https_proxy": "http://p:1"}, True),
        ({"ALL_PROXY": "socks5://p:1"}, True),
        ({"HTTP_PROXY": "http://p:1"}, False),
        ({"HTTPS_PROXY": ""}, False),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "anthropic.com"}, False),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, False),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example.com"}, True),
    ],
)
def test_when_there_is_a_proxy(
    environment: dict[str, str], *, expected: bool, monkeypatch: pytest.MonkeyPatch, no_proxies: None
) -> None:
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)

    assert has_proxy("https://api.anthropic.com") is expected


@only_direct
@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nb", "a\rb", "a\x7f", "caf\u00e9", "nul\0"])
async def test_no_header_can_bring_another(upstream: Scripted, name: ClientName, value: str) -> None:
    async with opened(name) as client:
        with pytest.raises(FailedError):
            async with client.open(at(upstream), Call("2026-10-21", BODY, headers=(("x-own", value),))):
                pass

    assert upstream.received == []


# Pieces that are pushed.


@both
async def test_a_sink_gets_the_body_until_it_has_enough(upstream: Scripted, name: ClientName) -> None:
    gate = asyncio.Event()
    upstream.script(stream_answer(*EVENTS[:2], Wait(gate), *EVENTS[2:]))
    async with opened(name) as client, client.open(at(upstream), CALL) as answer:
        got = await answer.receive()
        while len(got) < len(b"".join(EVENTS[:2])):
            got += await answer.receive()
        pushed: list[bytes] = []

        def sink(piece: bytes) -> bool:
            pushed.append(piece)
            return len(b"".join(pushed)) < len(EVENTS[2])

        asyncio.get_running_loop().call_soon(gate.set)
        await answer.push(sink)
        assert got + b"".join(pushed) + await body_of(answer) == b"".join(EVENTS)


def _always(pieces: list[bytes], piece: bytes) -> bool:
    pieces.append(piece)
    return True


@both
async def test_pushing_ends_with_the_body(upstream: Scripted, name: ClientName) -> None:
    upstream.always(stream_answer(*EVENTS))
    async with opened(name) as client:
        for _ in range(2):
            async with client.open(at(upstream), CALL) as answer:
                got = [await answer.receive()]
                await answer.push(partial(_always, got))
                got.append(await body_of(answer))
                assert b"".join(got) == b"".join(EVENTS)

    assert upstream.connections_accepted == 1


async def _pushed(client: Upstream, upstream: Scripted, sink: Callable[[bytes], bool]) -> None:
    async with client.open(at(upstream), CALL) as answer:
        await answer.receive()
        await answer.push(sink)
        await pieces_of(answer)


@both
@pytest.mark.parametrize("end", [Close(), Reset(), Silence()], ids=["close", "reset", "silence"])
async def test_a_failure_ends_the_pushing_and_is_told_by_receive(
    upstream: Scripted, name: ClientName, end: Any
) -> None:
    upstream.script(stream_answer(*EVENTS[:2], end))
    async with opened(name, idle_seconds=0.05) as client:
        with pytest.raises(FailedError) as raised:
            await _pushed(client, upstream, lambda _piece: True)
    expected = ErrorKind.UPSTREAM_TIMEOUT if isinstance(end, Silence) else ErrorKind.CUT_OFF
    assert raised.value.failure.kind is expected


@both
async def test_what_a_sink_raises_is_raised(upstream: Scripted, name: ClientName) -> None:
    gate = asyncio.Event()
    upstream.script(stream_answer(EVENTS[0], Wait(gate), *EVENTS[1:]))
    asyncio.get_running_loop().call_later(0.01, gate.set)

    def sink(_piece: bytes) -> bool:
        raise ZeroDivisionError

    async with opened(name) as client:
        with pytest.raises(ZeroDivisionError):
            await _pushed(client, upstream, sink)
        await upstream.wait_for_disconnects(1)


@only_direct
async def test_a_cancelled_push_hangs_up(upstream: Scripted, name: ClientName) -> None:
    upstream.script(stream_answer(EVENTS[0], Silence()))
    is_pushing = asyncio.Event()

    async def call(client: Upstream) -> None:
        async with client.open(at(upstream), CALL) as answer:
            await answer.receive()
            is_pushing.set()
            await answer.push(lambda _piece: True)

    async with opened(name) as client:
        task = asyncio.create_task(call(client))
        await soon(is_pushing)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await upstream.wait_for_disconnects(1)


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop is not for Windows")
def test_a_stream_at_full_speed_leaves_others_their_turn() -> None:
    import uvloop

    async def watch() -> int:
        turns = pushes = most = 0
        total = 32 * 2**20

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await asyncio.sleep(0)
            writer.write(b"x" * total)
            await writer.drain()

        def sink(piece: bytes) -> bool:
            nonlocal pushes, total
            pushes += 1
            total -= len(piece)
            return total > 0

        async def take_turns() -> None:
            nonlocal turns, pushes, most
            while True:
                most, pushes, turns = max(most, pushes), 0, turns + 1
                await asyncio.sleep(0)

        async with raw_server(handle) as target, opened("direct") as client, client.open(target, CALL) as answer:
            others = asyncio.create_task(take_turns())
            total -= len(await answer.receive())
            await answer.push(sink)
            others.cancel()
        return most

    # At most one large read, and a small one before it.
    assert uvloop.run(watch()) <= 2


# What a host may do wrong with a connection that is kept.


@only_direct
async def test_an_answer_that_nobody_asked_for_is_for_nobody(name: ClientName) -> None:
    writers: list[asyncio.StreamWriter] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        while await reader.readuntil(b"\r\n\r\n"):
            await reader.readexactly(len(BODY))
            writer.write(OK)

    async with raw_server(handle) as target, opened(name) as client:
        async with client.open(target, CALL) as answer:
            assert await body_of(answer) == b"{}"
        # At once in the client's socket, before its loop comes round to read it.
        writers[0].write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nstray")
        async with client.open(target, CALL) as answer:
            assert await body_of(answer) == b"{}"

    assert len(writers) == 2


@only_direct
@pytest.mark.parametrize("stray", [b"H", b"HTTP/1.1 200 OK\r\nx: y\r\n", b"\0"])
async def test_the_beginning_of_another_answer_ends_the_connection(
    upstream: Scripted, name: ClientName, stray: bytes
) -> None:
    upstream.script(Answer((Send(OK + stray),)), json_answer(200, b"second"))

    async with opened(name) as client:
        async with client.open(at(upstream), CALL) as answer:
            assert await answer.read(100) == b"{}"
        async with client.open(at(upstream), CALL) as answer:
            assert await answer.read(100) == b"second"

    assert upstream.connections_accepted == 2


@only_direct
async def test_endless_trailers_have_an_end(name: ClientName) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx-trailer: ")
        while True:
            writer.write(b"x" * 10_000)
            await writer.drain()

    async with raw_server(handle) as target, opened(name) as client, asyncio.timeout(60):
        assert await kind_of_failure(client, target) is ErrorKind.PROTOCOL_ERROR


class _Transport(asyncio.Transport):
    """A network that takes everything and sends nothing of it."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__({"socket": sock})
        self.unsent = 0
        self.is_aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.unsent += len(data)

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True


@pytest.mark.parametrize("unsent", [0, 1])
async def test_a_connection_with_something_unsent_takes_no_other_call(unsent: int) -> None:
    with socket.socket() as sock:
        transport = _Transport(sock)
        link = connection.Connection(TimeLimits(), lambda _link: None)
        link.connection_made(transport)
        link.begin(b"POST / HTTP/1.1\r\n\r\n", b"body")
        link.data_received(OK)
        transport.unsent = unsent

        assert link.leave() is (unsent == 0)
        assert transport.is_aborted is (unsent > 0)
        link.connection_lost(None)


@only_direct
async def test_an_answer_that_was_left_leaves_no_cycle(upstream: Scripted, name: ClientName) -> None:
    upstream.always(stream_answer(b"x" * 1000, Silence()))

    async with opened(name) as client:
        with garbage() as found:
            for _ in range(3):
                async with client.open(at(upstream), CALL) as answer:
                    assert answer.status == 200
            del answer
            await upstream.wait_for_disconnects(3)

    assert found == []


async def test_a_ca_file_that_is_gone_is_a_failure_like_any_other(upstream: Scripted) -> None:
    async with opened("direct", "/nowhere/ca.pem") as client:
        target = endpoint("main", Secret(KEY), upstream.base_url.replace("http:", "https:"))
        assert await kind_of_failure(client, target) is ErrorKind.UNREACHABLE


@only_direct
async def test_closing_the_client_completes_no_answer(upstream: Scripted, name: ClientName) -> None:
    # Its end is the connection's, as a host makes it.
    upstream.script(stream_answer(EVENTS[0], Silence(), framing="close"))
    client = upstream_client(TimeLimits(), name)

    with pytest.raises(FailedError):
        await _closed_in_the_middle(client, upstream)


async def _closed_in_the_middle(client: UpstreamClient, upstream: Scripted) -> None:
    async with client.open(at(upstream), CALL) as answer:
        await answer.receive()
        closing = asyncio.create_task(client.close())
        await pieces_of(answer)
        await closing
