"""The server's protocol on real sockets, with applications that need no gateway: HTTP/1.1 outside, ASGI inside."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.server import ServerState

from gateway.edge.refusals import refuse
from gateway.http.body import HIGH_WATER_BYTES
from gateway.http.limits import ServerLimits
from gateway.http.protocol import HttpProtocol
from gateway.http.request_head import MAX_HEAD_BYTES
from gateway.http.response_head import fields
from tests.scenarios.harness import PATIENCE_SECONDS

LAST = "connection: close\r\n\r\n"
GET = "GET / HTTP/1.1\r\nhost: x\r\n"
POST = "POST / HTTP/1.1\r\nhost: x\r\n"


@dataclass(slots=True)
class Served:
    """A server with one application, and what it keeps of its connections and tasks."""

    port: int
    state: ServerState

    async def answer_to(self, text: str | bytes) -> bytes:
        """All that comes back until the server hangs up."""
        async with self.connected() as (reader, writer):
            writer.write(text.encode() if isinstance(text, str) else text)
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await reader.read()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


@asynccontextmanager
async def served(
    app: ASGIApp, *, keepalive_seconds: int = 75, limits: ServerLimits | None = None
) -> AsyncIterator[Served]:
    config = uvicorn.Config(app, lifespan="off", log_config=None, timeout_keep_alive=keepalive_seconds)
    state = ServerState()
    connect = partial(HttpProtocol, config, state, {}, refuse=refuse, limits=limits)
    server = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", 0)
    try:
        yield Served(server.sockets[0].getsockname()[1], state)
    finally:
        server.close()
        for connection in [*state.connections]:
            connection.transport.abort()
        for task in state.tasks:
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for what should happen in a few turns of the loop."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_so():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0)


async def whole_body(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return body + b" (gone)"
        piece: bytes = message["body"]
        body += piece
        if not message["more_body"]:
            return body


async def tell(send: Send, body: bytes, *headers: tuple[bytes, bytes], status: int = 200) -> None:
    framing = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [framing, *headers]})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Says what it has been asked."""
    body = await whole_body(receive)
    await tell(send, f"<{scope['method']} {scope['path']} {body.decode()}>".encode())


async def stream(_scope: Scope, _receive: Receive, send: Send) -> None:
    """An answer whose length nobody knows before."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"one", "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": True})
    await send({"type": "http.response.body", "body": b"two"})


def body_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


async def read_answer(reader: asyncio.StreamReader) -> bytes:
    """One answer with a content-length."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        head = await reader.readuntil(b"\r\n\r\n")
        return head + await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))


# Requests, as they may come.


@pytest.mark.parametrize(
    ("request_", "seen"),
    [
        (f"{POST}content-length: 5\r\n{LAST}hello", "POST / hello"),
        (f"{POST}transfer-encoding: chunked\r\n{LAST}2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n", "POST / hello"),
        (f"{POST}transfer-encoding: chunked\r\n{LAST}1\r\nx\r\n0\r\ntrailer: y\r\n\r\n", "POST / x"),
        (f"GET /a%20b/%C3%A4?q=1 HTTP/1.1\r\nhost: x\r\n{LAST}", "GET /a b/ä "),
        (f"GET http://elsewhere/path?q HTTP/1.1\r\nhost: x\r\n{LAST}", "GET /path "),
        (f"{GET}connection: upgrade, close\r\nupgrade: h2c\r\n\r\n", "GET / "),
    ],
    ids=["length", "chunked", "trailers", "escapes", "absolute", "upgrade"],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_a_request_is_read_however_it_comes(request_: str, seen: str, size: int) -> None:
    async with served(echo) as server, server.connected() as (reader, writer):
        for start in range(0, len(request_), size):
            writer.write(request_[start : start + size].encode())
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = await reader.read()

    assert body_of(answer).decode() == f"<{seen}>"


async def test_requests_one_behind_the_other_are_answered_in_their_order() -> None:
    begun: list[str] = []
    may_end = asyncio.Event()

    async def slow_first(scope: Scope, receive: Receive, send: Send) -> None:
        begun.append(scope["path"])
        if scope["path"] == "/1":
            await may_end.wait()
        await echo(scope, receive, send)

    async with served(slow_first) as server, server.connected() as (reader, writer):
        for number in (1, 2, 3):
            writer.write(f"POST /{number} HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n{number}".encode())
        await until(lambda: begun == ["/1"])
        connection: Any = next(iter(server.state.connections))
        await until(lambda: not connection.transport.is_reading())
        may_end.set()
        answers = [body_of(await read_answer(reader)) for _ in range(3)]

        assert server.state.total_requests == 3
    assert answers == [b"<POST /1 1>", b"<POST /2 2>", b"<POST /3 3>"]
    assert begun == ["/1", "/2", "/3"]


async def test_an_upgrade_that_is_not_offered_is_an_ordinary_request_and_so_is_the_next() -> None:
    upgrade = "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
    text = f"{POST}{upgrade}content-length: 2\r\n\r\nab{GET}{upgrade}\r\n{POST}content-length: 2\r\n{LAST}cd"
    async with served(echo) as server:
        answer = await server.answer_to(text)

    assert [part.partition(b"<")[2] for part in answer.split(b">")[:3]] == [b"POST / ab", b"GET / ", b"POST / cd"]


async def test_who_expects_to_be_told_to_continue_is_told_once_the_body_is_wanted() -> None:
    async with served(echo) as server, server.connected() as (reader, writer):
        writer.write(f"{POST}expect: 100-continue\r\ncontent-length: 2\r\n\r\n".encode())
        async with asyncio.timeout(PATIENCE_SECONDS):
            go_ahead = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"ab")

        assert go_ahead == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert body_of(await read_answer(reader)) == b"<POST / ab>"


