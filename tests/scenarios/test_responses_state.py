"""Responses that continue each other: by the id of the one before, by a conversation, and by references to items."""

from pathlib import Path
from typing import Any

import openai
import pytest
from msgspec.structs import replace
from openai.types.responses import Response

from gateway.config import ResponsesConfig, StoreConfig
from tests.scenarios.harness import assert_error, quick_gateway
from tests.support import messages
from tests.support.gateway import (
    ClientConfig,
    Config,
    RunningGateway,
    Secret,
    config_for,
    key,
    with_settings,
)
from tests.support.scripted import ScriptedUpstream, error_answer, stream_answer

MODEL = "claude-opus-5-5"
THOUGHT = {"type": "thinking", "thinking": "Look there.", "signature": "EqQBsigned"}
CALLING = stream_answer(
    messages.sse(
        *messages.message_events(
            messages.thinking_block("Look there.", "EqQBsigned"),
            messages.tool_block("toolu_1", "look", '{"where": "there"}'),
            stop_reason="tool_use",
        )
    )
)
TOOL: Any = {
    "type": "function",
    "name": "look",
    "parameters": {"type": "object", "properties": {"where": {"type": "string"}}},
    "strict": False,
}


def said(text: str) -> Any:
    return stream_answer(messages.sse(*messages.message_events(messages.text_block(text))))


def on_disk(upstream: ScriptedUpstream, folder: Path) -> Config:
    store = StoreConfig(kind="sqlite", path=str(folder / "store.db"))
    return with_settings(config_for(key(upstream.base_url)), store=store)


async def asked(running: RunningGateway, **more: Any) -> Response:
    """Ask for one whole response."""
    found: Response = await running.openai().responses.create(model=MODEL, **more)
    return found


def thinking_of(upstream: ScriptedUpstream) -> list[Any]:
    """The thinking in the last request that upstream got."""
    turns = [turn["content"] for turn in upstream.received[-1].json["messages"] if turn["role"] == "assistant"]
    # A text alone may be a string.
    blocks = [block for content in turns if not isinstance(content, str) for block in content]
    return [block for block in blocks if block["type"] == "thinking"]


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_the_next_response_has_all_that_was_before_and_thinking_byte_for_byte(
    upstream: ScriptedUpstream, tmp_path: Path, kind: str
) -> None:
    upstream.script(CALLING, said("Nothing there."), said("No."))
    config = on_disk(upstream, tmp_path) if kind == "sqlite" else config_for(key(upstream.base_url))
    async with quick_gateway(config=config) as running:
        first = await asked(running, input="Where?", tools=[TOOL])
        [call] = [item for item in first.output if item.type == "function_call"]
        result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "nothing"}
        second = await asked(running, input=[result], tools=[TOOL], previous_response_id=first.id)
        thoughts = thinking_of(upstream)
        third = await asked(running, input="Sure?", tools=[TOOL], previous_response_id=second.id)
        client = running.openai()
        again = await client.responses.retrieve(third.id)
        items = [item async for item in client.responses.input_items.list(third.id, order="asc")]

    assert thoughts == [THOUGHT]
    assert again == third
    assert [item.type for item in items] == [
        "message", "reasoning", "function_call", "function_call_output", "message", "message"
    ]  # fmt: skip
    assert len(upstream.received[-1].json["messages"]) == 5


