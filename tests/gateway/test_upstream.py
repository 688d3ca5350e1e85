"""What the proxy may expect of an `Upstream`, whichever implementation is behind it."""

import asyncio
import errno
import gc
import os
import re
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import pytest

from gateway.secret import Secret
from gateway.service.ports import Call, Upstream, UpstreamAnswer
from gateway.upstream.client import ClientName, UpstreamClient, upstream_client
from gateway.upstream.failures import in_words
from gateway.upstream.hosts import HostEndpoint, endpoint
from gateway.upstream.limits import TimeLimits
from tests.scenarios.harness import soon
from tests.support import messages
from tests.support.scripted import (
    Answer,
    Close,
    Framing,
    Reached,
    Reset,
    ScriptedUpstream,
    Send,
    Silence,
    Wait,
    error_answer,
    json_answer,
    refusing_upstream,
    stream_answer,
)
from translators.errors import RULES, Blame, ErrorKind, FailedError, Failure

BODY = b'{"model":"claude-sonnet-5-5"}'
CALL = Call("2026-10-21", BODY, streams=True)
EVENTS = messages.text_stream()
KEY = "sk-ant-api03-" + "k" * 40


# Every implementation goes through all of these.
IMPLEMENTATIONS: tuple[ClientName, ...] = ("direct", "httpx2")


@pytest.fixture(params=IMPLEMENTATIONS)
def implementation(request: pytest.FixtureRequest) -> ClientName:
    name: ClientName = request.param
    return name


@pytest.fixture
async def client(implementation: ClientName) -> AsyncIterator[UpstreamClient]:
    async with opened(implementation) as client:
        yield client


@asynccontextmanager
async def opened(
    implementation: ClientName, ca_file: str | None = None, **seconds: float
) -> AsyncIterator[UpstreamClient]:
    """A client with these time limits."""
    limits = TimeLimits(**{"connect_seconds": 30, "first_byte_seconds": 120, "idle_seconds": 120, **seconds})
    client = upstream_client(limits, implementation, ca_file)
    try:
        yield client
    finally:
        await client.close()


def at(upstream: ScriptedUpstream, key: str = KEY) -> HostEndpoint:
    return endpoint("main", Secret(key), upstream.base_url)


async def pieces_of(answer: UpstreamAnswer) -> list[bytes]:
    pieces = []
    while piece := await answer.receive():
        pieces.append(piece)
    return pieces


async def failure_of(client: Upstream, target: HostEndpoint, call: Call = CALL) -> Failure:
    """Open a call, read it to its end, and return how that failed."""
    with pytest.raises(FailedError) as raised:
        async with client.open(target, call) as answer:
            await pieces_of(answer)
    failure = raised.value.failure
    assert KEY not in failure.message
    assert KEY not in failure.detail
    # Operators read the detail: it names no class of exceptions, no error number and no line of C.
    assert not re.search(r"[a-z]Error\b|Errno|_ssl\.c|Traceback|^\W", failure.detail)
    return failure


async def kind_of_failure(client: Upstream, target: HostEndpoint, call: Call = CALL) -> ErrorKind:
    """Open a call, read it to its end, and return what kind of failure that was."""
    return (await failure_of(client, target, call)).kind


async def test_a_call_goes_out_as_it_was_given(upstream: ScriptedUpstream, client: UpstreamClient) -> None:
    upstream.script(stream_answer(*EVENTS))

    async with client.open(at(upstream), CALL) as answer:
        await pieces_of(answer)

    (received,) = upstream.received
    assert (received.method, received.path, received.body) == ("POST", "/v1/messages", BODY)
    assert received.headers["x-api-key"] == KEY
    assert received.headers["anthropic-version"] == "2026-10-21"
    assert received.headers["content-type"] == "application/json"
    assert received.headers["content-length"] == str(len(BODY))
    assert received.headers["host"] == upstream.base_url.removeprefix("http://")
    # What upstream sends goes through undecoded, so it must not be compressed.
    assert received.headers["accept-encoding"] == "identity"
    assert "authorization" not in received.headers