async def test_who_is_not_told_to_continue_has_to_connect_again() -> None:
    async def refuse(_scope: Scope, _receive: Receive, send: Send) -> None:
        await tell(send, b"no", status=413)

    # Without the end of the connection this would be taken for the body, or the body for a request.
    async with served(refuse) as server:
        answer = await server.answer_to(f"{POST}expect: 100-continue\r\ncontent-length: 40\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close\r\n" in answer
    assert b"100" not in answer


@pytest.mark.parametrize(
    "framing",
    [
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: 5, 6\r\n",
        "content-length: +5\r\n",
        "content-length: 5 \r\n x\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding : chunked\r\n",
        "host: y\r\n\x00x: y\r\n",
    ],
)
async def test_what_two_servers_could_read_differently_is_refused(framing: str) -> None:
    began = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        began.append(await whole_body(receive))
        await tell(send, b"smuggled")

    async with served(app) as server:
        answer = await server.answer_to(f"{POST}{framing}\r\n0\r\n\r\n{GET}\r\n")

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert b"smuggled" not in answer
    assert [body for body in began if not body.endswith(b"(gone)")] == []


async def test_trailers_are_no_headers_and_have_a_limit() -> None:
    seen: list[list[tuple[bytes, bytes]]] = []
    begun = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await whole_body(receive)
        seen.append(scope["headers"])
        await tell(send, b"")

    head = f"{POST}transfer-encoding: chunked\r\n"
    async with served(app) as server, server.connected() as (reader, writer):
        await server.answer_to(f"{head}{LAST}0\r\nauthorization: x\r\n\r\n")
        begun.clear()
        writer.write(f"{head}\r\n1\r\nx\r\n0\r\n".encode())
        await begun.wait()
        writer.write(b"x: " + b"x" * MAX_HEAD_BYTES)
        async with asyncio.timeout(PATIENCE_SECONDS):
            endless = await reader.read()

    assert [name for name, _ in seen[0]] == [b"host", b"transfer-encoding", b"connection"]
    assert endless.startswith(b"HTTP/1.1 431 ")


async def test_the_rest_of_a_body_that_nobody_wanted_is_passed_over() -> None:
    async def impatient(scope: Scope, _receive: Receive, send: Send) -> None:
        await tell(send, scope["path"].encode())

    rest = HIGH_WATER_BYTES * 8
    async with served(impatient) as server, server.connected() as (reader, writer):
        writer.write(f"POST /1 HTTP/1.1\r\nhost: x\r\ncontent-length: {rest}\r\n\r\n".encode())
        first = await read_answer(reader)
        writer.write(b"x" * rest + b"GET /2 HTTP/1.1\r\nhost: x\r\n\r\n")
        second = await read_answer(reader)

    assert (body_of(first), body_of(second)) == (b"/1", b"/2")


async def test_a_body_that_nobody_takes_stays_with_the_client() -> None:
    may_read = asyncio.Event()

    async def late(_scope: Scope, receive: Receive, send: Send) -> None:
        await may_read.wait()
        await tell(send, str(len(await whole_body(receive))).encode())

    size = 32 * 2**20
    async with served(late) as server, server.connected() as (reader, writer):
        writer.write(f"{POST}content-length: {size}\r\n\r\n".encode())
        writer.write(bytes(size))
        # As much as the buffers of both sides take; then the writing stands still.
        left = -1
        while left != (left := writer.transport.get_write_buffer_size()):
            for _ in range(50):
                await asyncio.sleep(0)
        assert left > size // 2
        may_read.set()

        assert body_of(await read_answer(reader)) == str(size).encode()


# Answers.


async def test_a_body_of_unknown_length_is_chunked() -> None:
    async with served(stream) as server:
        answer = await server.answer_to(f"{GET}{LAST}")

    assert b"transfer-encoding: chunked\r\n" in answer
    assert body_of(answer) == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


@pytest.mark.parametrize("connection", ["", "connection: keep-alive\r\n"])
async def test_before_http_1_1_it_ends_with_the_connection(connection: str) -> None:
    async with served(stream) as server:
        answer = await server.answer_to(f"GET / HTTP/1.0\r\n{connection}\r\n")

    assert b"chunked" not in answer
    assert b"connection: close\r\n" in answer
    assert body_of(answer) == b"onetwo"


@pytest.mark.parametrize("app", [echo, stream])
async def test_an_answer_to_head_has_no_body(app: ASGIApp) -> None:
    async with served(app) as server:
        answer = await server.answer_to(f"HEAD / HTTP/1.1\r\nhost: x\r\n\r\nHEAD / HTTP/1.1\r\nhost: x\r\n{LAST}")

    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert b"<HEAD" not in answer
    assert b"one" not in answer


@pytest.mark.parametrize("status", [204, 304])
async def test_neither_has_one_with_a_status_that_forbids_it(status: int) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"nothing"})

    async with served(app) as server:
        answer = await server.answer_to(f"{GET}{LAST}")

    assert b"transfer-encoding" not in answer
    assert body_of(answer) == b""


