"""Conversations made short at a client's wish: the summary, what is kept beside it, and what becomes of it later."""

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from gateway.demo import RunningUpstream
from tests.scenarios.harness import assert_error, quick_gateway
from tests.support import codex
from tests.support.gateway import RunningGateway, key
from tests.support.messages import message, message_events, sse, text_block, text_stream, thinking_block, tool_block
from tests.support.responses_grammar import response_violations, stream_violations
from tests.support.scripted import (
    Answer,
    ReceivedRequest,
    ScriptedUpstream,
    error_answer,
    json_answer,
    scripted_upstream,
)
from tests.support.scripted import stream_answer as streamed
from tests.support.upstream_rules import run_strict_upstream
from translators.responses.compaction import SUMMARY_REQUEST

MODEL = "claude-sonnet-5-5"
TOOL: dict[str, Any] = {
    "type": "function",
    "name": "look",
    "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
}
HISTORY: list[dict[str, Any]] = [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": "Look around."},
    {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "call_1", "output": "A door."},
    {"role": "assistant", "content": "There is a door."},
    {"role": "user", "content": [{"type": "input_text", "text": "Which colour?"}]},
]
PICTURE: dict[str, Any] = {"type": "input_image", "detail": "auto", "image_url": "https://example.org/door.png"}


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with scripted_upstream() as running:
        yield running


@pytest.fixture
async def running(upstream: ScriptedUpstream) -> AsyncIterator[RunningGateway]:
    async with quick_gateway(key(upstream.base_url)) as gateway:
        yield gateway


def summary(text: str = "A door was found.") -> Answer:
    """An answer that thinks first, streamed: the limit of a request without one is the model's own."""
    return streamed(sse(*message_events(thinking_block("Hm."), text_block(text), stop_reason="end_turn")))


def texts_of(messages: list[dict[str, Any]]) -> list[str]:
    """All that is said in messages."""
    contents = [each["content"] for each in messages]
    return [
        text
        for content in contents
        for text in ([content] if isinstance(content, str) else [block.get("text", "") for block in content])
    ]


async def compacted(client: AsyncOpenAI, **fields: Any) -> dict[str, Any]:
    raw = await client.responses.with_raw_response.compact(**{"model": MODEL, **fields})
    answer: dict[str, Any] = json.loads(raw.content)
    return answer


async def test_a_conversation_becomes_what_others_have_said_and_one_item(
    running: RunningGateway, upstream: ScriptedUpstream
) -> None:
    upstream.script(summary())

    answer = await compacted(running.openai(), input=HISTORY, instructions="Speak French.")

    assert list(answer) == ["id", "object", "created_at", "output", "usage"]
    assert answer["object"] == "response.compaction"
    assert answer["id"].startswith("resp_")
    assert answer["usage"]["output_tokens"] > 0
    *said, last = answer["output"]
    assert [(each["type"], each["role"], each["status"], each["content"][0]["text"]) for each in said] == [
        ("message", "developer", "completed", "Be brief."),
        ("message", "user", "completed", "Look around."),
        ("message", "user", "completed", "Which colour?"),
    ]
    assert len({each["id"] for each in answer["output"]}) == 4
    assert last.keys() == {"id", "type", "encrypted_content"}
    assert last["id"].startswith("cmp_")
    assert "door" not in last["encrypted_content"]


@pytest.mark.parametrize("more", [{"type": "input_text", "text": "Tell me."}, PICTURE], ids=["texts", "a picture"])
async def test_what_others_have_said_is_kept_as_it_was_sent(
    running: RunningGateway, upstream: ScriptedUpstream, more: dict[str, Any]
) -> None:
    upstream.script(summary())
    content = [{"type": "input_text", "text": "Look."}, more]

    answer = await compacted(running.openai(), input=[{"role": "user", "content": content}])

    assert answer["output"][0]["content"] == content


async def test_the_model_is_asked_behind_the_conversation_as_it_was(
    running: RunningGateway, upstream: ScriptedUpstream
) -> None:
    upstream.always(summary())
    asked = {"model": MODEL, "input": HISTORY, "instructions": "Speak French.", "tools": [TOOL]}
    form = {"format": {"type": "json_object"}}

    async with running.http() as client:
        await client.post("/v1/responses/compact", json={**asked, "text": form})
        await client.post("/v1/responses", json=asked)

    wished, plain = (received.json for received in upstream.received if received.method == "POST")
    assert wished["tools"] == plain["tools"]
    assert wished["system"] == plain["system"]
    assert wished["tool_choice"] == {"type": "none"}
    assert wished["messages"][: len(plain["messages"]) - 1] == plain["messages"][:-1]
    assert texts_of(wished["messages"])[-2:] == ["Which colour?", SUMMARY_REQUEST]
    assert "format" not in (wished.get("output_config") or {})


