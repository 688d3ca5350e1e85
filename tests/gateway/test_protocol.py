"""What comes before a request is known is bounded, and refused in the form of its address, as far as that is there."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import pytest
from starlette.types import Message

from gateway.edge.interrupts import Interrupts
from gateway.edge.refusals import KINDS, refuse
from gateway.edge.responder import Responder
from gateway.http import refusals, request_head
from gateway.http.refusals import Refusal
from gateway.http.request_head import MAX_HEAD_BYTES
from tests.scenarios.harness import PATH as CHAT_PATH
from tests.scenarios.harness import PATIENCE_SECONDS, asking, no_lease_is_out, quick_gateway, raw_client
from tests.scenarios.native_harness import COUNT_PATH, PATH
from tests.support import messages
from tests.support.gateway import RunningGateway, ServerConfig, config_for, key, with_settings
from tests.support.scripted import ScriptedUpstream, Silence, stream_answer

NATIVE = (PATH, "/messages", COUNT_PATH, f"{PATH}?beta=true")
OURS = (CHAT_PATH, "/v1/models", "/", "/v1/messages-of-mine")


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer after which the gateway has closed the connection."""

    status: int
    headers: dict[str, str]
    body: Any


class Connection:
    """A connection on which a test writes what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def write(self, text: str) -> None:
        self._writer.write(text.encode())

    async def refused(self) -> Refused:
        """The one answer; the gateway hangs up after it."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            head, _, body = (await self._reader.read()).partition(b"\r\n\r\n")
        status_line, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        assert int(headers["content-length"]) == len(body)
        return Refused(int(status_line.split(" ")[1]), headers, json.loads(body))


@asynccontextmanager
async def connected(running: RunningGateway) -> AsyncIterator[Connection]:
    host, port = running.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Connection(reader, writer)
    finally:
        writer.transport.abort()


def assert_anthropics(refused: Refused, status: int, type_: str) -> None:
    assert refused.status == status
    assert refused.headers["request-id"] == refused.headers["x-request-id"] == refused.body["request_id"]
    assert refused.body["type"] == "error"
    assert refused.body["error"]["type"] == type_
    assert refused.body["error"].keys() == {"type", "message"}


def assert_openais(refused: Refused, status: int, code: str | None) -> None:
    assert refused.status == status
    assert refused.headers["x-request-id"].startswith("req_")
    assert "request-id" not in refused.headers
    assert refused.body.keys() == {"error"}
    assert refused.body["error"]["code"] == code


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.http.protocol.HEAD_SECONDS", 0.05)
    monkeypatch.setattr("gateway.http.body.BODY_WINDOW_SECONDS", 0.05)


async def answer_to(upstream: ScriptedUpstream, text: str, *, max_body_bytes: int = 1000) -> Refused:
    """What the gateway says to this text, when nothing follows it."""
    config = with_settings(
        config_for(key(upstream.base_url)), server=ServerConfig(port=0, max_body_bytes=max_body_bytes)
    )
    async with quick_gateway(config=config) as running, connected(running) as connection:
        connection.write(text)
        return await connection.refused()


@pytest.mark.parametrize("status", KINDS, ids=int)
def test_a_refusal_keeps_its_status_its_message_and_its_time(status: HTTPStatus) -> None:
    head, _, body = refuse(Refusal(status, "Not so.", 1.5), b"/v1/models").partition(b"\r\n\r\n")

    assert head.startswith(f"HTTP/1.1 {status} {status.phrase}\r\n".encode())
    assert b"\r\nretry-after: 2\r\n" in head
    assert json.loads(body)["error"]["message"] == "Not so."


def test_whatever_the_server_refuses_has_a_form() -> None:
    listed = [
        value for module in (request_head, refusals) for value in vars(module).values() if isinstance(value, Refusal)
    ]

    assert {refusal.status for refusal in [*listed, refusals.bad_request("")]} == set(KINDS)


@pytest.mark.parametrize("path", NATIVE)
async def test_a_head_that_is_too_large_is_431_in_the_form_of_its_address(
    upstream: ScriptedUpstream, path: str
) -> None:
    text = f"POST {path} HTTP/1.1\r\nhost: localhost\r\nx: {'x' * MAX_HEAD_BYTES}"

    assert_anthropics(await answer_to(upstream, text), 431, "invalid_request_error")


@pytest.mark.parametrize("path", OURS)
async def test_a_head_that_is_too_large_is_431_in_openais_form_elsewhere(upstream: ScriptedUpstream, path: str) -> None:
    text = f"POST {path} HTTP/1.1\r\nhost: localhost\r\nx: {'x' * MAX_HEAD_BYTES}"

    assert_openais(await answer_to(upstream, text), 431, "headers_too_large")


async def test_an_address_that_does_not_end_is_told_by_its_beginning(upstream: ScriptedUpstream) -> None:
    assert_anthropics(await answer_to(upstream, f"POST {PATH}?{'x' * MAX_HEAD_BYTES}x"), 431, "invalid_request_error")
    assert_openais(await answer_to(upstream, f"POST /{'x' * MAX_HEAD_BYTES}x"), 431, "headers_too_large")


