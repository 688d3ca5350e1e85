"""Native streams: upstream's bytes as they are, another key until the first content, one honest end."""

import asyncio
from collections.abc import Callable

import pytest

from tests.scenarios.harness import (
    KEY_A,
    KEY_B,
    cut,
    hasty,
    lively,
    no_lease_is_out,
    pool_of,
    quick_gateway,
    raw_client,
    without_pauses,
)
from tests.scenarios.native_harness import PATH, PING, asking_natively, assert_native_error, last_event
from tests.support import messages
from tests.support.gateway import ServerConfig, config_for, key, running_gateway, with_settings
from tests.support.recordings import Recording, recording_params
from tests.support.scripted import (
    REQUEST_ID,
    Answer,
    Close,
    Reached,
    Reset,
    ScriptedUpstream,
    Silence,
    Step,
    Wait,
    error_answer,
    stream_answer,
)

EVENTS = messages.text_stream()
WHOLE = b"".join(EVENTS)
BUSY = messages.error_event("overloaded_error", "Busy")


def assert_broken(body: bytes, passed: bytes) -> str:
    """A stream that passes this on and ends in one error of the gateway's own; gives its message."""
    assert body.startswith(passed)
    name, data = last_event(body)
    assert body.removeprefix(passed).count(b"\n\n") == 1
    assert name == "error"
    assert list(data) == ["type", "error", "request_id"]
    assert data["error"]["type"] == "api_error"
    assert data["request_id"].startswith("req_")
    message: str = data["error"]["message"]
    return message


@pytest.mark.parametrize("recording", recording_params(streamed=True, status=200, kind="messages"))
async def test_every_recorded_stream_passes_byte_for_byte(upstream: ScriptedUpstream, recording: Recording) -> None:
    upstream.script(stream_answer(recording.response), stream_answer(*cut(recording.response, 997)))
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        at_once = await http.post(PATH, json=asking_natively(stream=True))
        in_pieces = await http.post(PATH, json=asking_natively(stream=True))

    assert at_once.status_code == 200
    # What a few sources appended after the last event is not the message's any more.
    end = recording.response.rstrip()
    assert at_once.content.rstrip() == end
    assert in_pieces.content.rstrip() == end


@pytest.mark.parametrize("size", [1, 7, 64])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
async def test_bytes_pass_untouched_however_they_are_cut(upstream: ScriptedUpstream, newline: bytes, size: int) -> None:
    stream = WHOLE.replace(b"\n", newline)
    upstream.script(stream_answer(*cut(stream, size)))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking_natively(stream=True))

    # The LF of the very last CR LF may come too late: with its CR the blank line was there.
    assert response.content.rstrip() == stream.rstrip()


async def test_each_event_leaves_as_soon_as_it_is_whole(upstream: ScriptedUpstream) -> None:
    gates = [asyncio.Event() for _ in EVENTS]
    steps: list[bytes | Step] = []
    for gate, event in zip(gates, EVENTS, strict=True):
        steps += [Wait(gate), event]
    upstream.script(stream_answer(*steps))
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        client.send(asking_natively(stream=True), path=PATH)
        gates[0].set()
        gates[1].set()
        await client.head()
        chunks = [await client.chunk()]
        for gate in gates[2:]:
            gate.set()
            chunks.append(await client.chunk())
        rest = await client.chunks()

    assert chunks[0] == EVENTS[0] + EVENTS[1]
    assert chunks[1:] == EVENTS[2:]
    assert rest == []


async def test_the_head_says_what_a_caller_may_know_and_nothing_of_the_account(upstream: ScriptedUpstream) -> None:
    account = {
        "anthropic-organization-id": "org-of-the-pool",
        "anthropic-ratelimit-requests-remaining": "7",
        "set-cookie": "a=b",
        "x-secret": "s",
    }
    upstream.script(stream_answer(*EVENTS, headers=account))
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        client.send(asking_natively(stream=True), path=PATH)
        await client.head()
        await client.chunks()

    assert client.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert client.headers["request-id"] == REQUEST_ID
    assert client.headers["x-request-id"].startswith("req_")
    assert set(account) & set(client.headers) == {"anthropic-ratelimit-requests-remaining"}


async def test_a_finished_stream_ends_at_once_and_its_connection_is_used_again(upstream: ScriptedUpstream) -> None:
    upstream.always(stream_answer(*EVENTS))
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        answers = [await http.post(PATH, json=asking_natively(stream=True)) for _ in range(5)]

    assert [answer.content for answer in answers] == [WHOLE] * 5
    # Two, where the list of models is being fetched over the first one.
    assert upstream.connections_accepted <= 2


async def test_the_end_does_not_wait_for_an_upstream_that_does_not_end(upstream: ScriptedUpstream) -> None:
    upstream.script(stream_answer(*EVENTS, Silence()))
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        client.send(asking_natively(stream=True), path=PATH)
        await client.head()
        body = b"".join(await client.chunks())

    assert body == WHOLE


