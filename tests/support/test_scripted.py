"""The scripted upstream does to a client what it says, and the official SDK accepts the traffic we make up."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any, cast

import anthropic
import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import messages
from tests.support.scripted import (
    PATIENCE_SECONDS,
    Answer,
    Close,
    Framing,
    Reached,
    ReceivedRequest,
    Reset,
    ScriptedUpstream,
    Send,
    Silence,
    Step,
    Wait,
    error_answer,
    json_answer,
    refusing_upstream,
    scripted_upstream,
    stream_answer,
)

PATH = "/v1/messages"
REQUEST = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with scripted_upstream() as upstream:
        yield upstream


@pytest.fixture
async def client(upstream: ScriptedUpstream) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=upstream.base_url, timeout=PATIENCE_SECONDS, trust_env=False) as client:
        yield client


class RawClient(asyncio.Protocol):
    """Keeps every read apart, so that a test sees how the bytes came and how the connection ended."""

    def __init__(self) -> None:
        self.reads: list[bytes] = []
        self.ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.first_read = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports do not inherit from asyncio's

    def data_received(self, data: bytes) -> None:
        self.reads.append(data)
        self.first_read.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(exc)


async def raw_client(upstream: ScriptedUpstream, data: bytes = REQUEST) -> RawClient:
    """A connection on which these bytes have been sent."""
    port = int(upstream.base_url.rpartition(":")[2])
    transport, client = await asyncio.get_running_loop().create_connection(RawClient, "127.0.0.1", port)
    transport.write(data)
    return client


async def read_into(received: bytearray, response: httpx2.Response) -> None:
    """Keep what arrives, also when the reading fails."""
    async for read in response.aiter_raw():
        received += read


@pytest.mark.parametrize("framing", ["chunked", "content-length", "close"])
async def test_a_stream_arrives_complete_in_every_framing(
    upstream: ScriptedUpstream, client: httpx2.AsyncClient, framing: Framing
) -> None:
    stream = messages.text_stream("Grüße, 世界 👋")
    upstream.script(stream_answer(*stream, framing=framing))

    response = await client.post(PATH, json={})

    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.content == b"".join(stream)


@pytest.mark.parametrize("framing", ["chunked", "content-length", "close"])
async def test_one_byte_a_packet_arrives_complete_and_in_order(
    upstream: ScriptedUpstream, client: httpx2.AsyncClient, framing: Framing
) -> None:
    stream = messages.text_stream("Grüße, 世界 👋")
    upstream.script(stream_answer(*stream, framing=framing, packet_size=1))

    async with client.stream("POST", PATH, json={}) as response:
        reads = [read async for read in response.aiter_raw()]

    assert b"".join(reads) == b"".join(stream)
    assert {len(read) for read in reads} == {1}


async def test_each_packet_is_a_read_of_its_own(upstream: ScriptedUpstream) -> None:
    upstream.script(Answer((Send(b"one"), Send(b"fourfive", packet_size=4), Send(b"six"), Close())))

    client = await raw_client(upstream)
    await client.ended

    assert client.reads == [b"one", b"four", b"five", b"six"]


async def test_a_stream_can_be_cut_in_the_middle_of_a_character(
    upstream: ScriptedUpstream, client: httpx2.AsyncClient
) -> None:
    data = b"".join(messages.text_stream("👋"))
    cut = data.index("👋".encode()) + 2
    upstream.script(stream_answer(data[:cut], Close(), data[cut:]))

    received = bytearray()
    async with client.stream("POST", PATH, json={}) as response:
        with pytest.raises(httpx2.RemoteProtocolError):
            await read_into(received, response)

    assert received == data[:cut]


@pytest.mark.parametrize("framing", ["chunked", "content-length"])
async def test_a_body_that_is_closed_too_early_is_seen_as_broken(
    upstream: ScriptedUpstream, client: httpx2.AsyncClient, framing: Framing
) -> None:
    upstream.script(stream_answer(b"one", Close(), b"two", framing=framing))

    with pytest.raises(httpx2.RemoteProtocolError):
        await client.post(PATH, json={})

    assert upstream.disconnects == 0


async def test_a_reset_is_seen_as_a_reset_after_what_was_sent_before(upstream: ScriptedUpstream) -> None:
    upstream.script(stream_answer(b"one", Reset()))

    client = await raw_client(upstream)
    end = await client.ended

    assert isinstance(end, ConnectionResetError)
    assert client.reads[-1] == b"3\r\none\r\n"
    assert upstream.disconnects == 0


async def test_a_close_is_seen_as_an_orderly_end(upstream: ScriptedUpstream) -> None:
    upstream.script(stream_answer(b"one", Close()))

    client = await raw_client(upstream)

    assert await client.ended is None


async def test_a_reset_can_come_instead_of_an_answer(upstream: ScriptedUpstream, client: httpx2.AsyncClient) -> None:
    upstream.script(Answer((Reset(),)))

    with pytest.raises(httpx2.ReadError):
        await client.post(PATH, json={})


async def test_framing_can_be_broken_on_purpose(upstream: ScriptedUpstream, client: httpx2.AsyncClient) -> None:
    upstream.script(stream_answer(b"one", Send(b"this is no chunk\r\n")))

    with pytest.raises(httpx2.RemoteProtocolError):
        await client.post(PATH, json={})


async def test_an_answer_waits_for_the_test_and_tells_it_how_far_it_has_come(upstream: ScriptedUpstream) -> None:
    reached, gate = asyncio.Event(), asyncio.Event()
    upstream.script(Answer((Send(b"one"), Reached(reached), Wait(gate), Send(b"two"), Close())))

    client = await raw_client(upstream)
    await reached.wait()
    await client.first_read.wait()
    before = list(client.reads)
    gate.set()
    await client.ended

    assert before == [b"one"]
    assert client.reads == [b"one", b"two"]


@pytest.mark.parametrize("step", [Silence, lambda: Wait(asyncio.Event())], ids=["silence", "wait"])
@pytest.mark.parametrize("leave", ["close", "abort"])
async def test_a_client_that_leaves_during_an_answer_is_noticed_at_once(
    upstream: ScriptedUpstream, step: Callable[[], Step], leave: str
) -> None:
    upstream.script(stream_answer(b"one", step()))

    client = await raw_client(upstream)
    await client.first_read.wait()
    getattr(client.transport, leave)()
    await upstream.wait_for_disconnects(1)

    assert upstream.open_connections == 0


async def test_a_client_that_leaves_after_a_complete_answer_is_no_disconnect(
    upstream: ScriptedUpstream, client: httpx2.AsyncClient
) -> None:
    upstream.script(stream_answer(*messages.text_stream(), packet_size=1))

    await client.post(PATH, json={})
    await client.aclose()
    await upstream.wait_for_connections(0)

    assert upstream.disconnects == 0


async def test_a_client_that_leaves_while_it_does_not_read_is_noticed(upstream: ScriptedUpstream) -> None:
    reached = asyncio.Event()
    endless = stream_answer(Reached(reached), *[bytes(1 << 20)] * 64)
    upstream.script(endless)

    client = await raw_client(upstream)
    client.transport.pause_reading()
    await reached.wait()
    client.transport.abort()
    await upstream.wait_for_disconnects(1)

    assert upstream.open_connections == 0


async def test_several_requests_go_over_one_connection(upstream: ScriptedUpstream, client: httpx2.AsyncClient) -> None:
    upstream.script(json_answer(200, {"n": 1}), stream_answer(b"two"), error_answer(529, "overloaded_error", "Later."))

    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"chunked":'
        yield b" true}"

    first = await client.post(PATH, json={"n": 1})
    second = await client.post(PATH, content=chunks())
    third = await client.post(f"{PATH}?beta=true", json={"n": 3})

    assert (first.json(), second.content, third.status_code) == ({"n": 1}, b"two", 529)
    assert [request.json for request in upstream.received] == [{"n": 1}, {"chunked": True}, {"n": 3}]
    assert [request.connection for request in upstream.received] == [1, 1, 1]
    assert upstream.received[2].path == "/v1/messages?beta=true"


async def test_pipelined_requests_are_answered_in_order(upstream: ScriptedUpstream) -> None:
    upstream.script(Answer((Send(b"one"),)), Answer((Send(b"two"), Close())))

    client = await raw_client(upstream, REQUEST + REQUEST)
    await client.ended

    assert client.reads == [b"one", b"two"]


async def test_a_kept_connection_can_be_closed_between_requests(
    upstream: ScriptedUpstream, client: httpx2.AsyncClient
) -> None:
    upstream.always(json_answer(200, {}))

    await client.post(PATH, json={})
    upstream.close_idle_connections()
    await upstream.wait_for_connections(0)
    await client.post(PATH, json={})

    assert [request.connection for request in upstream.received] == [1, 2]
    assert upstream.disconnects == 0


async def test_a_connection_can_be_closed_right_after_a_complete_answer(upstream: ScriptedUpstream) -> None:
    upstream.script(json_answer(200, {}).then(Close()))

    client = await raw_client(upstream)

    assert await client.ended is None
    assert client.reads[0].endswith(b"\r\n\r\n{}")


async def test_an_error_has_anthropics_shape(upstream: ScriptedUpstream, client: httpx2.AsyncClient) -> None:
    details = {"error_code": "ramp_limit_exceeded"}
    upstream.script(error_answer(429, "rate_limit_error", "Slow down.", details=details, headers={"Retry-After": "3"}))

    response = await client.post(PATH, json={})

    assert response.status_code == 429
    assert response.headers["retry-after"] == "3"
    assert response.headers["request-id"] == response.json()["request_id"]
    assert response.json()["error"] == {"type": "rate_limit_error", "message": "Slow down.", "details": details}


async def test_a_keys_own_answers_win_and_always_fills_the_gaps(
    upstream: ScriptedUpstream, client: httpx2.AsyncClient
) -> None:
    upstream.script(json_answer(200, "general"))
    upstream.always(lambda request: json_answer(200, f"always {request.api_key}"))
    upstream.by_key("key-a", json_answer(200, "first of a"))
    upstream.always(json_answer(200, "always b"), api_key="key-b")

    async def answer(headers: dict[str, str]) -> str:
        return (await client.post(PATH, json={}, headers=headers)).text

    assert await answer({"x-api-key": "key-a"}) == "first of a"
    assert await answer({"Authorization": "Bearer key-b"}) == "always b"
    assert await answer({"x-api-key": "key-a"}) == "general"
    assert await answer({"x-api-key": "key-a"}) == "always key-a"


async def test_model_lists_use_up_no_answers(upstream: ScriptedUpstream, client: httpx2.AsyncClient) -> None:
    upstream.script(json_answer(200, {"n": 1}))

    empty = await client.get("/v1/models?limit=1000")
    upstream.models(json_answer(200, {"data": [{"id": messages.MODEL}]}))
    listed = await client.get("/v1/models")
    answer = await client.post(PATH, json={})

    assert empty.json()["data"] == []
    assert listed.json()["data"] == [{"id": messages.MODEL}]
    assert answer.json() == {"n": 1}
    assert (len(upstream.received), len(upstream.model_requests)) == (1, 2)


async def test_a_request_that_the_script_does_not_know_of_is_told_so(
    upstream: ScriptedUpstream, client: httpx2.AsyncClient
) -> None:
    response = await client.post(PATH, json={}, headers={"x-api-key": "key-a"})

    assert response.status_code == 500
    assert "request 1 (POST /v1/messages, key key-a)" in response.json()["error"]["message"]


async def test_a_mistake_in_the_script_fails_the_test() -> None:
    def mistaken(request: ReceivedRequest) -> Answer:
        raise KeyError(request.method)

    with pytest.RaisesGroup(KeyError):
        async with scripted_upstream() as upstream, httpx2.AsyncClient(trust_env=False) as client:
            upstream.script(mistaken)
            response = await client.post(upstream.base_url + PATH, json={})

    assert response.status_code == 500


async def test_waiting_for_what_does_not_come_ends_with_what_was_seen(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.scripted.PATIENCE_SECONDS", 0)

    with pytest.raises(TimeoutError, match="Waited for 2 requests, saw 0 requests"):
        await upstream.wait_for_requests(2)


async def test_requests_can_be_waited_for(upstream: ScriptedUpstream) -> None:
    upstream.always(Answer((Silence(),)))

    await asyncio.gather(raw_client(upstream), raw_client(upstream), upstream.wait_for_requests(2))

    assert upstream.open_connections == 2


async def test_ending_the_upstream_ends_open_answers_without_a_trace() -> None:
    async with scripted_upstream() as upstream:
        upstream.script(stream_answer(b"one", Silence()))
        client = await raw_client(upstream)
        await client.first_read.wait()
    await client.ended

    assert upstream.open_connections == 0
    assert upstream.disconnects == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_refusing_upstream_refuses() -> None:
    with refusing_upstream() as base_url:
        async with httpx2.AsyncClient(trust_env=False) as client:
            with pytest.raises(httpx2.ConnectError):
                await client.post(base_url + PATH, json={})


async def assembled_by_the_sdk(upstream: ScriptedUpstream, answer: Answer) -> dict[str, Any]:
    """What the official client makes of an answer."""
    upstream.script(answer)
    # Without its environment-reading defaults: a proxy or another base URL must not get in the way.
    http_client = httpx2.AsyncClient(trust_env=False)
    async with anthropic.AsyncAnthropic(
        base_url=upstream.base_url, api_key="sk-ant-test", max_retries=0, http_client=http_client
    ) as client:
        prompt: anthropic.types.MessageParam = {"role": "user", "content": "Hi"}
        async with client.messages.stream(model=messages.MODEL, max_tokens=64, messages=[prompt]) as stream:
            # A reason or block of tomorrow is no cause for a warning.
            return (await stream.get_final_message()).to_dict(mode="json", warnings=False)


@pytest.mark.parametrize(
    ("stream", "stop_reason", "content"),
    [
        (messages.text_stream("Hello,  world. "), "end_turn", [{"type": "text", "text": "Hello,  world. "}]),
        (
            messages.tool_stream(("toolu_1", "a", '{"city": "Zürich"}'), ("toolu_2", "b", ""), text="Both."),
            "tool_use",
            [
                {"type": "text", "text": "Both."},
                {"type": "tool_use", "id": "toolu_1", "name": "a", "input": {"city": "Zürich"}},
                {"type": "tool_use", "id": "toolu_2", "name": "b", "input": {}},
            ],
        ),
        (
            messages.thinking_stream("Hm.", "Yes.", signature="Eq=="),
            "end_turn",
            [{"type": "thinking", "thinking": "Hm.", "signature": "Eq=="}, {"type": "text", "text": "Yes."}],
        ),
    ],
    ids=["text", "tools", "thinking"],
)
async def test_the_sdk_assembles_what_the_builders_were_given(
    upstream: ScriptedUpstream, stream: list[bytes], stop_reason: str, content: list[object]
) -> None:
    final = await assembled_by_the_sdk(upstream, stream_answer(*stream))

    assert final["stop_reason"] == stop_reason
    assert final["content"] == content
    assert upstream.received[0].api_key == "sk-ant-test"


async def test_an_unstreamed_message_is_one_that_the_sdk_reads(upstream: ScriptedUpstream) -> None:
    upstream.script(json_answer(200, messages.message("Hi.", stop_reason="refusal")))

    http_client = httpx2.AsyncClient(trust_env=False)
    async with anthropic.AsyncAnthropic(
        base_url=upstream.base_url, api_key="sk-ant-test", max_retries=0, http_client=http_client
    ) as client:
        answer = await client.messages.create(model=messages.MODEL, max_tokens=64, messages=[])

    assert answer.to_dict(mode="json") == messages.message("Hi.", stop_reason="refusal")


async def test_the_sdk_sees_an_error_in_the_stream(upstream: ScriptedUpstream) -> None:
    answer = stream_answer(*messages.text_stream()[:3], messages.error_event("overloaded_error", "Busy"))

    with pytest.raises(anthropic.APIStatusError, match="Busy"):
        await assembled_by_the_sdk(upstream, answer)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=messages.messages_streams(), newline=messages.newlines, padding=messages.paddings, data=st.data())
async def test_the_sdk_assembles_every_stream_that_we_make_up(
    upstream: ScriptedUpstream, events: list[messages.Event], newline: bytes, padding: list[int], data: st.DataObject
) -> None:
    pieces = data.draw(messages.cuts(messages.encode(events, newline, padding)))

    # The client takes long over thousands of single bytes: only the last ones come so.
    final = await assembled_by_the_sdk(upstream, stream_answer(b"".join(pieces[:-50]), *pieces[-50:]))

    deltas = [event for event in events if event["type"] == "message_delta"]
    starts = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    assert final["stop_reason"] == deltas[-1]["delta"]["stop_reason"]
    assert final["usage"]["output_tokens"] == deltas[-1]["usage"]["output_tokens"]
    assert [block["type"] for block in final["content"]] == [start["type"] for start in starts]
    for index, block in enumerate(final["content"]):
        if block["type"] in ("tool_use", "server_tool_use"):
            assert block["input"] == json.loads(joined(events, index, "partial_json") or "{}")
        elif block["type"] == "text":
            assert block["text"] == joined(events, index, "text")


def joined(events: list[messages.Event], index: int, field: str) -> str:
    """The deltas of a block, put together."""
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta" and event["index"] == index]
    return "".join(delta[field] for delta in deltas if field in delta)


@given(events=messages.messages_streams())
def test_what_we_make_up_keeps_the_order_of_a_stream(events: list[messages.Event]) -> None:
    allowed = {
        "message_start": {"content_block_start", "message_delta"},
        "content_block_start": {"content_block_delta", "content_block_stop"},
        "content_block_delta": {"content_block_delta", "content_block_stop"},
        "content_block_stop": {"content_block_start", "message_delta"},
        "message_delta": {"message_delta", "message_stop"},
    }

    kinds = [event["type"] for event in events if event["type"] in {*allowed, "message_stop"}]

    assert kinds[0] == "message_start"
    assert events[-1]["type"] == "message_stop"
    assert all(after in allowed[before] for before, after in pairwise(kinds))


@given(data=st.binary(max_size=200), draw=st.data())
def test_cuts_lose_nothing(data: bytes, draw: st.DataObject) -> None:
    pieces = draw.draw(messages.cuts(data))

    assert b"".join(pieces) == data
    assert b"" not in pieces