async def test_a_later_request_shows_the_summary_in_the_same_bytes_each_time(
    running: RunningGateway, upstream: ScriptedUpstream
) -> None:
    upstream.always(summary())
    client = running.openai()
    items = [*(await compacted(client, input=HISTORY))["output"], {"role": "user", "content": "And now?"}]
    later = [*items, *another_turn(), {"role": "user", "content": "And then?"}]

    await client.responses.create(model=MODEL, input=items)
    # Any model of the same client reads it.
    await client.responses.create(model="claude-opus-5-5", input=later)

    first, second = (received.json["messages"] for received in upstream.received[-2:])
    assert second[: len(first)] == first
    said = texts_of(first)
    assert [text for text in said if text in ("Look around.", "Which colour?")] == ["Look around.", "Which colour?"]
    assert "A door was found." in said[-2]
    assert said[-2].startswith("<summary>")
    assert "There is a door." not in said


def another_turn() -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": "Now it is red."}]


async def test_a_conversation_can_be_compacted_again(running: RunningGateway, upstream: ScriptedUpstream) -> None:
    upstream.script(summary("First."), summary("Second."), summary("Fine."))
    client = running.openai()
    once = (await compacted(client, input=HISTORY))["output"]
    twice = (await compacted(client, input=[*once, *another_turn(), {"role": "user", "content": "More."}]))["output"]

    await client.responses.create(model=MODEL, input=[*twice, {"role": "user", "content": "Go on."}])

    assert [item["type"] for item in twice] == ["message"] * 4 + ["compaction"]
    said = "\n".join(texts_of(upstream.received[-1].json["messages"]))
    assert "Second." in said
    assert "First." not in said
    # The summary before it is what the second was made of.
    assert "First." in "\n".join(texts_of(upstream.received[1].json["messages"]))


async def test_stored_responses_are_compacted_and_continued(
    running: RunningGateway, upstream: ScriptedUpstream
) -> None:
    upstream.script(summary("There is a door."), summary("They found a door."), summary("Red."))
    client = running.openai()
    before = await client.responses.create(model=MODEL, input="Look around.")

    answer = await compacted(client, previous_response_id=before.id)
    await client.responses.create(model=MODEL, input=[*answer["output"], {"role": "user", "content": "Which colour?"}])

    said = texts_of(upstream.received[-1].json["messages"])
    assert said[0] == "Look around."
    assert "They found a door." in said[1]
    assert said[2] == "Which colour?"


async def test_a_summary_of_somebody_else_is_passed_over(running: RunningGateway, upstream: ScriptedUpstream) -> None:
    upstream.script(json_answer(200, message([{"type": "text", "text": "Fine."}])))
    async with running.http() as client:
        item = {"type": "compaction", "encrypted_content": "dg1.Zm9yZWlnbg"}
        body = {"model": MODEL, "input": [*HISTORY, item], "max_output_tokens": 100}
        answer = await client.post("/v1/responses", json=body)

    assert answer.status_code == 200
    assert "input.compaction=dropped:unreadable" in answer.headers["x-gateway-adjusted"]
    assert "There is a door." in texts_of(upstream.received[-1].json["messages"])


async def test_sealed_reasoning_is_no_summary_and_a_summary_no_reasoning(
    running: RunningGateway, upstream: ScriptedUpstream
) -> None:
    upstream.always(summary())
    client = running.openai()
    thought, _ = (await client.responses.create(model=MODEL, input="Hi.", store=False)).output
    (_, item) = (await compacted(client, input="Hi."))["output"]
    assert thought.type == "reasoning"

    async with running.http() as http:
        mixed = [
            {"role": "user", "content": "Hi."},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": item["encrypted_content"]},
            {"role": "assistant", "content": "Hi."},
            {"type": "compaction", "encrypted_content": thought.encrypted_content},
            {"role": "user", "content": "So?"},
        ]
        answer = await http.post("/v1/responses", json={"model": MODEL, "input": mixed})

    assert answer.headers["x-gateway-adjusted"].count("unreadable") == 2


