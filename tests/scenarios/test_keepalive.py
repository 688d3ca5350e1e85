"""Signs of life: when the head of a stream leaves, and what keeps a silent one open."""

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any

import openai
import pytest

from gateway.secret import Secret
from tests.scenarios.harness import (
    KEY_A,
    PATH,
    asking,
    assert_error,
    assert_whole,
    content_of,
    data_of,
    finish_reasons,
    lively,
    no_lease_is_out,
    quick_gateway,
    raw_client,
    soon,
    without_pauses,
)
from tests.scenarios.native_harness import PATH as NATIVE_PATH
from tests.scenarios.native_harness import asking_natively
from tests.support import messages
from tests.support.gateway import Config, KeyConfig, PoolConfig, key, with_settings
from tests.support.readers import READERS
from tests.support.scripted import (
    Answer,
    Reached,
    ScriptedUpstream,
    Send,
    Silence,
    Wait,
    error_answer,
    json_answer,
    stream_answer,
)

EVENTS = messages.text_stream()
# What a model sends whose thinking is not shown: the block begins and ends without a word.
THINKING = messages.thinking_stream("", "Hello, world.")


def ids_of(events: list[Any]) -> set[str]:
    return {event["id"] for event in events if event != "[DONE]"}


def is_sign(chunk: bytes) -> bool:
    """Whether a chunk says nothing: it has an id, and a choice in which nothing is new."""
    event = json.loads(chunk.removeprefix(b"data: "))
    choice = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": None}
    return chunk.endswith(b"\n\n") and event["id"].startswith("chatcmpl-") and event["choices"] == [choice]


async def test_a_silent_upstream_yields_the_head_and_empty_chunks(upstream: ScriptedUpstream) -> None:
    gate = asyncio.Event()
    upstream.script(Answer((Wait(gate), *stream_answer(*EVENTS).steps)))
    config = lively(key(upstream.base_url), keepalive_seconds=0.02)
    async with quick_gateway(config=config) as running, raw_client(running) as client:
        client.send(asking(stream=True))
        await client.head()
        signs = [await client.chunk() for _ in range(3)]
        gate.set()
        rest = await client.chunks()
        await no_lease_is_out(running)
    events = data_of(b"".join([*signs, *rest]).decode())

    assert client.status == 200
    assert all(map(is_sign, signs))
    assert_whole(b"".join(rest).decode())
    # Upstream has named no id yet: the gateway's own holds to the end.
    assert ids_of(events) == {f"chatcmpl-{client.headers['x-request-id']}"}


async def test_empty_chunks_come_in_the_pauses_of_an_answer_too_and_never_inside_an_event(
    upstream: ScriptedUpstream,
) -> None:
    gate = asyncio.Event()
    half = len(EVENTS[3]) // 2
    upstream.script(stream_answer(*EVENTS[:3], EVENTS[3][:half], Wait(gate), EVENTS[3][half:], *EVENTS[4:]))
    config = lively(key(upstream.base_url), keepalive_seconds=0.02)
    async with quick_gateway(config=config) as running, raw_client(running) as client:
        client.send(asking(stream=True))
        await client.head()
        chunks = [await client.chunk()]
        chunks += [await client.chunk() for _ in range(2)]
        gate.set()
        chunks += await client.chunks()

    assert all(map(is_sign, chunks[1:3]))
    assert ids_of(data_of(b"".join(chunks).decode())) == {"chatcmpl-msg_01"}
    assert all(chunk.startswith(b"data: ") for chunk in chunks)
    assert all(chunk.endswith(b"\n\n") for chunk in chunks)
    assert_whole(b"".join(chunks).decode())


async def test_the_official_client_reads_through_empty_chunks(upstream: ScriptedUpstream) -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    upstream.script(Answer((Wait(gates[0]), *stream_answer(*EVENTS[:3], Wait(gates[1]), *EVENTS[3:]).steps)))
    config = lively(key(upstream.base_url), keepalive_seconds=0.02)
    async with quick_gateway(config=config) as running:
        # The client has its answer as soon as the head is there, which only the keep-alive can have sent.
        chunks = await running.openai().chat.completions.create(
            model="claude-sonnet-5-5", messages=[{"role": "user", "content": "Hi"}], max_tokens=2000, stream=True
        )
        gates[0].set()
        said = [await anext(aiter(chunks))]
        asyncio.get_running_loop().call_later(0.1, gates[1].set)
        said += [chunk async for chunk in chunks]

    assert "".join(chunk.choices[0].delta.content or "" for chunk in said) == "Hello, world."