@pytest.mark.parametrize(
    "header",
    [(b"x\r\ny", b"z"), (b"x", b"z\r\nset-cookie: a"), (b"x", b"a\nb"), (b"x", b"a\0"), (b"x y", b"z"), (b"", b"z")],
)
async def test_a_header_cannot_become_two(header: tuple[bytes, bytes]) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await tell(send, b"body", header)

    with pytest.raises(ValueError, match="is no header"):
        fields([header])
    async with served(app) as server:
        assert (await server.answer_to(f"{GET}\r\n")).startswith(b"HTTP/1.1 500 ")


async def test_a_failure_before_the_answer_is_told_and_one_inside_of_it_ends_it() -> None:
    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["path"] == "/inside":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"one", "more_body": True})
        if scope["path"] != "/silent":
            raise LookupError

    async with served(app) as server:
        before, inside, silent = [
            await server.answer_to(f"GET /{path} HTTP/1.1\r\nhost: x\r\n\r\n")
            for path in ("before", "inside", "silent")
        ]

    assert before.startswith(b"HTTP/1.1 500 ")
    assert b'"error"' in before
    assert silent.startswith(b"HTTP/1.1 500 ")
    assert body_of(inside) == b"3\r\none\r\n"


@pytest.mark.parametrize("body", [b"short", b"much too long"])
async def test_a_body_of_another_length_than_was_said_is_not_sent(body: bytes) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"8")]})
        await send({"type": "http.response.body", "body": body})

    async with served(app) as server:
        answer = await server.answer_to(f"{GET}\r\n")

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert body not in answer


async def test_a_head_waits_for_its_body_but_not_for_long() -> None:
    writes: list[bytes] = []
    may_go_on = asyncio.Event()

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/late":
            await may_go_on.wait()
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})

    async with served(app) as server, server.connected() as (reader, writer):
        writer.write(b"GET /late HTTP/1.1\r\nhost: x\r\n\r\n")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await reader.readuntil(b"\r\n\r\n")
        may_go_on.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await reader.readuntil(b"0\r\n\r\n")
        (connection,) = server.state.connections
        connection.transport = _Noting(connection.transport, writes)  # type: ignore[assignment]
        writer.write(b"GET /now HTTP/1.1\r\nhost: x\r\n\r\n")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await reader.readuntil(b"0\r\n\r\n")

    assert [body_of(write) for write in writes] == [b"3\r\none\r\n", b""]
    assert writes[1] == b"3\r\ntwo\r\n0\r\n\r\n"