@pytest.mark.parametrize("end", [Close(), Reset()], ids=["close", "reset"])
@pytest.mark.parametrize("count", [0, 1, 2], ids=["head", "message_start", "ping"])
async def test_a_cut_before_the_first_content_is_not_noticed(upstream: ScriptedUpstream, end: Step, count: int) -> None:
    upstream.script(stream_answer(*[EVENTS[0], PING][:count], end), stream_answer(*EVENTS))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=asking_natively(stream=True))

    assert response.content == WHOLE
    assert len(upstream.received) == 2


async def test_an_error_event_before_the_first_content_is_answered_by_another_key(upstream: ScriptedUpstream) -> None:
    upstream.script(stream_answer(EVENTS[0], PING, BUSY), stream_answer(*EVENTS))
    async with quick_gateway(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=asking_natively(stream=True))

    assert response.content == WHOLE
    assert {request.api_key for request in upstream.received} == {KEY_A, KEY_B}


async def test_a_first_block_that_comes_together_with_an_error_is_not_passed_on(upstream: ScriptedUpstream) -> None:
    upstream.script(stream_answer(EVENTS[0] + EVENTS[1] + BUSY), stream_answer(*EVENTS))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=asking_natively(stream=True))

    assert response.content == WHOLE


async def test_an_error_event_that_does_not_go_away_has_its_status(upstream: ScriptedUpstream) -> None:
    upstream.always(stream_answer(EVENTS[0], BUSY))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=asking_natively(stream=True))

    assert assert_native_error(response, 529, "overloaded_error")["message"] == "Busy"
    assert len(upstream.received) == 3


async def test_an_error_event_about_the_request_is_told_in_upstreams_words(upstream: ScriptedUpstream) -> None:
    event = messages.error_event("invalid_request_error", "No such thing")
    upstream.script(stream_answer(EVENTS[0], event))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking_natively(stream=True))

    assert response.status_code == 400
    assert b"data: " + response.content in event
    assert len(upstream.received) == 1


@pytest.mark.parametrize("end", [Close(), Reset()], ids=["close", "reset"])
async def test_a_cut_after_the_first_content_is_one_error_event(
    upstream: ScriptedUpstream, read_log: Callable[[], str], end: Step
) -> None:
    # The half event stays behind, or the error would be a part of it.
    upstream.script(stream_answer(*EVENTS[:3], EVENTS[3][:20], end))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking_natively(stream=True))
        await no_lease_is_out(running)

    assert response.status_code == 200
    assert "before the answer was complete" in assert_broken(response.content, b"".join(EVENTS[:3]))
    assert "error=cut_off" in read_log()
    assert len(upstream.received) == 1


async def test_silence_after_the_first_content_is_one_error_event(upstream: ScriptedUpstream) -> None:
    upstream.script(stream_answer(*EVENTS[:3], Silence()))
    async with quick_gateway(config=hasty(key(upstream.base_url), idle_seconds=0.05)) as running:
        response = await running.http().post(PATH, json=asking_natively(stream=True))

    name, data = last_event(response.content)
    assert (name, data["error"]["type"]) == ("error", "timeout_error")


@pytest.mark.parametrize("together", [True, False])
async def test_upstreams_own_error_event_passes_as_it_is_and_counts_as_a_failure(
    upstream: ScriptedUpstream, read_log: Callable[[], str], together: bool
) -> None:
    last = [EVENTS[3] + BUSY] if together else [EVENTS[3], BUSY]
    upstream.script(stream_answer(*EVENTS[:3], *last))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking_natively(stream=True))
        await no_lease_is_out(running)

    assert response.content == b"".join(EVENTS[:4]) + BUSY
    assert "error=overloaded" in read_log()


async def test_a_key_is_not_told_even_in_upstreams_own_error_event(
    upstream: ScriptedUpstream, read_log: Callable[[], str]
) -> None:
    upstream.script(
        stream_answer(*EVENTS[:3], messages.error_event("authentication_error", f"bad key {KEY_A}")),
        stream_answer(EVENTS[0], messages.error_event("invalid_request_error", f"bad key {KEY_A}")),
    )
    async with quick_gateway(key(upstream.base_url, "a", KEY_A)) as running:
        http = running.http()
        answers = [await http.post(PATH, json=asking_natively(stream=True))]
        pool = pool_of(running)
        next(iter(pool.states)).is_rejected = False
        answers.append(await http.post(PATH, json=asking_natively(stream=True)))

    assert [answer.status_code for answer in answers] == [200, 400]
    assert all("bad key" in answer.text and KEY_A not in answer.text for answer in answers)
    assert KEY_A not in read_log()


async def test_events_of_tomorrow_pass(upstream: ScriptedUpstream) -> None:
    new = [
        b'event: message_prelude\ndata: {"type":"message_prelude","usage":"later"}\n\n',
        b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":[1]}\n\n',
        b'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":"many"}}\n\n',
        b"event: odd\ndata: not json at all\n\n",
        b"event: message_stop\ndata: {}\n\n",
        b': comment\n\nevent: message_stop\nid: 7\nretry: 9\ndata: {"type":\ndata: "message_stop"}\n\n',
    ]
    upstream.script(stream_answer(*new))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking_natively(stream=True))

    assert response.content == b"".join(new)