async def test_choices_open_in_their_order_whichever_of_them_is_silent(upstream: ScriptedUpstream) -> None:
    gate = asyncio.Event()
    upstream.script(stream_answer(*EVENTS), stream_answer(*EVENTS[:1], Wait(gate), *EVENTS[1:]))
    config = lively(key(upstream.base_url), keepalive_seconds=0.02)
    async with quick_gateway(config=config) as running, raw_client(running) as client:
        client.send(asking(stream=True, n=2))
        await client.head()
        chunks: list[bytes] = []
        while sum(b'"delta":{},"logprobs":null,"finish_reason":null' in chunk for chunk in chunks) < 2:
            chunks.append(await client.chunk())
        gate.set()
        chunks += await client.chunks()
    events = data_of(b"".join(chunks).decode())
    opened = [choice["index"] for event in events[:-1] for choice in event["choices"] if "role" in choice["delta"]]

    assert opened == [0, 1]
    assert len(ids_of(events)) == 1
    assert events[-1] == "[DONE]"


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
async def test_clients_of_every_kind_read_through_silence(
    upstream: ScriptedUpstream, read: Callable[[Iterable[bytes]], list[Any]]
) -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    upstream.script(Answer((Wait(gates[0]), *stream_answer(*EVENTS[:3], Wait(gates[1]), *EVENTS[3:]).steps)))
    config = lively(key(upstream.base_url), keepalive_seconds=0.02)
    async with quick_gateway(config=config) as running, raw_client(running) as client:
        client.send(asking(stream=True))
        await client.head()
        chunks = [await client.chunk()]
        gates[0].set()
        while b'"Hello,"' not in chunks[-1]:
            chunks.append(await client.chunk())
        chunks.append(await client.chunk())
        gates[1].set()
        chunks += await client.chunks()
    events = read(chunks)

    assert is_sign(chunks[0])
    assert content_of(events) == "Hello, world."
    assert finish_reasons(events) == ["stop"]
    assert sum("role" in event["choices"][0]["delta"] for event in events) == 1


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
async def test_an_error_behind_silence_is_read_by_clients_of_every_kind(
    upstream: ScriptedUpstream, read: Callable[[Iterable[bytes]], list[Any]]
) -> None:
    gate = asyncio.Event()
    upstream.script(Answer((Wait(gate), *error_answer(400, "invalid_request_error", "No such thing.").steps)))
    config = lively(key(upstream.base_url), keepalive_seconds=0.02)
    async with quick_gateway(config=config) as running, raw_client(running) as client:
        client.send(asking(stream=True))
        await client.head()
        chunks = [await client.chunk()]
        gate.set()
        chunks += await client.chunks()

    assert read(chunks)[-1]["error"]["message"] == "No such thing."


async def test_nothing_empty_is_sent_while_an_answer_flows(upstream: ScriptedUpstream) -> None:
    upstream.script(stream_answer(*EVENTS))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking(stream=True))

    assert response.text.count('"delta":{}') == 1


async def test_an_answer_in_one_piece_is_never_preceded_by_anything(upstream: ScriptedUpstream) -> None:
    gate = asyncio.Event()
    upstream.script(Answer((Wait(gate), *error_answer(400, "invalid_request_error", "No.").steps)))
    async with quick_gateway(config=lively(key(upstream.base_url), keepalive_seconds=0.02)) as running:
        asyncio.get_running_loop().call_later(0.1, gate.set)
        response = await running.http().post(PATH, json=asking())

    assert_error(response, 400, "invalid_request_error", None)


@pytest.mark.parametrize("events", [THINKING[:2], EVENTS[:2]], ids=["thinking", "text"])
async def test_the_head_leaves_at_the_first_block_although_there_is_nothing_to_say_yet(
    upstream: ScriptedUpstream, events: list[bytes]
) -> None:
    gate = asyncio.Event()
    whole = THINKING if events[1] == THINKING[1] else EVENTS
    upstream.script(stream_answer(*whole[:2], Wait(gate), *whole[2:]))
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        client.send(asking(stream=True))
        await client.head()
        gate.set()
        rest = await client.chunks()

    assert client.status == 200
    assert_whole(b"".join(rest).decode())


async def test_the_head_does_not_leave_at_message_start_so_that_errors_keep_their_status(
    upstream: ScriptedUpstream,
) -> None:
    reached, gate = asyncio.Event(), asyncio.Event()
    ping = messages.sse({"type": "ping"})
    upstream.always(
        stream_answer(EVENTS[0], ping, Reached(reached), Wait(gate), messages.error_event("overloaded_error", "Busy"))
    )
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)
        asked = asyncio.create_task(running.http().post(PATH, json=asking(stream=True)))
        await soon(reached)
        gate.set()
        response = await asked

    assert_error(response, 503, "service_unavailable_error", "server_is_overloaded")