async def test_a_call_without_a_body_is_a_get(upstream: ScriptedUpstream, client: UpstreamClient) -> None:
    async with client.open(at(upstream), Call("2026-10-21", method="GET", path="/v1/models?limit=1000")) as answer:
        body = await answer.read(10_000)

    (received,) = upstream.model_requests
    assert (received.method, received.path, received.body) == ("GET", "/v1/models?limit=1000", b"")
    assert b'"data"' in body


async def test_a_base_url_may_have_a_path(upstream: ScriptedUpstream, client: UpstreamClient) -> None:
    upstream.script(json_answer(200, {}))

    async with client.open(endpoint("main", Secret(KEY), f"{upstream.base_url}/anthropic"), CALL) as answer:
        await answer.read(100)

    assert upstream.received[0].path == "/anthropic/v1/messages"


async def test_status_and_headers_are_those_of_the_answer(upstream: ScriptedUpstream, client: UpstreamClient) -> None:
    upstream.script(error_answer(429, "rate_limit_error", "Slow down.", headers={"Retry-After": "3", "X-Own": "Yes"}))

    async with client.open(at(upstream), CALL) as answer:
        status, headers = answer.status, answer.headers
        body = await answer.read(10_000)

    assert status == 429
    assert (headers["retry-after"], headers["x-own"], headers["request-id"]) == ("3", "Yes", "req_011CScriptedUpstream")
    assert "x-missing" not in headers
    assert headers.get("x-missing") is None
    assert b"Slow down." in body


@pytest.mark.parametrize("framing", ["chunked", "content-length", "close"])
@pytest.mark.parametrize("packet_size", [None, 1, 7])
async def test_every_framing_gives_the_same_body(
    upstream: ScriptedUpstream, client: UpstreamClient, framing: Framing, packet_size: int | None
) -> None:
    upstream.script(stream_answer(*EVENTS, framing=framing, packet_size=packet_size))

    async with client.open(at(upstream), CALL) as answer:
        pieces = await pieces_of(answer)
        again = await answer.receive()

    assert b"".join(pieces) == b"".join(EVENTS)
    assert b"" not in pieces
    assert again == b""


async def test_an_empty_body_ends_at_once(upstream: ScriptedUpstream, client: UpstreamClient) -> None:
    upstream.script(json_answer(200, b""))

    async with client.open(at(upstream), CALL) as answer:
        assert await answer.receive() == b""