async def test_the_list_of_models_is_told_apart_by_its_header(upstream: ScriptedUpstream) -> None:
    head = "GET /v1/models HTTP/1.1\r\nanthropic-version: 2023-06-01\r\n"

    assert_anthropics(await answer_to(upstream, f"{head}x: {'x' * MAX_HEAD_BYTES}"), 431, "invalid_request_error")


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("path", NATIVE)
async def test_a_head_that_is_too_slow_is_408_in_the_form_of_its_address(upstream: ScriptedUpstream, path: str) -> None:
    assert_anthropics(await answer_to(upstream, f"POST {path} HTTP/1.1\r\nhost: loc"), 408, "invalid_request_error")


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("text", [f"POST {CHAT_PATH} HTTP/1.1\r\nhost: loc", "PO", "POST ", "POST /v1/mess"])
async def test_a_head_that_is_too_slow_is_408_in_openais_form_elsewhere(upstream: ScriptedUpstream, text: str) -> None:
    assert_openais(await answer_to(upstream, text), 408, "request_timeout")


@pytest.mark.usefixtures("hasty")
async def test_who_says_nothing_is_told_nothing(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(key(upstream.base_url)) as running, connected(running) as connection:
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await connection._reader.read() == b""


async def test_what_is_no_http_is_400_in_the_form_of_its_address(upstream: ScriptedUpstream) -> None:
    native = await answer_to(upstream, f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\n no header\r\n\r\n")
    unknown = await answer_to(upstream, "\x16\x03\x01 this is no HTTP\r\n\r\n")

    assert_anthropics(native, 400, "invalid_request_error")
    assert_openais(unknown, 400, None)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("path", NATIVE)
@pytest.mark.parametrize("begun", ["", "{"], ids=["not begun", "not finished"])
async def test_a_body_that_is_too_slow_is_408_in_the_form_of_its_address(
    upstream: ScriptedUpstream, path: str, begun: str
) -> None:
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 10\r\n\r\n"

    assert_anthropics(await answer_to(upstream, head + begun), 408, "invalid_request_error")


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("begun", ["", "{"], ids=["not begun", "not finished"])
async def test_a_body_that_is_too_slow_is_408_in_openais_form_elsewhere(upstream: ScriptedUpstream, begun: str) -> None:
    head = f"POST {CHAT_PATH} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 10\r\n\r\n"

    assert_openais(await answer_to(upstream, head + begun), 408, "request_timeout")


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("path", NATIVE)
async def test_a_body_that_is_too_large_is_413_in_the_form_of_its_address(
    upstream: ScriptedUpstream, path: str, announced: bool
) -> None:
    framing = "content-length: 1001" if announced else "transfer-encoding: chunked"
    body = "" if announced else f"{1001:x}\r\n{'x' * 1001}\r\n0\r\n\r\n"
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{framing}\r\n\r\n"

    assert_anthropics(await answer_to(upstream, head + body), 413, "request_too_large")


async def test_the_next_request_is_told_by_its_own_address(upstream: ScriptedUpstream) -> None:
    first = f"GET {PATH} HTTP/1.1\r\nhost: localhost\r\n\r\n"
    async with quick_gateway(key(upstream.base_url)) as running, connected(running) as connection:
        connection.write(first)
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = (await connection._reader.readuntil(b"\r\n\r\n")).decode()
            length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
            await connection._reader.readexactly(length)
        connection.write(f"GET /health HTTP/1.1\r\nx: {'x' * MAX_HEAD_BYTES}")

        assert_openais(await connection.refused(), 431, "headers_too_large")


# Behind an answer, and in the middle of one.


async def test_nonsense_behind_a_request_does_not_get_into_its_answer(upstream: ScriptedUpstream) -> None:
    events = messages.text_stream("Hello")
    upstream.script(stream_answer(*events[:3], Silence()))
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        client.send(asking(stream=True))
        await client.head()
        first = await client.chunk()
        client.write(b"\0")
        rest = await client.ended()
        await upstream.wait_for_disconnects(1)

    assert b"Hello" in first
    assert b"HTTP/1.1" not in rest


async def test_a_client_that_leaves_is_noticed_on_a_connection_that_is_used_again(upstream: ScriptedUpstream) -> None:
    events = messages.text_stream("Hello")
    # The first answer's body does not end with its last event, so its request still waits while the second begins.
    upstream.script(stream_answer(*events, Silence()), stream_answer(*events[:3], Silence()))
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        client.send(asking(stream=True))
        await client.head()
        await client.chunks()
        client.send(asking(stream=True))
        await client.head()
        await client.chunk()
        # The first one gives up waiting.
        await upstream.wait_for_disconnects(1)
        client.leave()
        await upstream.wait_for_disconnects(2)
        await no_lease_is_out(running)


async def test_a_shutdown_does_not_interrupt_what_only_waits_for_its_client() -> None:
    interrupts = Interrupts()
    responder = Responder(_nowhere, "req_1")
    responder.has_ended = True
    async with interrupts.watch({}, _never, responder):
        interrupts.shut_down()
        await asyncio.sleep(0)


async def _never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def _nowhere(_message: Message) -> None:
    raise AssertionError
