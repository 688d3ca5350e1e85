"""A tool that the model cannot be forced to call: asked for in words, and once more where no call came back."""

from typing import Any

import pytest

from tests.scenarios.harness import PATH, asking, data_of, finish_reasons, no_lease_is_out, quick_gateway
from tests.support import messages
from tests.support.gateway import key
from tests.support.scripted import ScriptedUpstream, json_answer, stream_answer

USAGE = {"input_tokens": 10, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 4}
# A schema that no grammar can hold: the model can only be asked.
OPEN = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
CLOSED = {
    "type": "function",
    "function": {"name": "look", "parameters": {"type": "object", "properties": {"place": {"type": "string"}}}},
}
NAMED = {"type": "function", "function": {"name": "look"}}
TEXT = json_answer(200, messages.message("I would rather talk.", usage=USAGE))
CALL = json_answer(
    200,
    messages.message(
        [{"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}], stop_reason="tool_use", usage=USAGE
    ),
)


def request(tool: dict[str, Any] = OPEN, **more: Any) -> dict[str, Any]:
    return asking(tools=[tool], tool_choice=NAMED, **more)


async def test_a_model_that_talks_instead_is_asked_once_more(upstream: ScriptedUpstream) -> None:
    upstream.script(TEXT, CALL)
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=request())
        await no_lease_is_out(running)

    choice = response.json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "look", "arguments": "{}"}
    assert choice["message"]["content"] is None
    assert response.json()["usage"]["completion_tokens"] == 8
    assert response.headers["x-gateway-adjusted"] == "tool_choice=function->auto:model"
    first, second = upstream.received
    assert first.body == second.body


async def test_a_model_that_talks_twice_has_its_say(upstream: ScriptedUpstream) -> None:
    upstream.script(TEXT, TEXT)
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=request())
        await no_lease_is_out(running)

    choice = response.json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("I would rather talk.", "stop")
    assert len(upstream.received) == 2


async def test_a_call_at_once_is_enough(upstream: ScriptedUpstream) -> None:
    upstream.script(CALL)
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=request())
        await no_lease_is_out(running)

    assert response.json()["choices"][0]["finish_reason"] == "tool_calls"
    assert len(upstream.received) == 1


async def test_a_streamed_answer_is_not_asked_for_again(upstream: ScriptedUpstream) -> None:
    upstream.script(stream_answer(*messages.text_stream("No.", usage=USAGE)))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=request(stream=True))
        await no_lease_is_out(running)

    assert finish_reasons(data_of(response.text)) == ["stop"]
    assert len(upstream.received) == 1


async def test_nobody_is_asked_again_who_was_free_to_talk(upstream: ScriptedUpstream) -> None:
    upstream.script(TEXT)
    async with quick_gateway(key(upstream.base_url)) as running:
        await running.http().post(PATH, json=asking(tools=[OPEN]))
        await no_lease_is_out(running)

    assert len(upstream.received) == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_a_schema_in_the_subset_makes_the_answer_the_call(upstream: ScriptedUpstream, stream: bool) -> None:
    text = '{"place": "Z\u00fcrich"}'
    answer = stream_answer(*messages.text_stream(text)) if stream else json_answer(200, messages.message(text))
    upstream.script(answer)
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=request(CLOSED, stream=stream))
        await no_lease_is_out(running)

    assert upstream.received[0].json["tool_choice"] == {"type": "none"}
    assert upstream.received[0].json["output_config"]["format"]["type"] == "json_schema"
    assert response.headers["x-gateway-adjusted"] == "tool_choice=function->format:model"
    if stream:
        events = data_of(response.text)
        calls = [c for e in events[:-1] for choice in e["choices"] for c in choice["delta"].get("tool_calls", ())]
        assert (calls[0]["function"]["name"], finish_reasons(events)) == ("look", ["tool_calls"])
        assert "".join(call["function"]["arguments"] for call in calls) == text
    else:
        (call,) = response.json()["choices"][0]["message"]["tool_calls"]
        assert call["function"] == {"name": "look", "arguments": text}