async def test_interim_answers_are_passed_over(upstream: ScriptedUpstream, client: UpstreamClient) -> None:
    answer = stream_answer(*EVENTS)
    hints = Send(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
    upstream.script(Answer((Send(b"HTTP/1.1 100 Continue\r\n\r\n"), hints, *answer.steps)))

    async with client.open(at(upstream), CALL) as received:
        status = received.status
        body = b"".join(await pieces_of(received))

    assert status == 200
    assert body == b"".join(EVENTS)


async def test_each_piece_arrives_without_waiting_for_the_next(
    upstream: ScriptedUpstream, client: UpstreamClient
) -> None:
    gates = [asyncio.Event() for _ in range(3)]
    upstream.script(stream_answer(*(step for gate in gates for step in (b"piece", Wait(gate)))))

    async with client.open(at(upstream), CALL) as answer:
        for gate in gates:
            assert await answer.receive() == b"piece"
            gate.set()
        assert await answer.receive() == b""


async def test_the_head_is_there_before_the_body(upstream: ScriptedUpstream, client: UpstreamClient) -> None:
    upstream.script(stream_answer(Silence()))

    async with asyncio.timeout(60), client.open(at(upstream), CALL) as answer:
        assert answer.status == 200
    await upstream.wait_for_disconnects(1)


@pytest.mark.parametrize("limit", [1, 10, 100, 10_000])
async def test_reading_stops_at_the_limit(upstream: ScriptedUpstream, client: UpstreamClient, limit: int) -> None:
    upstream.script(stream_answer(*[b"0123456789"] * 20))

    async with client.open(at(upstream), CALL) as answer:
        body = await answer.read(limit)

    assert body == (b"0123456789" * 20)[:limit]


async def test_reading_a_little_of_an_endless_body_ends(upstream: ScriptedUpstream, client: UpstreamClient) -> None:
    upstream.script(stream_answer(b"x" * 1000, Silence()))

    async with asyncio.timeout(60), client.open(at(upstream), CALL) as answer:
        body = await answer.read(1000)
    await upstream.wait_for_disconnects(1)

    assert body == b"x" * 1000


async def test_a_finished_answer_leaves_its_connection_for_the_next(
    upstream: ScriptedUpstream, client: UpstreamClient
) -> None:
    upstream.always(stream_answer(*EVENTS))

    for _ in range(5):
        async with client.open(at(upstream), CALL) as answer:
            await pieces_of(answer)

    assert upstream.connections_accepted == 1


async def test_so_does_one_whose_error_was_read(upstream: ScriptedUpstream, client: UpstreamClient) -> None:
    upstream.always(error_answer(529, "overloaded_error", "Busy"))

    for _ in range(3):
        async with client.open(at(upstream), CALL) as answer:
            await answer.read(64 * 1024)

    # `read` may stop at the last byte without having seen the end; then the connection is given up.
    assert upstream.connections_accepted == 1


async def test_keys_of_one_host_share_its_connections(upstream: ScriptedUpstream, client: UpstreamClient) -> None:
    upstream.always(stream_answer(*EVENTS))

    for name in ("sk-ant-1", "sk-ant-2"):
        async with client.open(at(upstream, name), CALL) as answer:
            await pieces_of(answer)

    assert [request.api_key for request in upstream.received] == ["sk-ant-1", "sk-ant-2"]
    assert upstream.connections_accepted == 1


async def test_a_connection_closed_while_idle_is_not_used_again(
    upstream: ScriptedUpstream, client: UpstreamClient
) -> None:
    upstream.always(stream_answer(*EVENTS))

    bodies = []
    for _ in range(3):
        async with client.open(at(upstream), CALL) as answer:
            bodies.append(b"".join(await pieces_of(answer)))
        upstream.close_idle_connections()
        await upstream.wait_for_connections(0)

    assert bodies == [b"".join(EVENTS)] * 3
    assert upstream.connections_accepted == 3


async def test_a_connection_that_upstream_wants_closed_is_not_kept(
    upstream: ScriptedUpstream, client: UpstreamClient
) -> None:
    upstream.always(stream_answer(*EVENTS, headers={"connection": "close"}).then(Close()))

    for _ in range(2):
        async with client.open(at(upstream), CALL) as answer:
            assert b"".join(await pieces_of(answer)) == b"".join(EVENTS)

    assert upstream.connections_accepted == 2


async def test_a_hundred_calls_run_at_once(upstream: ScriptedUpstream, client: UpstreamClient) -> None:
    gate = asyncio.Event()
    upstream.always(stream_answer(EVENTS[0], Wait(gate), *EVENTS[1:]))

    async def one() -> bytes:
        async with client.open(at(upstream), CALL) as answer:
            return b"".join(await pieces_of(answer))

    running = [asyncio.create_task(one()) for _ in range(150)]
    await upstream.wait_for_requests(150)
    gate.set()

    assert await asyncio.gather(*running) == [b"".join(EVENTS)] * 150


# Leaving early.


async def test_leaving_the_block_before_the_end_hangs_up(upstream: ScriptedUpstream, client: UpstreamClient) -> None:
    upstream.script(stream_answer(EVENTS[0], Silence()))

    async with client.open(at(upstream), CALL) as answer:
        await answer.receive()
    await upstream.wait_for_disconnects(1)

    assert upstream.open_connections == 0


async def test_an_exception_inside_the_block_hangs_up_and_goes_on(
    upstream: ScriptedUpstream, client: UpstreamClient
) -> None:
    upstream.script(stream_answer(EVENTS[0], Silence()))

    with pytest.raises(ZeroDivisionError):
        async with client.open(at(upstream), CALL):
            raise ZeroDivisionError
    await upstream.wait_for_disconnects(1)


@pytest.mark.parametrize("where", ["before the head", "in the body"])
async def test_a_cancelled_call_hangs_up(upstream: ScriptedUpstream, client: UpstreamClient, where: str) -> None:
    reached = asyncio.Event()
    if where == "before the head":
        upstream.script(Answer((Reached(reached), Silence())))
    else:
        upstream.script(stream_answer(EVENTS[0], Reached(reached), Silence()))

    async def call() -> None:
        async with client.open(at(upstream), CALL) as answer:
            await pieces_of(answer)

    task = asyncio.create_task(call())
    await soon(reached)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await upstream.wait_for_disconnects(1)

    assert upstream.open_connections == 0


async def test_after_a_cancelled_call_the_next_one_works(upstream: ScriptedUpstream, client: UpstreamClient) -> None:
    upstream.script(Answer((Silence(),)), stream_answer(*EVENTS))

    async def call() -> bytes:
        async with client.open(at(upstream), CALL) as answer:
            return b"".join(await pieces_of(answer))

    task = asyncio.create_task(call())
    await upstream.wait_for_requests(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await call() == b"".join(EVENTS)


async def test_closing_the_client_closes_its_connections(
    upstream: ScriptedUpstream, implementation: ClientName
) -> None:
    upstream.script(stream_answer(*EVENTS))
    async with opened(implementation) as client, client.open(at(upstream), CALL) as answer:
        await pieces_of(answer)

    await upstream.wait_for_connections(0)


async def test_what_nobody_reads_is_not_fetched(upstream: ScriptedUpstream, client: UpstreamClient) -> None:
    sent = 0

    class Count:
        async def play(self, _connection: Any) -> None:
            nonlocal sent
            sent += 1

    piece = b"x" * 2**20
    upstream.script(stream_answer(*(step for _ in range(64) for step in (piece, Count()))))

    async with client.open(at(upstream), CALL) as answer:
        await answer.receive()
        for _ in range(1000):
            await asyncio.sleep(0)
        early = sent
        total = len(piece) + sum(map(len, await pieces_of(answer)))

    # The kernel's buffers take a few megabytes.
    assert early < 32
    assert total >= 64 * len(piece)


# Time limits.


async def test_silence_before_the_head_is_a_time_out(upstream: ScriptedUpstream, implementation: ClientName) -> None:
    upstream.always(Answer((Silence(),)))
    async with opened(implementation, first_byte_seconds=0.03) as client:
        assert await kind_of_failure(client, at(upstream)) is ErrorKind.UPSTREAM_TIMEOUT
        await upstream.wait_for_disconnects(1)


async def test_half_a_head_does_not_count_as_one(upstream: ScriptedUpstream, implementation: ClientName) -> None:
    upstream.always(Answer((Send(b"HTTP/1.1 200 OK\r\ncontent-"), Silence())))
    async with opened(implementation, first_byte_seconds=0.03) as client:
        assert await kind_of_failure(client, at(upstream)) is ErrorKind.UPSTREAM_TIMEOUT


async def test_silence_in_the_body_is_a_time_out(upstream: ScriptedUpstream, implementation: ClientName) -> None:
    upstream.always(stream_answer(EVENTS[0], Silence()))
    async with opened(implementation, idle_seconds=0.03) as client:
        assert await kind_of_failure(client, at(upstream)) is ErrorKind.UPSTREAM_TIMEOUT
        await upstream.wait_for_disconnects(1)


async def test_the_idle_limit_does_not_bound_the_wait_for_the_head(
    upstream: ScriptedUpstream, implementation: ClientName
) -> None:
    gate = asyncio.Event()
    upstream.script(Answer((Wait(gate), *stream_answer(*EVENTS).steps)))
    async with opened(implementation, idle_seconds=0.03) as client:
        asyncio.get_running_loop().call_later(0.15, gate.set)
        async with client.open(at(upstream), CALL) as answer:
            assert answer.status == 200


async def test_the_limit_for_the_head_does_not_bound_pauses_in_the_body(
    upstream: ScriptedUpstream, implementation: ClientName
) -> None:
    gate = asyncio.Event()
    upstream.script(stream_answer(EVENTS[0], Wait(gate), *EVENTS[1:]))
    async with (
        opened(implementation, first_byte_seconds=0.05) as client,
        client.open(at(upstream), CALL) as answer,
    ):
        asyncio.get_running_loop().call_later(0.15, gate.set)
        assert b"".join(await pieces_of(answer)) == b"".join(EVENTS)


async def test_an_idle_limit_is_for_each_pause_and_not_for_the_whole(
    upstream: ScriptedUpstream, implementation: ClientName
) -> None:
    gates = [asyncio.Event() for _ in range(4)]
    upstream.script(stream_answer(*(step for gate in gates for step in (b"piece", Wait(gate)))))
    loop = asyncio.get_running_loop()
    async with opened(implementation, idle_seconds=0.2) as client, client.open(at(upstream), CALL) as answer:
        for gate in gates:
            assert await answer.receive() == b"piece"
            loop.call_later(0.08, gate.set)
        assert await answer.receive() == b""


async def test_a_host_that_does_not_answer_the_connection_is_unreachable(
    implementation: ClientName,
) -> None:
    # A queue of one that is full: further connections are neither taken nor refused.
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        target = endpoint("main", Secret(KEY), f"http://127.0.0.1:{listener.getsockname()[1]}")
        async with opened(implementation, connect_seconds=0.05, first_byte_seconds=5) as client:
            assert await kind_of_failure(client, target) is ErrorKind.UNREACHABLE


# Kinds of failure.


async def test_a_refused_connection_is_unreachable(client: UpstreamClient) -> None:
    with refusing_upstream() as base_url:
        failure = await failure_of(client, endpoint("main", Secret(KEY), base_url))

    assert (failure.kind, failure.detail) == (ErrorKind.UNREACHABLE, "connection refused")


async def test_a_name_that_does_not_exist_is_unreachable(client: UpstreamClient) -> None:
    failure = await failure_of(client, endpoint("main", Secret(KEY), "http://no-such-host.invalid"))

    assert (failure.kind, failure.detail) == (ErrorKind.UNREACHABLE, "the host's name could not be resolved")


async def test_a_host_that_does_not_speak_tls_is_unreachable(
    upstream: ScriptedUpstream, client: UpstreamClient
) -> None:
    target = endpoint("main", Secret(KEY), upstream.base_url.replace("http://", "https://"))
    failure = await failure_of(client, target)
    # The server could not make sense of it, which is what was wanted.
    upstream.failures.clear()

    assert failure.kind is ErrorKind.UNREACHABLE
    # It depends on whether the server's words or the end of the connection are seen first.
    assert re.fullmatch(r"TLS failed: [a-z ]+|the connection was closed|connection reset by peer", failure.detail)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 9)"), "connection refused"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "connection reset by peer"),
        (OSError(errno.ENETUNREACH, ""), "network is unreachable"),
        (socket.gaierror(-2, "Name or service not known"), "the host's name could not be resolved"),
        (TimeoutError(), "timed out"),
        (ConnectionResetError(), "the connection was closed"),
        (ssl.SSLError(1, "[SSL] (_ssl.c:1006)"), "TLS failed: no reason given"),
        (RuntimeError("Server disconnected."), "server disconnected"),
        (RuntimeError(), "the connection failed"),
    ],
)
def test_an_exception_is_told_in_words(error: Exception, words: str) -> None:
    wrapped = RuntimeError("All attempts failed.")
    wrapped.__cause__ = error

    assert in_words(error) == words
    assert in_words(wrapped) == (words if isinstance(error, OSError) else "all attempts failed")