@pytest.mark.parametrize(
    ("made", "status", "code"),
    [
        (message([{"type": "text", "text": " \n"}]), 500, "upstream_error"),
        (message([]), 500, "upstream_error"),
        (message([{"type": "text", "text": "Half"}], stop_reason="max_tokens"), 400, None),
        (message([{"type": "text", "text": "No."}], stop_reason="refusal"), 400, "content_filter"),
    ],
    ids=["blank", "empty", "cut off", "refused"],
)
async def test_half_a_summary_is_none(
    running: RunningGateway, upstream: ScriptedUpstream, made: dict[str, Any], status: int, code: str | None
) -> None:
    upstream.always(json_answer(200, made))
    async with running.http() as client:
        body = {"model": MODEL, "input": "Hello", "max_output_tokens": 100}
        answer = await client.post("/v1/responses/compact", json=body)
        items = [{"role": "user", "content": "Hello"}, {"type": "compaction_trigger"}]
        triggered = await client.post("/v1/responses", json={**body, "input": items})

    type_ = "server_error" if status == 500 else "invalid_request_error"
    assert_error(answer, status, type_, code)
    assert_error(triggered, status, type_, code)


async def test_calls_that_wait_for_their_results_are_not_compacted_away(running: RunningGateway) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await compacted(running.openai(), input=HISTORY[:3])

    assert refused.value.message.endswith("No tool output found for function call call_1.")


# A trigger at the end of the input.


async def test_a_trigger_is_answered_with_the_item_alone(running: RunningGateway, upstream: ScriptedUpstream) -> None:
    upstream.always(summary())
    body = {"model": MODEL, "input": [*HISTORY, {"type": "compaction_trigger"}], "tools": [TOOL], "store": False}

    async with running.http() as client:
        whole = (await client.post("/v1/responses", json=body)).json()
        stream = (await client.post("/v1/responses", json={**body, "stream": True})).content

    assert response_violations(whole) == []
    assert stream_violations(stream) == []
    assert [item["type"] for item in whole["output"]] == ["compaction"]
    kinds = [line.split()[1] for line in stream.decode().splitlines() if line.startswith("event: ")]
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.compaction.compacting",
        "response.output_item.done",
        "response.completed",
    ]
    assert [texts_of(received.json["messages"])[-1] for received in upstream.received] == [SUMMARY_REQUEST] * 2


async def test_a_stored_summary_is_continued_by_its_response(
    running: RunningGateway, upstream: ScriptedUpstream
) -> None:
    upstream.always(summary())
    client = running.openai()
    items: list[Any] = [*HISTORY, {"type": "compaction_trigger"}]
    response = await client.responses.create(model=MODEL, input=items)

    await client.responses.create(model=MODEL, input="And now?", previous_response_id=response.id)

    said = texts_of(upstream.received[-1].json["messages"])
    assert [text for text in said if "<summary>" not in text][-3:] == ["Look around.", "Which colour?", "And now?"]
    assert "A door was found." in said[-2]
    assert "There is a door." not in said
    assert SUMMARY_REQUEST not in said


async def test_another_key_takes_over_while_a_summary_is_written(upstream: ScriptedUpstream) -> None:
    upstream.script(streamed(*text_stream("Half a summary")[:5]), summary("A whole one."))
    keys = (key(upstream.base_url, "one"), key(upstream.base_url, "two", "sk-ant-two"))
    async with (
        quick_gateway(*keys) as running,
        running.openai().responses.stream(
            model=MODEL,
            input=[{"role": "user", "content": "Hello"}, {"type": "compaction_trigger"}],
        ) as stream,
    ):
        response = await stream.get_final_response()

    assert [item.type for item in response.output] == ["compaction"]
    assert len(upstream.received) == 2


async def test_what_codex_sends_under_the_name_of_openai(running: RunningGateway, upstream: ScriptedUpstream) -> None:
    upstream.script(summary("A command was run."), summary("Fine."))
    body = codex.compaction_turn()
    async with running.http() as client:
        stream = (await client.post("/v1/responses", json=body)).content
        done = next(
            json.loads(line.removeprefix("data: "))["item"]
            for line in stream.decode().splitlines()
            if line.startswith("data: ") and '"type":"response.output_item.done"' in line
        )
        users = [item for item in body["input"] if item.get("role")]
        later = await client.post("/v1/responses", json={**body, "input": [*users, done]})

    assert stream_violations(stream) == []
    assert later.status_code == 200
    assert any("A command was run." in text for text in texts_of(upstream.received[-1].json["messages"]))