class _Noting:
    """A transport that notes what is written to it."""

    def __init__(self, transport: asyncio.Transport, writes: list[bytes]) -> None:
        self._transport = transport
        self._writes = writes

    def write(self, data: bytes) -> None:
        self._writes.append(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


async def test_a_slow_client_slows_the_application_down() -> None:
    sent = 0

    async def flood(_scope: Scope, _receive: Receive, send: Send) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(256):
            await send({"type": "http.response.body", "body": bytes(2**18), "more_body": number < 255})
            sent += 1

    async with served(flood) as server, server.connected() as (reader, writer):
        writer.write(f"{GET}{LAST}".encode())
        before = -1
        while before != (before := sent) or not sent:
            for _ in range(50):
                await asyncio.sleep(0)
        assert sent < 200
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert len(await reader.read()) > 256 * 2**18
        assert sent == 256


async def test_who_waits_for_a_client_goes_on_waiting_when_others_were_quicker() -> None:
    async with served(echo) as server, server.connected():
        await until(lambda: bool(server.state.connections))
        connection: Any = next(iter(server.state.connections))
        connection.pause_writing()
        waiting = asyncio.create_task(connection.drained())
        await asyncio.sleep(0)
        connection.resume_writing()
        connection.pause_writing()
        for _ in range(10):
            await asyncio.sleep(0)

        assert not waiting.done()
        connection.resume_writing()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await waiting


# Ends.


@dataclass(slots=True)
class Waiting:
    """An application that notes what it receives until its end."""

    received: list[Message] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    before: Callable[[Send], Awaitable[Any]] | None = None

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        self.begun.set()
        if self.before is not None:
            await self.before(send)
        while not self.received or self.received[-1]["type"] != "http.disconnect":
            self.received.append(await receive())
        # Nobody is there any more, and that is no mistake of the application's.
        await send({"type": "http.response.start", "status": 200}) if self.before is None else None
        self.ended.set()


async def test_an_application_hears_that_its_client_has_left() -> None:
    app = Waiting()
    async with served(app) as server:
        async with server.connected() as (_, writer):
            writer.write(f"{GET}\r\n".encode())
            await app.begun.wait()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await app.ended.wait()

    assert [message["type"] for message in app.received] == ["http.request", "http.disconnect"]


async def test_an_application_hears_that_its_answer_is_complete() -> None:
    app = Waiting(before=lambda send: tell(send, b"all"))
    async with served(app) as server, server.connected() as (reader, writer):
        writer.write(f"{GET}\r\n".encode())
        await read_answer(reader)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await app.ended.wait()

    assert app.received == [{"type": "http.disconnect"}]


async def test_a_shutdown_closes_what_is_idle_and_lets_the_others_finish() -> None:
    may_end = asyncio.Event()

    async def patient(scope: Scope, receive: Receive, send: Send) -> None:
        await may_end.wait()
        await echo(scope, receive, send)

    async with served(patient) as server, server.connected() as (idle, _), server.connected() as (busy, writer):
        writer.write(f"{GET}\r\n".encode())
        await until(lambda: len(server.state.connections) == 2 and bool(server.state.tasks))
        for connection in [*server.state.connections]:
            connection.shutdown()
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await idle.read() == b""
            may_end.set()
            answer = await busy.read()
        await until(lambda: not (server.state.tasks or server.state.connections))

    assert b"connection: close\r\n" in answer
    assert body_of(answer) == b"<GET / >"


@pytest.mark.parametrize("rest", ["\r\n", "content-length: 9\r\n\r\nx"], ids=["idle", "behind its answer"])
async def test_an_idle_connection_ends_after_its_time(rest: str) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await tell(send, b"here")

    async with served(app, keepalive_seconds=0) as server:
        answer = await server.answer_to(POST + rest)

    assert body_of(answer) == b"here"
    assert b"connection: close" not in answer


async def test_a_connection_is_used_again_after_its_first_limit_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.http.protocol.HEAD_SECONDS", 0.05)
    fired = asyncio.Event()
    check = HttpProtocol._check

    def checked(self: HttpProtocol) -> None:
        check(self)
        fired.set()

    monkeypatch.setattr(HttpProtocol, "_check", checked)
    async with served(echo) as server, server.connected() as (reader, writer):
        writer.write(f"{GET}\r\n".encode())
        first = await read_answer(reader)
        await fired.wait()
        writer.write(f"{GET}\r\n".encode())

        assert body_of(await read_answer(reader)) == body_of(first)