@pytest.mark.parametrize("host", ["127.0.0.1:9", "no-such-host.invalid"])
async def test_a_process_without_descriptors_blames_nobody(client: UpstreamClient, host: str) -> None:
    target = endpoint("main", Secret(KEY), f"http://{host}")
    with no_descriptor_left():
        kind = await kind_of_failure(client, target)

    assert kind is ErrorKind.GATEWAY_BUSY
    assert RULES[kind].blame is Blame.NOBODY


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """What it is like when all the descriptors that a process may have are taken."""
    # What other tests have left open would be closed meanwhile.
    gc.collect()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


KINDS = {
    "closed without an answer": (Answer((Close(),)), ErrorKind.UNREACHABLE),
    "reset without an answer": (Answer((Reset(),)), ErrorKind.UNREACHABLE),
    "closed inside the body": (stream_answer(EVENTS[0], Close()), ErrorKind.CUT_OFF),
    "reset inside the body": (stream_answer(EVENTS[0], Reset()), ErrorKind.CUT_OFF),
    "shorter than its length": (
        stream_answer(EVENTS[0], Close(), framing="content-length", headers={"content-length": "99999"}),
        ErrorKind.CUT_OFF,
    ),
    "broken chunk": (stream_answer(EVENTS[0], Send(b"no chunk\r\n")), ErrorKind.CUT_OFF),
}


