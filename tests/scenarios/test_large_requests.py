"""Large requests: translated in turns, with the same results and the same mistakes as small ones."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.config import ModelsConfig
from gateway.doors import writing
from gateway.edge.slices import LARGE_BYTES
from tests.scenarios.harness import (
    KEY_A,
    PATH,
    asking,
    assert_error,
    no_lease_is_out,
    quick_gateway,
    raw_client,
    without_pauses,
)
from tests.support import messages
from tests.support.gateway import config_for, key
from tests.support.scripted import ScriptedUpstream, error_answer, json_answer

ANSWER = json_answer(200, messages.message("Hello"))
NO_TEMPERATURE = "`temperature` is deprecated for this model."


def history(pairs: int) -> list[dict[str, Any]]:
    """A conversation with so many calls and their results, above the size from which on requests are large."""
    conversation: list[dict[str, Any]] = [{"role": "user", "content": "Geh, schnell \U0001f680"}]
    for number in range(pairs):
        call = {"id": f"call_{number}", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        conversation.append({"role": "assistant", "content": None, "tool_calls": [call]})
        result = "ü" * (LARGE_BYTES // pairs)
        conversation.append({"role": "tool", "tool_call_id": f"call_{number}", "content": result})
    return conversation


async def test_a_large_history_arrives_whole(upstream: ScriptedUpstream) -> None:
    upstream.always(ANSWER)
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking(messages=history(300)))

    assert response.json()["choices"][0]["message"]["content"] == "Hello"
    sent = upstream.received[0].json["messages"]
    assert len(sent) == 601
    assert sent[0]["content"] == "Geh, schnell \U0001f680"
    assert [block["tool_use_id"] for message in sent[2::2] for block in message["content"]] == [
        f"call_{number}" for number in range(300)
    ]


async def test_a_mistake_in_a_large_request_is_named(upstream: ScriptedUpstream) -> None:
    conversation = history(300)
    del conversation[-1]
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking(messages=conversation))

    assert_error(response, 400, "invalid_request_error", "invalid_value")
    assert response.json()["error"]["param"] == "messages[599]"
    assert not upstream.received


async def test_a_large_request_is_corrected_like_any_other(upstream: ScriptedUpstream) -> None:
    upstream.script(error_answer(400, "invalid_request_error", NO_TEMPERATURE), ANSWER)
    request = asking(messages=history(300), model="claude-haiku-4-5", temperature=0.5)
    async with quick_gateway(key(upstream.base_url, KEY_A)) as running:
        response = await running.http().post(PATH, json=request)

    assert response.json()["choices"][0]["message"]["content"] == "Hello"
    assert ["temperature" in request.json for request in upstream.received] == [True, False]


async def test_the_corrected_form_is_written_in_turns_as_well(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.script(error_answer(400, "invalid_request_error", NO_TEMPERATURE), ANSWER)
    # What writes in one go.
    monkeypatch.delattr(writing, "write_request")
    request = asking(messages=history(300), model="claude-haiku-4-5", temperature=0.5)
    async with quick_gateway(key(upstream.base_url, KEY_A)) as running:
        response = await running.http().post(PATH, json=request)

    assert response.json()["choices"][0]["message"]["content"] == "Hello"
    assert len(upstream.received) == 2


async def test_the_form_for_another_model_is_written_in_turns_as_well(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.script(*[error_answer(529, "overloaded_error", "Overloaded")] * 3, ANSWER)
    monkeypatch.delattr(writing, "write_request")
    models = ModelsConfig(fallbacks={"claude-sonnet-5-5": ("claude-haiku-4-5",)})
    config = replace(config_for(key(upstream.base_url, KEY_A)), models=models)
    request = asking(messages=history(300), model="claude-sonnet-5-5")
    async with quick_gateway(config=config) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=request)

    assert response.json()["choices"][0]["message"]["content"] == "Hello"
    assert response.headers["x-gateway-model"] == "claude-haiku-4-5"


async def test_who_leaves_while_a_large_request_is_translated_costs_no_more(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def endless(_steps: object) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    monkeypatch.setattr(writing, "in_slices", endless)
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        client.send(asking(messages=history(300)))
        await asyncio.wait_for(began.wait(), 10)
        client.leave()
        await asyncio.wait_for(ended.wait(), 10)
        await no_lease_is_out(running)

    assert not upstream.received