async def test_another_process_and_a_restart_continue_it(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    upstream.script(CALLING, said("One."), said("Two."))
    config = on_disk(upstream, tmp_path)
    async with quick_gateway(config=config) as ours, quick_gateway(config=config) as theirs:
        first = await asked(ours, input="Where?", tools=[TOOL])
        result: Any = {"type": "function_call_output", "call_id": "toolu_1", "output": "nothing"}
        [call] = [item for item in first.output if item.type == "function_call"]
        result["call_id"] = call.call_id
        second = await asked(theirs, input=[result], tools=[TOOL], previous_response_id=first.id)
        thoughts = thinking_of(upstream)
    async with quick_gateway(config=config) as again:
        await asked(again, input="Go on", tools=[TOOL], previous_response_id=second.id)

    assert thoughts == thinking_of(upstream) == [THOUGHT]


async def test_a_stream_has_been_kept_when_its_end_arrives(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    upstream.script(stream_answer(*messages.text_stream()), said("Two."))
    config = on_disk(upstream, tmp_path)
    async with quick_gateway(config=config) as ours, quick_gateway(config=config) as theirs:
        async with ours.openai().responses.stream(model=MODEL, input="Hello") as stream:
            async for event in stream:
                if event.type == "response.completed":
                    found = await theirs.openai().responses.retrieve(event.response.id)
        second = await asked(theirs, input="Go on", previous_response_id=found.id)

    assert found.status == "completed"
    assert second.previous_response_id == found.id
    assert len(upstream.received[-1].json["messages"]) == 3


async def test_a_conversation_grows_with_each_response(upstream: ScriptedUpstream) -> None:
    upstream.script(said("One."), said("Two."))
    async with quick_gateway(key(upstream.base_url)) as running:
        client = running.openai()
        talk = await client.conversations.create(items=[{"role": "user", "content": "Before"}])
        await asked(running, input="First", conversation=talk.id)
        last = await asked(running, input="Second", conversation=talk.id, store=False)
        items = [item async for item in client.conversations.items.list(talk.id, order="asc")]

    texts = [item.content[0].text for item in items if item.type == "message"]  # type: ignore[union-attr]
    assert texts == ["Before", "First", "One.", "Second", "Two."]
    assert last.output_text == "Two."
    assert [turn["role"] for turn in upstream.received[-1].json["messages"]][-3:] == ["user", "assistant", "user"]


async def sent_back_without_seals(running: RunningGateway, first: Response) -> Response:
    """A request with the items of a response as clients send them that rely on the server to know them."""
    result: Any = {"type": "function_call_output", "output": "nothing"}
    items: list[Any] = [{"role": "user", "content": "Where?"}]
    for item in first.output:
        items.append(item.model_dump(exclude_none=True, exclude={"encrypted_content"}))
        if item.type == "function_call":
            result["call_id"] = item.call_id
    return await asked(running, input=[*items, result], tools=[TOOL])


async def test_a_thought_that_comes_back_by_its_id_goes_on_as_it_was_made(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.script(CALLING, said("Nothing there."))
    config = on_disk(upstream, tmp_path)
    async with quick_gateway(config=config) as running:
        first = await asked(running, input="Where?", tools=[TOOL])
    for file in tmp_path.glob("store.db*"):
        if not file.name.endswith(".key") and ".responses" not in file.name:
            # Kept turns know it as well.
            file.unlink()
    async with quick_gateway(config=config) as running:
        client = running.openai()
        second = await sent_back_without_seals(running, first)
        items = [item async for item in client.responses.input_items.list(second.id, order="asc")]

    assert thinking_of(upstream) == [THOUGHT]
    # It is not shown to those who do not ask for it.
    assert [item.encrypted_content for item in items if item.type == "reasoning"] == [None]


async def test_the_blocks_of_a_search_that_come_back_by_id_go_on_as_they_were_made(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    search = messages.tool_block("srvtoolu_1", "web_search", '{"query": "tides"}')
    page = {"type": "web_search_result", "url": "https://tides.example", "title": "Tides", "encrypted_content": "Eq=="}
    found = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [page]}
    blocks = [
        messages.thinking_block("I search.", "EqQBone"),
        search._replace(start={**search.start, "type": "server_tool_use"}),
        messages.Block(found, []),
        messages.thinking_block("I look.", "EqQBtwo"),
        messages.text_block("I look there."),
        messages.tool_block("toolu_1", "look", '{"where": "there"}'),
    ]
    upstream.script(stream_answer(messages.sse(*messages.message_events(*blocks, stop_reason="tool_use"))), said("No."))
    config = on_disk(upstream, tmp_path)
    config = with_settings(config, store=replace(config.store, keep_seconds=0.001))
    async with quick_gateway(config=config) as running:
        first = await asked(running, input="Where?", tools=[TOOL, {"type": "web_search"}])
        await sent_back_without_seals(running, first)

    (turn,) = [turn for turn in upstream.received[-1].json["messages"] if turn["role"] == "assistant"]
    assert [block["type"] for block in turn["content"]] == [
        "thinking", "server_tool_use", "web_search_tool_result", "thinking", "text", "tool_use"
    ]  # fmt: skip
    assert turn["content"][2] == found
    assert [block["signature"] for block in turn["content"] if block["type"] == "thinking"] == ["EqQBone", "EqQBtwo"]


async def test_reasoning_sealed_for_somebody_else_is_reported_and_no_error(upstream: ScriptedUpstream) -> None:
    upstream.script(CALLING, said("Nothing there."))
    names = {"alice": "client-key-of-alice", "bob": "client-key-of-bobby"}
    clients = [ClientConfig(name=name, api_key=Secret(secret)) for name, secret in names.items()]
    async with quick_gateway(config=config_for(key(upstream.base_url), clients=clients)) as running:
        alice, bob = (running.openai(api_key=secret) for secret in names.values())
        first = await alice.responses.create(model=MODEL, input="Where?", tools=[TOOL])
        thought = next(item.model_dump(exclude_none=True) for item in first.output if item.type == "reasoning")
        items: Any = [{"role": "user", "content": "Where?"}, thought, {"role": "user", "content": "Well?"}]
        answer = await bob.responses.with_raw_response.create(model=MODEL, input=items)

    assert thinking_of(upstream) == []
    assert "input.reasoning=dropped" in answer.headers["x-gateway-adjusted"]


async def test_a_reference_stands_for_its_item(upstream: ScriptedUpstream) -> None:
    upstream.script(said("One."), said("Two."))
    async with quick_gateway(key(upstream.base_url)) as running:
        first = await asked(running, input="First")
        reference: Any = {"type": "item_reference", "id": first.output[0].id}
        await asked(running, input=[{"role": "user", "content": "First"}, reference, {"role": "user", "content": "Go"}])
        other: Any = {"type": "item_reference", "id": "msg_" + "0" * 36}
        with pytest.raises(openai.APIStatusError) as refusal:
            await asked(running, input=[other])

    assert [turn["role"] for turn in upstream.received[-1].json["messages"]] == ["user", "assistant", "user"]
    assert refusal.value.status_code in (400, 404)


@pytest.mark.parametrize("more", [{"store": False}, {}])
async def test_what_is_not_stored_cannot_be_continued_and_says_so(
    upstream: ScriptedUpstream, more: dict[str, Any]
) -> None:
    upstream.script(said("One."))
    config = config_for(key(upstream.base_url))
    if not more:
        config = with_settings(config, responses=ResponsesConfig(store=False))
    async with quick_gateway(config=config) as running:
        first = await asked(running, input="First", **more)
        with pytest.raises(openai.BadRequestError) as refusal:
            await asked(running, input="Go on", previous_response_id=first.id)

    assert first.to_dict()["store"] is False
    assert refusal.value.code == "previous_response_not_found"
    assert len(upstream.received) == 1


async def test_a_context_that_is_too_long_is_told_of_the_input(upstream: ScriptedUpstream) -> None:
    upstream.script(error_answer(400, "invalid_request_error", "prompt is too long: 1000001 tokens > 1000000 maximum"))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post("/v1/responses", json={"model": "claude-opus-5-5", "input": "Hello"})

    assert assert_error(response, 400, "invalid_request_error", "context_length_exceeded")["param"] == "input"