def crowded(upstream: ScriptedUpstream, *, keepalive_seconds: float, queue_timeout_seconds: float) -> Config:
    """A gateway whose only key serves one request at a time."""
    only = KeyConfig(name="a", api_key=Secret(KEY_A), base_url=upstream.base_url, max_concurrency=1)
    config = lively(only, keepalive_seconds=keepalive_seconds)
    return with_settings(config, pool=PoolConfig(queue_timeout_seconds=queue_timeout_seconds))


@pytest.mark.parametrize(("path", "request_"), [(PATH, asking), (NATIVE_PATH, asking_natively)])
async def test_who_waits_in_line_in_vain_is_told_by_a_status(
    upstream: ScriptedUpstream, path: str, request_: Callable[..., dict[str, Any]]
) -> None:
    reached = asyncio.Event()
    upstream.always(Answer((Reached(reached), Silence())))
    config = crowded(upstream, keepalive_seconds=1.0, queue_timeout_seconds=1.3)
    async with quick_gateway(config=config) as running, raw_client(running) as first:
        first.send(asking(stream=True))
        await soon(reached)
        response = await running.http().post(path, json=request_(stream=True))

    assert response.status_code == 429
    assert "retry-after" in response.headers


async def test_the_head_is_not_held_for_ever_for_one_who_waits_in_line(upstream: ScriptedUpstream) -> None:
    reached = asyncio.Event()
    upstream.always(Answer((Reached(reached), Silence())))
    config = crowded(upstream, keepalive_seconds=0.02, queue_timeout_seconds=60)
    async with quick_gateway(config=config) as running, raw_client(running) as first, raw_client(running) as second:
        first.send(asking(stream=True))
        await soon(reached)
        second.send(asking(stream=True))
        await second.head()
        sign = json.loads((await second.chunk()).removeprefix(b"data: "))

    assert second.status == 200
    assert sign["choices"][0]["delta"] in ({}, {"content": ""}, {"role": "assistant", "content": ""})


async def test_an_error_after_the_head_has_left_is_an_event(upstream: ScriptedUpstream) -> None:
    gate = asyncio.Event()
    upstream.script(Answer((Wait(gate), *error_answer(400, "invalid_request_error", "No such thing.").steps)))
    config = lively(key(upstream.base_url), keepalive_seconds=0.02)
    async with quick_gateway(config=config) as running:
        chunks = await running.openai().chat.completions.create(
            model="claude-sonnet-5-5", messages=[{"role": "user", "content": "Hi"}], max_tokens=2000, stream=True
        )
        gate.set()
        with pytest.raises(openai.APIError, match="No such thing") as raised:
            # What comes before the error says nothing.
            assert not [chunk async for chunk in chunks if chunk.choices[0].delta.content]

    assert raised.value.type == "invalid_request_error"


async def test_a_stream_has_the_headers_of_a_stream(upstream: ScriptedUpstream) -> None:
    upstream.script(stream_answer(*EVENTS))
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        client.send(asking(stream=True, seed=7))
        await client.head()
        await client.chunks()

    assert client.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert client.headers["cache-control"] == "no-cache"
    assert client.headers["x-accel-buffering"] == "no"
    assert client.headers["transfer-encoding"] == "chunked"
    assert client.headers["x-request-id"].startswith("req_")
    assert client.headers["x-upstream-request-id"] == "req_011CScriptedUpstream"
    assert "seed=dropped" in client.headers["x-gateway-adjusted"]
    assert "content-length" not in client.headers


async def test_an_answer_in_one_piece_has_its_headers_as_well(upstream: ScriptedUpstream) -> None:
    upstream.script(json_answer(200, messages.message()))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking(seed=7))

    assert response.headers["content-type"] == "application/json"
    assert response.headers["content-length"] == str(len(response.content))
    assert response.headers["x-request-id"].startswith("req_")
    assert response.headers["x-upstream-request-id"] == "req_011CScriptedUpstream"
    assert "seed=dropped" in response.headers["x-gateway-adjusted"]


async def test_headers_of_upstream_cannot_break_out_of_theirs(upstream: ScriptedUpstream) -> None:
    head = b"HTTP/1.1 200 OK\r\nrequest-id: req_\xe9\x80\x80 x\r\ncontent-type: application/json\r\n"
    whole = json_answer(200, messages.message()).steps[0]
    assert isinstance(whole, Send)
    body = whole.data.partition(b"\r\n\r\n")[2]
    upstream.script(Answer((Send(head + b"content-length: %d\r\n\r\n" % len(body) + body),)))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking())

    assert response.status_code == 200
    assert response.headers["x-upstream-request-id"].startswith("req_")
    assert response.headers["x-upstream-request-id"].isascii()