async def test_nonsense_instead_of_events_is_502_after_all_attempts(upstream: ScriptedUpstream) -> None:
    upstream.always(stream_answer(b"data: <html>\n\n"))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=asking_natively(stream=True))

    assert_native_error(response, 502, "api_error")
    assert len(upstream.received) == 3


async def test_a_silent_upstream_yields_the_head_and_pings_and_may_still_be_replaced(
    upstream: ScriptedUpstream,
) -> None:
    gate = asyncio.Event()
    upstream.script(stream_answer(EVENTS[0], Wait(gate), BUSY, headers={"request-id": "req_a"}), stream_answer(*EVENTS))
    config = lively(key(upstream.base_url), keepalive_seconds=0.02)
    async with quick_gateway(config=config) as running, raw_client(running) as client:
        without_pauses(running)
        client.send(asking_natively(stream=True), path=PATH)
        await client.head()
        pings = [await client.chunk() for _ in range(3)]
        gate.set()
        body = b"".join(await client.chunks())

    assert pings == [PING] * 3
    assert body.replace(PING, b"") == WHOLE
    # Nobody could know yet whose answer it would be.
    assert client.headers["request-id"] == client.headers["x-request-id"]


async def test_a_failure_after_the_head_has_left_is_an_event(upstream: ScriptedUpstream) -> None:
    gate = asyncio.Event()
    upstream.script(Answer((Wait(gate), *error_answer(400, "invalid_request_error", "No.").steps)))
    config = lively(key(upstream.base_url), keepalive_seconds=0.02)
    async with quick_gateway(config=config) as running, raw_client(running) as client:
        client.send(asking_natively(stream=True), path=PATH)
        await client.head()
        gate.set()
        body = b"".join(await client.chunks())

    name, data = last_event(body)
    assert (name, data["error"]["type"], data["request_id"]) == ("error", "invalid_request_error", REQUEST_ID)


async def test_pings_never_come_inside_of_an_event(upstream: ScriptedUpstream) -> None:
    gate, reached = asyncio.Event(), asyncio.Event()
    half = len(EVENTS[3]) // 2
    upstream.script(
        stream_answer(*EVENTS[:3], EVENTS[3][:half], Reached(reached), Wait(gate), EVENTS[3][half:], *EVENTS[4:])
    )
    config = lively(key(upstream.base_url), keepalive_seconds=0.02)
    async with quick_gateway(config=config) as running, raw_client(running) as client:
        client.send(asking_natively(stream=True), path=PATH)
        await client.head()
        await reached.wait()
        chunks: list[bytes] = []
        while chunks[-2:] != [PING] * 2:
            chunks.append(await client.chunk())
        gate.set()
        chunks += await client.chunks()

    assert all(chunk.endswith(b"\n\n") for chunk in chunks)
    assert b"".join(chunk for chunk in chunks if chunk != PING) == WHOLE


async def test_a_client_that_leaves_ends_the_upstream_request_at_once(
    upstream: ScriptedUpstream, read_log: Callable[[], str]
) -> None:
    upstream.always(stream_answer(*EVENTS[:3], Silence()))
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        client.send(asking_natively(stream=True), path=PATH)
        await client.head()
        await client.chunk()
        client.leave()
        await upstream.wait_for_disconnects(1)
        await no_lease_is_out(running)

    assert f"POST {PATH}" in read_log()
    assert "error" not in read_log()
    assert len(upstream.received) == 1


async def test_a_shutdown_ends_a_stream_with_one_error_that_says_why(upstream: ScriptedUpstream) -> None:
    upstream.script(stream_answer(*EVENTS[:3], Silence()))
    config = with_settings(config_for(key(upstream.base_url)), server=ServerConfig(port=0, shutdown_grace_seconds=0.05))
    async with running_gateway(config=config) as running, raw_client(running) as client:
        client.send(asking_natively(stream=True), path=PATH)
        await client.head()
        chunks = [await client.chunk()]
        while EVENTS[2] not in b"".join(chunks):
            chunks.append(await client.chunk())
        running.begin_shutdown()
        chunks += await client.chunks()

    assert "shutting down" in assert_broken(b"".join(chunks), b"".join(EVENTS[:3]))


async def test_usage_and_key_of_a_stream_are_in_the_log(
    upstream: ScriptedUpstream, read_log: Callable[[], str]
) -> None:
    usage = {"input_tokens": 5, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 200, "output_tokens": 9}
    upstream.script(stream_answer(*messages.text_stream(usage=usage)))
    async with quick_gateway(key(upstream.base_url, "a")) as running:
        await running.http().post(PATH, json=asking_natively(stream=True, model="gpt-5"))
        await no_lease_is_out(running)

    (line,) = [line for line in read_log().splitlines() if f"POST {PATH} 200" in line]
    for said in (
        "prompt_tokens=235",
        "completion_tokens=9",
        "key=a",
        "attempts=1",
        "stream=True",
        "model=gpt-5->claude-sonnet-5-5",
        f"upstream_request_id={REQUEST_ID}",
    ):
        assert said in line