@pytest.mark.parametrize("how", KINDS)
async def test_a_broken_answer_has_its_kind(upstream: ScriptedUpstream, client: UpstreamClient, how: str) -> None:
    answer, kind = KINDS[how]
    upstream.script(answer)

    assert await kind_of_failure(client, at(upstream)) is kind


GARBAGE_HEADS = [
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"HTTP/1.1 abc\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nx: " + b"x" * 2**20,
    b"\x00\x01\x02\x03",
]


@pytest.mark.parametrize("head", GARBAGE_HEADS, ids=range(len(GARBAGE_HEADS)))
async def test_a_head_that_is_no_http_is_a_failure_of_upstream(
    upstream: ScriptedUpstream, client: UpstreamClient, head: bytes
) -> None:
    upstream.script(Answer((Send(head), Close())))

    kind = await kind_of_failure(client, at(upstream))

    assert kind in (ErrorKind.UNREACHABLE, ErrorKind.PROTOCOL_ERROR)


async def test_a_compressed_answer_is_decoded_or_refused_but_never_passed_on(
    upstream: ScriptedUpstream, client: UpstreamClient
) -> None:
    upstream.script(stream_answer(b"this is no gzip", headers={"content-encoding": "gzip"}))

    assert await kind_of_failure(client, at(upstream)) is ErrorKind.PROTOCOL_ERROR


