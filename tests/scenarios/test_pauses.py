"""A turn that pauses goes on inside the gateway: the caller sees one answer."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from gateway.config import UpstreamConfig
from gateway.service.answers import MAX_PAUSES
from tests.scenarios.harness import (
    PATH,
    PATIENCE_SECONDS,
    Clock,
    asking,
    content_of,
    data_of,
    finish_reasons,
    hasty,
    no_lease_is_out,
    quick_gateway,
)
from tests.support import messages
from tests.support.gateway import key, with_settings
from tests.support.scripted import Connection, ScriptedUpstream, Silence, error_answer, stream_answer

SEARCH = {"type": "web_search_20250305", "name": "web_search"}
USAGE = {"input_tokens": 10, "cache_creation_input_tokens": 1, "cache_read_input_tokens": 2, "output_tokens": 4}
RESULT = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [], "new_field": {"x": 1.0}}


def server_call() -> messages.Block:
    block = messages.tool_block("srvtoolu_1", "web_search", '{"query": "Ulm", "n": 12345678901234567890123}')
    return block._replace(start={**block.start, "type": "server_tool_use"})


PAUSED = messages.sse(
    *messages.message_events(
        messages.text_block("Let me look. "),
        server_call(),
        messages.Block(RESULT, []),
        stop_reason="pause_turn",
        usage=USAGE,
        message_id="msg_first",
    )
)
ENDED = messages.sse(*messages.message_events(messages.text_block("Rain."), usage=USAGE, message_id="msg_second"))


@dataclass
class Passes:
    """A step that takes time."""

    clock: Clock
    seconds: float

    async def play(self, connection: Connection) -> None:
        self.clock.now += self.seconds


def request(*, stream: bool) -> dict[str, Any]:
    more: dict[str, Any] = {"stream_options": {"include_usage": True}} if stream else {}
    return asking(stream=stream, tools=[SEARCH], **more)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_paused_turn_is_continued_and_counted_as_one(upstream: ScriptedUpstream, stream: bool) -> None:
    upstream.script(stream_answer(PAUSED), stream_answer(ENDED))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=request(stream=stream))
        await no_lease_is_out(running)

    if stream:
        events = data_of(response.text)
        assert (content_of(events), finish_reasons(events)) == ("Let me look. Rain.", ["stop"])
        assert {event["id"] for event in events[:-1]} == {"chatcmpl-msg_first"}
        assert sum("role" in c["delta"] for event in events[:-1] for c in event["choices"]) == 1
        usage = events[-2]["usage"]
    else:
        (choice,) = response.json()["choices"]
        assert (choice["message"]["content"], choice["finish_reason"]) == ("Let me look. Rain.", "stop")
        usage = response.json()["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (26, 8)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 4


@pytest.mark.parametrize("stream", [True, False])
async def test_what_was_said_goes_back_verbatim_behind_the_same_request(
    upstream: ScriptedUpstream, stream: bool
) -> None:
    upstream.script(stream_answer(PAUSED), stream_answer(ENDED))
    async with quick_gateway(key(upstream.base_url)) as running:
        await running.http().post(PATH, json=request(stream=stream))
        await no_lease_is_out(running)

    first, second = upstream.received
    again = json.loads(second.body)
    turn = again["messages"].pop()
    assert again == json.loads(first.body)
    assert turn == {
        "role": "assistant",
        "content": [
            {"type": "text", "text": "Let me look. "},
            {**server_call().start, "input": {"query": "Ulm", "n": 12345678901234567890123}},
            RESULT,
        ],
    }
    assert b"12345678901234567890123" in second.body
    assert second.api_key == first.api_key


@pytest.mark.parametrize("stream", [True, False])
async def test_a_text_that_is_empty_does_not_go_back_to_be_continued(upstream: ScriptedUpstream, stream: bool) -> None:
    empty = messages.Block({"type": "text", "text": ""}, [])
    events = messages.message_events(empty, server_call(), messages.Block(RESULT, []), stop_reason="pause_turn")
    upstream.script(stream_answer(messages.sse(*events)), stream_answer(ENDED))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=request(stream=stream))
        await no_lease_is_out(running)

    assert response.status_code == 200
    turn = upstream.received[1].json["messages"][-1]
    assert [block["type"] for block in turn["content"]] == ["server_tool_use", "web_search_tool_result"]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_turn_that_never_ends_is_taken_for_finished_after_a_while(
    upstream: ScriptedUpstream, stream: bool
) -> None:
    upstream.always(stream_answer(PAUSED))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=request(stream=stream))
        await no_lease_is_out(running)

    assert len(upstream.received) == MAX_PAUSES + 1
    roles = [message["role"] for message in upstream.received[-1].json["messages"]]
    assert roles == ["user", *["assistant"] * MAX_PAUSES]
    if stream:
        events = data_of(response.text)
        assert finish_reasons(events) == ["stop"]
        assert events[-1] == "[DONE]"
    else:
        assert response.json()["choices"][0]["finish_reason"] == "stop"


async def test_a_failure_behind_a_pause_is_told_in_the_stream(upstream: ScriptedUpstream) -> None:
    upstream.script(stream_answer(PAUSED), error_answer(529, "overloaded_error", "Overloaded"))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=request(stream=True))
        await no_lease_is_out(running)

    events = data_of(response.text)
    assert events[-1]["error"]["code"] == "server_is_overloaded"
    assert "[DONE]" not in events


@pytest.mark.parametrize("client", ["direct", "httpx2"])
@pytest.mark.parametrize("stream", [True, False])
async def test_the_limit_for_a_whole_answer_is_for_all_that_a_paused_turn_takes(
    upstream: ScriptedUpstream, stream: bool, client: Literal["direct", "httpx2"]
) -> None:
    clock = Clock()
    upstream.script(stream_answer(Passes(clock, 3600.0), PAUSED), stream_answer(Silence()))
    config = hasty(key(upstream.base_url), total_seconds=3600.0, idle_seconds=600.0)
    config = with_settings(config, upstream=UpstreamConfig(client=client))
    async with quick_gateway(config=config) as running:
        running.time.clock = clock
        async with asyncio.timeout(PATIENCE_SECONDS):
            response = await running.http().post(PATH, json=request(stream=stream))
        await no_lease_is_out(running)

    assert "Upstream did not answer in time." in response.text


async def test_without_server_tools_a_pause_is_an_end(upstream: ScriptedUpstream) -> None:
    upstream.script(stream_answer(PAUSED))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking(stream=True))
        await no_lease_is_out(running)

    assert finish_reasons(data_of(response.text)) == ["stop"]
    assert len(upstream.received) == 1