async def test_what_codex_sends_under_another_name() -> None:
    async with run_strict_upstream() as simulated, quick_gateway(key(simulated.base_url)) as running:
        body = codex.second_turn("It is long.")
        wish = codex.said("user", "Summarize the conversation.")
        async with running.http() as client:
            sent = {**body, "tools": [], "input": [*body["input"], wish]}
            stream = (await client.post("/v1/responses", json=sent)).content

        assert stream_violations(stream) == []
        assert b"response.completed" in stream
        asked = sent_to(simulated)
        assert "tools" not in asked[-1]
        assert "tool_use" in json.dumps(asked[-1]["messages"])


def sent_to(simulated: RunningUpstream) -> list[Any]:
    return [received.body for received in simulated.received if received.path == "/v1/messages"]


def calls(request: ReceivedRequest) -> Answer:
    return streamed(sse(*message_events(tool_block("toolu_1", "look", "{}"), stop_reason="tool_use")))


async def test_a_call_in_place_of_a_summary_is_none(running: RunningGateway, upstream: ScriptedUpstream) -> None:
    upstream.always(calls)
    with pytest.raises(openai.InternalServerError):
        await compacted(running.openai(), input=HISTORY)


# Summaries that upstream writes by itself.


async def test_what_upstream_uses_for_its_summaries_is_counted_but_not_shown(
    running: RunningGateway, upstream: ScriptedUpstream
) -> None:
    used = {"input_tokens": 20, "output_tokens": 5}
    steps = [{"type": "compaction", "input_tokens": 900, "output_tokens": 80}, {"type": "message", **used}]
    blocks = [{"type": "compaction", "content": "A door."}, {"type": "text", "text": "Fine."}]
    upstream.script(json_answer(200, message(blocks, usage={**used, "iterations": steps})))
    rule: dict[str, Any] = {"context_management": [{"type": "compaction"}]}

    response = await running.openai().responses.create(model=MODEL, input="Hello", max_output_tokens=50, **rule)

    assert [item.type for item in response.output] == ["compaction", "message"]
    assert response.usage is not None
    assert response.usage.total_tokens == 25
    (totals,) = running.gateway._totals.clients()
    assert (totals.prompt_tokens, totals.completion_tokens) == (920, 85)
    sent = upstream.received[-1]
    assert sent.json["context_management"] == {"edits": [{"type": "compact_20260112"}]}
    assert sent.headers["anthropic-beta"] == "compact-2026-01-12"


async def test_where_the_host_does_not_know_it_the_rule_is_dropped_and_its_summaries_are_words(
    running: RunningGateway, upstream: ScriptedUpstream
) -> None:
    def answer(request: ReceivedRequest) -> Answer:
        if "compact-2026-01-12" in request.headers.get("anthropic-beta", ""):
            words = "Unexpected value(s) `compact-2026-01-12` for the `anthropic-beta` header."
            return error_answer(400, "invalid_request_error", words)
        return json_answer(200, message([{"type": "text", "text": "Fine."}]))

    blocks = [{"type": "compaction", "content": "A door."}, {"type": "text", "text": "Fine."}]
    upstream.script(json_answer(200, message(blocks)))
    body: dict[str, Any] = {"model": MODEL, "input": "Hello", "max_output_tokens": 50}
    rule = {"context_management": [{"type": "compaction", "compact_threshold": 60_000}]}
    items = (await running.http().post("/v1/responses", json={**body, **rule})).json()["output"]

    upstream.always(answer)
    later = [{"role": "user", "content": "Hello"}, *items, {"role": "user", "content": "And now?"}]
    got = await running.http().post("/v1/responses", json={**body, **rule, "input": later})

    assert got.status_code == 200
    assert got.headers["x-gateway-adjusted"] == "context_management=dropped:model"
    assert texts_of(upstream.received[-1].json["messages"]) == ["Hello", "A door.", "Fine.", "And now?"]


async def test_a_summary_is_made_in_the_background(running: RunningGateway, upstream: ScriptedUpstream) -> None:
    upstream.script(summary())
    client = running.openai()
    items: list[Any] = [{"role": "user", "content": "Hello"}, {"type": "compaction_trigger"}]

    response = await client.responses.create(model=MODEL, input=items, background=True)
    stream = await client.responses.retrieve(response.id, stream=True)
    kinds = [event.type async for event in stream]

    assert kinds[-1] == "response.completed"
    made = await client.responses.retrieve(response.id)
    assert [item.type for item in made.output] == ["compaction"]