@pytest.mark.parametrize("key", ["sk-ant-caf\u00e9", "sk-ant-new\nline", "sk-ant-nul\x00", "sk-ant-\ud800"])
async def test_a_key_that_no_header_can_carry_is_a_failure_like_any_other(
    upstream: ScriptedUpstream, client: UpstreamClient, key: str
) -> None:
    with pytest.raises(FailedError) as raised:
        async with client.open(at(upstream, key), CALL):
            pass

    assert upstream.received == []
    assert key not in raised.value.failure.message


async def test_redirects_are_not_followed(upstream: ScriptedUpstream, client: UpstreamClient) -> None:
    upstream.script(json_answer(307, b"", {"location": f"{upstream.base_url}/elsewhere"}))

    async with client.open(at(upstream), CALL) as answer:
        assert answer.status == 307

    # A key must not go where an answer sends it.
    assert len(upstream.received) == 1


async def test_cookies_are_not_kept(upstream: ScriptedUpstream, client: UpstreamClient) -> None:
    upstream.always(json_answer(200, {}, {"set-cookie": "session=1"}))

    for _ in range(2):
        async with client.open(at(upstream), CALL) as answer:
            await answer.read(100)

    # One caller's session is nothing for another's request.
    assert "cookie" not in upstream.received[1].headers
