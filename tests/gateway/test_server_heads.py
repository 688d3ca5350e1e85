"""Heads that are not served: they are refused once, in one form, and the connection ends there."""

import json
from unittest.mock import Mock

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState

from gateway.edge.refusals import refuse
from gateway.http.protocol import MAX_WAITING, HttpProtocol
from gateway.http.request_head import MAX_HEADERS
from tests.gateway.test_server import GET, LAST, POST, body_of, echo, served, tell, whole_body
from tests.support.costs import peak_bytes

UPGRADE = "connection: upgrade\r\nupgrade: h2c\r\n"
METHODS = "DELETE GET HEAD POST PUT OPTIONS TRACE COPY LOCK MKCOL PROPFIND SEARCH BIND LINK NOTIFY M-SEARCH PURGE PATCH"


def assert_refused(answer: bytes, status: int, code: str | None = None) -> None:
    """One answer, in the form of all errors, and nothing behind it."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer
    assert b"\r\nconnection: close" in head
    assert f"content-length: {len(body)}".encode() in head
    assert json.loads(body)["error"]["code"] == code


async def refusal_of(text: str) -> bytes:
    """What comes back for this text, which must not reach an application."""
    served_bodies: list[bytes] = []

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        served_bodies.append(await whole_body(receive))
        await tell(send, b"smuggled")

    async with served(app) as server:
        answer = await server.answer_to(text)
        assert server.state.connections == set()
    assert served_bodies == []
    return answer


@pytest.mark.parametrize("target", ["/", "http://x/", "x:443", "[::1]:443"])
@pytest.mark.parametrize("more", ["", UPGRADE, "content-length: 2\r\n", "transfer-encoding: chunked\r\n"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_connect_is_refused_and_does_not_stop_the_process(target: str, more: str, version: str) -> None:
    if version == "1.0" and "chunked" in more:
        more = ""

    answer = await refusal_of(f"CONNECT {target} HTTP/{version}\r\nhost: x\r\n{more}\r\nabc")

    assert_refused(answer, 405, "method_not_supported")


@pytest.mark.parametrize("upgrade", ["upgrade: h2c\r\n" * 2, "upgrade: a, b\r\n", "Upgrade: \t websocket \r\n"])
@pytest.mark.parametrize("connection", ["connection: upgrade", "connection: a, UPGRADE ,b\r\nconnection: upgrade"])
async def test_a_wish_to_upgrade_is_passed_over_whatever_its_method_and_form(upgrade: str, connection: str) -> None:
    heads = [f"{method} / HTTP/1.1\r\nhost: x\r\n{connection}\r\n{upgrade}\r\n" for method in METHODS.split()]
    async with served(echo) as server:
        answer = await server.answer_to("".join(heads) + f"{GET}{LAST}")

    assert answer.count(b"HTTP/1.1 200 OK\r\n") == len(heads) + 1


async def test_thousands_of_upgrades_in_one_packet_are_each_read_once() -> None:
    async with served(echo) as server, server.connected() as (reader, writer):
        writer.write(f"{GET}{UPGRADE}\r\n".encode() * 2000)
        answer = await reader.read()

    assert answer.count(b"HTTP/1.1 200 OK\r\n") == MAX_WAITING + 1
    assert answer.count(b"connection: close\r\n") == 1


async def test_who_sends_more_requests_at_once_than_can_wait_is_told_which_was_the_last() -> None:
    async with served(echo) as server:
        answer = await server.answer_to("".join(f"GET /{number} HTTP/1.1\r\nhost: x\r\n\r\n" for number in range(100)))

    assert [b"<GET /%d >" % number in answer for number in range(100)] == [n <= MAX_WAITING for n in range(100)]
    assert b"connection: close\r\n" in answer[answer.rindex(b"HTTP/1.1 200") :]


@pytest.mark.parametrize(
    "text",
    [
        "GET / HTTP/2.0\r\nhost: x\r\n\r\n",
        "GET / HTTP/0.9\r\nhost: x\r\n\r\n",
        "GET / HTTP/1.2\r\nhost: x\r\n\r\n",
        "GET / HTTP/3.0\r\nhost: x\r\n\r\n",
        "GET /\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_other_versions_than_1_0_and_1_1_are_refused(text: str) -> None:
    assert_refused(await refusal_of(text), 505, "http_version_not_supported")


@pytest.mark.parametrize(
    "head",
    [
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\nhost: x\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nhOST: y\r\n",
        "GET / HTTP/1.0\r\nhost: x\r\nhost: y\r\n",
        *(
            f"GET / HTTP/1.1\r\nhost: {value}\r\n"
            for value in ("a b", "a@b", "a/b", "a,b:c", "x:80:80", "[::1", "[x]", "x\t.y", "ü", "a" * 254, "x:123456")
        ),
    ],
)
async def test_a_request_without_exactly_one_valid_host_is_refused(head: str) -> None:
    assert_refused(await refusal_of(f"{head}\r\n"), 400)


@pytest.mark.parametrize("host", ["x", "x.example:8080", "127.0.0.1:1", "[::1]", "[fe80::1]:80", "", "a" * 253, " x "])
async def test_a_valid_host_is_taken(host: str) -> None:
    async with served(echo) as server:
        assert body_of(await server.answer_to(f"GET / HTTP/1.1\r\nhost: {host}\r\n{LAST}")) == b"<GET / >"


async def test_before_1_1_there_need_be_no_host() -> None:
    async with served(echo) as server:
        assert body_of(await server.answer_to("GET / HTTP/1.0\r\n\r\n")) == b"<GET / >"


@pytest.mark.parametrize(
    "coding",
    [
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: gzip\r\ntransfer-encoding: chunked",
        "transfer-encoding: ,chunked",
        "transfer-encoding: identity, chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: xchunked",
        "transfer-encoding: chunked;q=1",
        "transfer-encoding: gzip",
        "transfer-encoding:",
        "transfer-encoding: chunked\r\ncontent-length: 0",
        "content-length: 5\r\ncontent-length: 5",
        "content-length: 5, 5",
    ],
)
async def test_a_body_that_two_servers_could_read_differently_is_refused(coding: str) -> None:
    assert_refused(await refusal_of(f"{POST}{coding}\r\n\r\n0\r\n\r\n"), 400)


async def test_before_1_1_there_are_no_chunks() -> None:
    text = "POST / HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"

    assert_refused(await refusal_of(text), 400)


@pytest.mark.parametrize("end", ["\r\n", ""], ids=["whole", "not ended"])
async def test_more_headers_than_anybody_needs_are_refused(end: str) -> None:
    assert_refused(await refusal_of(GET + "a:b\r\n" * (MAX_HEADERS + 1) + end), 431, "headers_too_large")


async def test_headers_that_are_refused_for_their_number_take_no_memory_meanwhile() -> None:
    text = (GET + "a:\r\n" * 15_000).encode()
    config = Config(echo, log_config=None)
    network = Mock()
    network.get_extra_info.return_value = None
    network.is_closing.return_value = False
    network.get_write_buffer_size.return_value = 0
    connections = [HttpProtocol(config, ServerState(), {}, refuse=refuse) for _ in range(20)]
    for connection in connections:
        connection.connection_made(network)

    def receive() -> None:
        for connection in connections:
            connection.data_received(text)

    # Before the network has told anybody that it is closed.
    assert peak_bytes(receive) < len(connections) * len(text)
    assert [call.args[0].split()[1] for call in network.write.call_args_list] == [b"431"] * len(connections)


async def test_as_many_headers_as_are_allowed_are_taken() -> None:
    async with served(echo) as server:
        text = GET + "a:b\r\n" * (MAX_HEADERS - 2) + LAST
        assert body_of(await server.answer_to(text)) == b"<GET / >"
