"""What the strict double of upstream refuses, and in which words."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.demo import Reader, RunningUpstream, account_of
from gateway.demo.errors import MessagesError
from gateway.demo.events import events, server_sent
from gateway.demo.orders import read_orders
from gateway.demo.reply import reply_to
from tests.support.upstream_rules import StrictReader, run_strict_upstream

NEWEST = "2026-10-21"
FIRST = "2023-06-01"

TOOL = {"name": "look", "input_schema": {"type": "object", "properties": {}}}
STRICT = {"type": "object", "properties": {}, "additionalProperties": False}
MARK = {"cache_control": {"type": "ephemeral"}}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "seen"}
GIF = base64.b64encode(b"GIF89a....").decode()


RICH: dict[str, Any] = {
    "model": "claude-opus-4-6",
    "max_tokens": 500,
    "system": [{"type": "text", "text": "Be kind.", **MARK}],
    "thinking": {"type": "adaptive", "display": "summarized"},
    "tools": [
        {
            "name": "look",
            "strict": True,
            "input_schema": {
                "type": "object",
                "properties": {"n": {"type": "integer"}, "all": {"type": "array", "items": {"$ref": "#/$defs/one"}}},
                "$defs": {"one": {"anyOf": [{"type": "null"}, {"type": "string", "format": "email"}]}},
                "required": ["n", "all"],
                "additionalProperties": False,
            },
        },
        {"type": "bash_20250124", "name": "bash"},
    ],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": False},
    "stop_sequences": ["END"],
    "messages": [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [CALL]},
        {"role": "user", "content": [RESULT, {"type": "text", "text": "Thanks."}]},
        {"role": "assistant", "content": "Well?"},
        {
            "role": "user",
            "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": GIF}},
                {"type": "text", "text": "Use look twice in parallel."},
            ],
        },
    ],
}


@pytest.fixture
async def upstream() -> AsyncIterator[RunningUpstream]:
    async with run_strict_upstream() as running:
        yield running


@pytest.fixture
async def wire(upstream: RunningUpstream) -> AsyncIterator[httpx2.AsyncClient]:
    # Nothing here is encrypted, and reading the system's certificates takes longer than a test.
    async with httpx2.AsyncClient(base_url=upstream.base_url, verify=False) as client:
        yield client


async def answer(wire: httpx2.AsyncClient, version: str = NEWEST, *, beta: str = "", **changes: Any) -> httpx2.Response:
    headers = {"x-api-key": "any", "anthropic-version": version, "anthropic-beta": beta}
    body = {"model": "claude-opus-4-8", "max_tokens": 1000, "messages": [user("Hello")], **changes}
    body = {name: value for name, value in body.items() if value is not ...}
    return await wire.post("/v1/messages", json=body, headers=headers)


async def complaint(wire: httpx2.AsyncClient, version: str = NEWEST, **changes: Any) -> str:
    response = await answer(wire, version, **changes)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    return str(error["message"])


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content[0] if isinstance(content[0], str) else [*content]}


def assistant(*content: Any) -> dict[str, Any]:
    return {**user(*content), "role": "assistant"}


def system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def image(**source: Any) -> dict[str, Any]:
    return {"type": "image", "source": source}


def tool(name: str = "look", **schema: Any) -> dict[str, Any]:
    return {"name": name, "input_schema": schema}


def schema_format(**schema: Any) -> dict[str, Any]:
    return {"format": {"type": "json_schema", "schema": schema}}


RULES: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown field": ({"n": 1}, "n: Extra inputs are not permitted"),
    "a missing max_tokens": ({"max_tokens": ...}, "max_tokens: Field required"),
    "a missing model": ({"model": ...}, "model: Field required"),
    "a number for text": ({"model": 5}, "model: Input should be a valid string"),
    "text for a number": ({"max_tokens": "5"}, "max_tokens: Input should be a valid integer"),
    "a missing role": ({"messages": [{"content": "x"}]}, "messages.0.role: Field required"),
    "an unknown role": ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role: Input should be"),
    "no messages": ({"messages": []}, "messages: at least one message is required"),
    "null content": (
        {"messages": [{"role": "user", "content": None}]},
        "messages.0.content: Input should be a valid string or list",
    ),
    "a beta field without its beta": (
        {"context_management": {"edits": []}},
        "context_management: Extra inputs are not permitted",
    ),
    "too many tokens": (
        {"max_tokens": 128_001},
        "max_tokens: 128001 > 128000, which is the maximum allowed number of output tokens for claude-opus-4-8",
    ),
    "negative tokens": ({"max_tokens": -1}, "max_tokens: Input should be greater than or equal to 0"),
    "streaming nothing": ({"max_tokens": 0, "stream": True}, "max_tokens: 0 cannot be combined with `stream`"),
    "a blank stop sequence": (
        {"stop_sequences": [" "]},
        "stop_sequences: each stop sequence must contain non-whitespace",
    ),
    "a long user id": (
        {"metadata": {"user_id": "x" * 257}},
        "metadata.user_id: String should have at most 256 characters",
    ),
    "a prompt over the window": ({"messages": [user("word " * 900_000)]}, "prompt is too long: "),
    # Thinking and effort.
    "manual thinking on a newer model": (
        {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000},
        '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and'
        ' "output_config.effort" to control thinking behavior.',
    ),
    "adaptive thinking on an older model": (
        {"model": "claude-opus-4-5", "thinking": {"type": "adaptive"}},
        "adaptive thinking is not supported on this model",
    ),
    "switching off what is always on": (
        {"model": "claude-opus-5-5", "thinking": {"type": "disabled"}},
        '"thinking.type.disabled" is not supported for this model. ',
    ),
    "switching off at a high effort": (
        {"model": "claude-opus-5", "thinking": {"type": "disabled"}, "output_config": {"effort": "max"}},
        "\"thinking.type.disabled\" is not supported with effort 'max'.",
    ),
    "a display of nothing": (
        {"thinking": {"type": "disabled", "display": "omitted"}},
        "thinking.disabled.display: Extra inputs are not permitted",
    ),
    "a small budget": (
        {"model": "claude-opus-4-5", "thinking": {"type": "enabled", "budget_tokens": 5}},
        "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
    ),
    "a budget above max_tokens": (
        {"model": "claude-opus-4-5", "thinking": {"type": "enabled", "budget_tokens": 1024}},
        "`max_tokens` must be greater than `thinking.budget_tokens`.",
    ),
    "an effort the model lacks": (
        {"model": "claude-opus-4-5", "output_config": {"effort": "max"}},
        "This model does not support effort level 'max'. Supported levels: high, low, medium.",
    ),
    "any effort on a model without": (
        {"model": "claude-haiku-4-5", "output_config": {"effort": "low"}},
        "This model does not support the effort parameter.",
    ),
    # Tools.
    "a choice without tools": (
        {"tool_choice": {"type": "auto"}},
        "`tool_choice` may only be specified while providing `tools`.",
    ),
    "a choice of an unknown tool": (
        {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "listen"}},
        "Tool 'listen' not found in provided tools",
    ),
    "a flag beside none": (
        {"tools": [TOOL], "tool_choice": {"type": "none", "disable_parallel_tool_use": True}},
        "tool_choice.none.disable_parallel_tool_use: Extra inputs are not permitted",
    ),
    "a forced tool beside manual thinking": (
        {
            "model": "claude-sonnet-4-6",
            "max_tokens": 2000,
            "tools": [TOOL],
            "tool_choice": {"type": "any"},
            "thinking": {"type": "enabled", "budget_tokens": 1024},
        },
        "Thinking may not be enabled when tool_choice forces tool use.",
    ),
    "a tool name with a dot": ({"tools": [tool("a.b", type="object")]}, "tools.0.custom.name: String should match"),
    "two tools of one name": ({"tools": [TOOL, TOOL]}, "tools: Tool names must be unique."),
    "a tool of another protocol": (
        {"tools": [{"type": "function", "function": {"name": "look"}}]},
        "tools.0: Input tag 'function' found using 'type' does not match",
    ),
    "a tool without a schema": ({"tools": [{"name": "look"}]}, "tools.0.custom.input_schema: Field required"),
    "a schema without a type": ({"tools": [tool()]}, "tools.0.custom.input_schema.type: Field required"),
    "a schema that is no object": (
        {"tools": [tool(type="string")]},
        "tools.0.custom.input_schema.type: Input should be 'object'",
    ),
    "a schema of alternatives": (
        {"tools": [tool(type="object", oneOf=[])]},
        "tools.0.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level",
    ),
    "too many strict tools": (
        {"tools": [{"name": f"t{n}", "input_schema": STRICT, "strict": True} for n in range(21)]},
        "Too many strict tools (21). The maximum number of strict tools supported is 20.",
    ),
    "a strict schema that is open": (
        {"tools": [{**TOOL, "strict": True}]},
        "tools.0.custom: For 'object' type, 'additionalProperties' must be explicitly set to false",
    ),
    # Structured output.
    "an open output schema": (
        {"output_config": schema_format(type="object", properties={})},
        "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false",
    ),
    "bounds in an output schema": (
        {"output_config": schema_format(type="integer", minimum=1, maximum=2)},
        "output_config.format.schema: For 'integer' type, properties maximum, minimum are not supported",
    ),
    "oneOf in an output schema": (
        {"output_config": schema_format(oneOf=[{"type": "null"}])},
        "output_config.format.schema: Schema type 'oneOf' is not supported",
    ),
    "a malformed output schema": (
        {"output_config": schema_format(**{**STRICT, "properties": []})},
        "output_config.format.schema: JSON schema is invalid",
    ),
    # Conversations.
    "prefill": (
        {"messages": [user("Hello"), assistant("I")]},
        "This model does not support assistant message prefill. The conversation must end with a user message.",
    ),
    "prefill that ends in white space": (
        {"model": "claude-opus-4-5", "messages": [user("Hello"), assistant("I ")]},
        "messages: final assistant content cannot end with trailing whitespace",
    ),
    "empty content": ({"messages": [user("")]}, "messages.0: all messages must have non-empty content"),
    "an empty text block": ({"messages": [user(text(""))]}, "messages: text content blocks must be non-empty"),
    "a blank text block": (
        {"messages": [user(text(" "))]},
        "messages: text content blocks must contain non-whitespace text",
    ),
    "an unknown block": (
        {"messages": [user({"type": "image_url"})]},
        "messages.0.content.0: Input tag 'image_url' found using 'type' does not match any of the expected tags:",
    ),
    "an unknown field in a block": (
        {"messages": [user(text("x", name="y"))]},
        "messages.0.content.0.text.name: Extra inputs are not permitted",
    ),
    "a call said by the user": (
        {"messages": [user(CALL)]},
        "messages.0.content.0: `tool_use` blocks can only be in `assistant` messages",
    ),
    "a call without a result": (
        {"messages": [user("Hello"), assistant(CALL), user("And?")]},
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1. Each"
        " `tool_use` block must have a corresponding `tool_result` block in the next message.",
    ),
    "a result after other words": (
        {"messages": [user("Hello"), assistant(CALL), user(text("Here:"), RESULT)]},
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1.",
    ),
    "a result without a call": (
        {"messages": [user(RESULT)]},
        "messages.0.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_1.",
    ),
    "two results of one call": (
        {"messages": [user("Hello"), assistant(CALL), user(RESULT, RESULT)]},
        "messages.2: each tool_use must have a single result.",
    ),
    "a call id with a dot": (
        {"messages": [user("Hello"), assistant({**CALL, "id": "a.b"}), user({**RESULT, "tool_use_id": "a.b"})]},
        "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
    ),
    "two calls of one id": (
        {"messages": [user("Hello"), assistant(CALL, CALL), user(RESULT)]},
        "messages: `tool_use` ids must be unique",
    ),
    "a signature from elsewhere": (
        {"messages": [user("Hello"), assistant({"type": "thinking", "thinking": "", "signature": "abc"}), user("?")]},
        "messages.1.content.0: Invalid `signature` in `thinking` block",
    ),
    "a system message in first place": (
        {"messages": [system("Be kind."), user("Hello")]},
        "messages.0: a `system` message cannot be the first message",
    ),
    "a system message before a user's": (
        {"messages": [user("Hello"), system("Be kind."), user("Hello?")]},
        "messages.1: a `system` message must be last or be followed by an `assistant` message",
    ),
    "a system message after an assistant's": (
        {"messages": [user("Hello"), assistant("Yes?"), system("Be kind.")]},
        "messages.2: a `system` message must directly follow a `user` message",
    ),
    "a system message where there are none": (
        {"model": "claude-sonnet-5", "messages": [user("Hello"), system("Be kind.")]},
        'messages: Unexpected role "system".',
    ),
    # Media and caching.
    "an image over plain http": (
        {"messages": [user(image(type="url", url="http://a.example/b.png"))]},
        "messages.0.content.0.image.source.url.url: Only HTTPS URLs are supported.",
    ),
    "an image of another kind": (
        {"messages": [user(image(type="base64", media_type="image/bmp", data=GIF))]},
        "messages.0.content.0.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif'"
        " or 'image/webp'",
    ),
    "an image under a wrong name": (
        {"messages": [user(image(type="base64", media_type="image/png", data=GIF))]},
        "messages.0.content.0.image.source.base64: The image was specified using the image/png media type",
    ),
    "an image that is none": (
        {"messages": [user(image(type="base64", media_type="image/png", data="aGVsbG8="))]},
        "Could not process image",
    ),
    "an image with its data prefix": (
        {"messages": [user(image(type="base64", media_type="image/gif", data=f"data:image/gif;base64,{GIF}"))]},
        "messages.0.content.0.image.source.base64.data: Invalid base64 data",
    ),
    "a bad image in a result": (
        {
            "messages": [
                user("Hello"),
                assistant(CALL),
                user({**RESULT, "content": [image(type="url", url="http://a.example/b.png")]}),
            ]
        },
        "messages.2.content.0.tool_result.content.0.image.source.url.url: Only HTTPS URLs are supported.",
    ),
    "five cache marks": (
        {"messages": [user(*(text(word, **MARK) for word in "abcd"))], **MARK},
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    "a cache mark on nothing": (
        {"messages": [user(text("", **MARK))]},
        "cache_control cannot be set for empty text blocks",
    ),
    "an hour after five minutes": (
        {"system": [text("x", **MARK)], "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        "cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block.",
    ),
}


@pytest.mark.parametrize("rule", RULES)
async def test_a_broken_rule_is_answered_in_the_apis_words(wire: httpx2.AsyncClient, rule: str) -> None:
    changes, message = RULES[rule]

    assert (await complaint(wire, **changes)).startswith(message)


@pytest.mark.parametrize("name", ["temperature", "top_p", "top_k"])
async def test_sampling_is_unknown_to_the_newest_version(wire: httpx2.AsyncClient, name: str) -> None:
    sampling: dict[str, Any] = {name: 1}

    assert await complaint(wire, model="claude-opus-4-6", **sampling) == f"{name}: Extra inputs are not permitted"


@pytest.mark.parametrize(
    ("model", "sampling", "message"),
    [
        ("claude-opus-4-8", {"temperature": 0.5}, "`temperature` is deprecated for this model."),
        ("claude-haiku-5-5", {"top_p": 0.9}, "`top_p` is deprecated for this model."),
        ("claude-opus-5", {"top_k": 5}, "`top_k` is deprecated for this model."),
        ("claude-opus-4-6", {"temperature": 1.5}, "temperature: range: 0..1"),
        (
            "claude-haiku-4-5",
            {"temperature": 0.5, "top_p": 0.5},
            "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
        ),
        (
            "claude-opus-4-6",
            {"temperature": 0.5, "thinking": {"type": "adaptive"}},
            "`temperature` may only be set to 1 when thinking is enabled.",
        ),
    ],
)
async def test_the_first_version_takes_sampling_where_the_model_does(
    wire: httpx2.AsyncClient, model: str, sampling: dict[str, Any], message: str
) -> None:
    assert await complaint(wire, FIRST, model=model, **sampling) == message


async def test_a_forced_tool_is_refused_by_models_that_refuse_it(wire: httpx2.AsyncClient) -> None:
    for model in ("claude-opus-5-5", "claude-sonnet-5-5", "claude-fable-5-1", "claude-fable-5-2"):
        for choice in ({"type": "any"}, {"type": "tool", "name": "look"}):
            message = await complaint(wire, model=model, tools=[TOOL], tool_choice=choice)

            assert message.startswith("tool_choice: forced tool use")


@pytest.mark.parametrize(
    ("version", "changes"),
    [
        (FIRST, {"model": "claude-opus-4-6", "temperature": 0.3, "top_k": 3}),
        (FIRST, {"temperature": 1}),
        (NEWEST, {"model": "claude-opus-4-5", "messages": [user("Hello"), assistant("I")]}),
        (NEWEST, {"messages": [user("Hello"), system("Be kind.")]}),
        (NEWEST, {"messages": [user("Hello"), system("Be kind."), assistant("Yes?"), user("Well")]}),
        (NEWEST, {"messages": [assistant("Welcome"), user("Hello")]}),
        (NEWEST, {"messages": [user("Hello"), assistant(text(" "), CALL), user(RESULT, text("There."))]}),
        (NEWEST, {"messages": [user("a"), user("b"), assistant(CALL), user(RESULT), user("c")]}),
        (NEWEST, {"model": "claude-sonnet-5-5", "thinking": {"type": "between_tools"}}),
        (NEWEST, {"model": "claude-haiku-5-5", "tools": [TOOL], "tool_choice": {"type": "any"}}),
        (NEWEST, {"tools": [{"type": "web_search_20260318", "name": "web_search"}, TOOL]}),
        (NEWEST, {"tools": [{**TOOL, "strict": True, "input_schema": STRICT}]}),
        (NEWEST, {"messages": [user(image(type="base64", media_type="image/gif", data=GIF))]}),
        (NEWEST, {"messages": [user(*(text(word, **MARK) for word in "abc"))], **MARK}),
        (NEWEST, {"output_config": {"effort": "xhigh"}, "service_tier": "auto", "inference_geo": "us"}),
    ],
)
async def test_what_keeps_the_rules_is_answered(
    wire: httpx2.AsyncClient, version: str, changes: dict[str, Any]
) -> None:
    response = await answer(wire, version, **changes)

    assert response.status_code == 200, response.text


CHANGED = {"type": "tool_addition", "tool": {"type": "tool_reference", "name": "look"}}
SCOPED = {"cache_control": {"type": "ephemeral", "scope": "global"}}
FORM = {"type": "json_schema", "schema": STRICT}
# What Claude Code and Anthropic's SDKs send for such as have the beta; for others it is a mistake.
WITH_BETA: list[tuple[str, dict[str, Any], str]] = [
    (
        "mid-conversation-output-config-2026-07-01",
        {"messages": [user("Hello"), {"role": "system", "content": [], "output_config": {"effort": "low"}}]},
        "messages.1.output_config",
    ),
    (
        "mid-conversation-output-config-2026-07-01",
        {"messages": [{"role": "system", "output_config": {"effort": "low"}}, user("Hello")]},
        "messages.0.output_config",
    ),
    (
        "mid-conversation-output-config-2026-07-01",
        {"messages": [user("Hello"), {**system("Be kind."), "output_config": {"effort": "max"}}]},
        "messages.1.output_config",
    ),
    (
        "mid-conversation-system-clear-at-2026-08-21",
        {"messages": [user("Hello"), {**system("Be kind."), "clear_at": "next_user_message"}]},
        "messages.1.clear_at",
    ),
    (
        "mid-conversation-tool-changes-2026-07-01",
        {"messages": [user("Hello"), {"role": "system", "content": [CHANGED]}], "tools": [TOOL]},
        "messages.1.content.0: Input tag 'tool_addition'",
    ),
    (
        "prompt-caching-scope-2026-01-05",
        {"system": [text("Be kind.", **SCOPED)]},
        "cache_control.ephemeral.scope: Extra inputs are not permitted",
    ),
    ("structured-outputs-2025-11-13", {"output_format": FORM}, "output_format: Extra inputs are not permitted"),
]


@pytest.mark.parametrize(("beta", "changes", "mistake"), WITH_BETA)
async def test_what_a_beta_brings_is_for_those_who_ask_for_it(
    wire: httpx2.AsyncClient, beta: str, changes: dict[str, Any], mistake: str
) -> None:
    allowed = await answer(wire, NEWEST, beta=beta, **changes)

    assert allowed.status_code == 200, allowed.text
    assert (await complaint(wire, **changes)).startswith(mistake)


async def test_fields_of_system_messages_are_no_others(wire: httpx2.AsyncClient) -> None:
    said = {**user("Hello"), "output_config": {"effort": "low"}}
    response = await answer(wire, NEWEST, beta="mid-conversation-output-config-2026-07-01", messages=[said])

    assert response.status_code == 400
    assert response.json()["error"]["message"] == "messages.0.output_config: Extra inputs are not permitted"


@pytest.mark.parametrize(
    "block",
    [
        {"type": "mcp_tool_use", "id": "mcptoolu_1", "name": "look", "server_name": "files", "input": {}},
        {"type": "compaction", "content": "They have talked."},
        {"type": "fallback", "to": {"model": "claude-opus-5-5"}},
        {
            "type": "advisor_tool_result",
            "tool_use_id": "srvtoolu_1",
            "content": {"type": "advisor_result", "text": "a"},
        },
        {"type": "container_upload", "file_id": "file_1"},
    ],
    ids=lambda block: block["type"],
)
async def test_blocks_of_earlier_answers_are_taken_back(wire: httpx2.AsyncClient, block: dict[str, Any]) -> None:
    said = [user("a"), assistant(block, text("b")), user("c")]
    response = await answer(wire, NEWEST, beta="compact-2026-01-12", messages=said)

    assert response.status_code == 200, response.text


async def test_thoughts_are_taken_back_only_as_they_were(wire: httpx2.AsyncClient) -> None:
    model: dict[str, Any] = {
        "model": "claude-opus-4-6",
        "max_tokens": 2000,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    thought, spoken = (await answer(wire, **model)).json()["content"]
    ask = [user("Hello"), assistant(thought, spoken), user("Go on")]
    changed = [user("Hello"), assistant({**thought, "thinking": "Other"}, spoken), user("Go on")]
    without = [user("Hello"), assistant(CALL), user(RESULT)]

    assert (await answer(wire, **model, messages=ask)).status_code == 200
    assert "cannot be modified" in await complaint(wire, **model, messages=changed)
    assert "Expected `thinking` or `redacted_thinking`, but found `tool_use`" in await complaint(
        wire, **model, messages=without
    )


async def test_counting_knows_fewer_fields(wire: httpx2.AsyncClient) -> None:
    headers = {"x-api-key": "any", "anthropic-version": NEWEST}
    body = {"model": "claude-opus-4-8", "messages": [user("Hello")]}

    counted = await wire.post("/v1/messages/count_tokens", json=body, headers=headers)
    refused = await wire.post("/v1/messages/count_tokens", json={**body, "max_tokens": 1}, headers=headers)

    assert counted.json() == {"input_tokens": 6}
    assert refused.json()["error"]["message"] == "max_tokens: Extra inputs are not permitted"


@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        ({"anthropic-version": NEWEST}, 401, "x-api-key header is required"),
        ({"anthropic-version": NEWEST, "x-api-key": ""}, 401, "x-api-key header is required"),
        ({"anthropic-version": NEWEST, "authorization": "Basic abc"}, 401, "x-api-key header is required"),
        ({"anthropic-version": NEWEST, "x-api-key": "sk-invalid-1"}, 401, "invalid x-api-key"),
        ({"anthropic-version": NEWEST, "authorization": "Bearer sk-invalid-1"}, 401, "invalid bearer token"),
        ({"x-api-key": "any"}, 400, "anthropic-version: header is required"),
        (
            {"x-api-key": "any", "anthropic-version": "2024-01-01"},
            400,
            'anthropic-version: "2024-01-01" is not a valid version',
        ),
        (
            {"x-api-key": "any", "anthropic-version": NEWEST, "anthropic-beta": "fast"},
            400,
            "Unexpected value(s) `fast` for the `anthropic-beta` header.",
        ),
    ],
)
async def test_a_request_without_the_right_headers_is_refused(
    wire: httpx2.AsyncClient, headers: dict[str, str], status: int, message: str
) -> None:
    body = {"model": "claude-opus-4-8", "max_tokens": 10, "messages": [user("Hello")]}
    response = await wire.post("/v1/messages", json=body, headers=headers)

    assert (response.status_code, response.json()["error"]["message"]) == (status, message)


async def test_a_bearer_token_is_a_key(wire: httpx2.AsyncClient) -> None:
    headers = {"authorization": "Bearer any", "anthropic-version": NEWEST}

    assert (await wire.get("/v1/models", headers=headers)).status_code == 200


async def test_a_retired_model_is_not_found(wire: httpx2.AsyncClient) -> None:
    response = await answer(wire, model="claude-3-opus-20240229")

    assert response.status_code == 404
    assert response.json()["error"]["message"] == "model: claude-3-opus-20240229"


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a value where another could stand: its container and its key."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(-1e9, 1e9)
    | st.text(max_size=9)
    | st.sampled_from(list(RICH)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "text", "a"]), inner),
    max_leaves=5,
)


@pytest.mark.parametrize("reader", [StrictReader(), Reader()], ids=["strict", "demo"])
@given(place=st.integers(0, 200), value=JSON_VALUES)
def test_whatever_is_changed_in_a_request_it_is_answered_or_refused(reader: Reader, place: int, value: Any) -> None:
    body = copy.deepcopy(RICH)
    changed = list(places(body))
    container, key = changed[place % len(changed)]
    container[key] = value

    with suppress(MessagesError):
        account = account_of("any")
        request, prompt = reader.message(json.dumps(body).encode(), {"anthropic-version": NEWEST}, account)
        sign = partial(reader.sign, account=account)
        reply = reply_to(request, prompt, read_orders(prompt.question), sign)

        assert list(server_sent(events(reply)))
        assert reply.usage["output_tokens"] <= request.max_tokens


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b"[" * 100_000, b'{"model": "\\ud800"}'])
async def test_a_body_that_is_no_request_is_a_400(wire: httpx2.AsyncClient, body: bytes) -> None:
    headers = {"x-api-key": "any", "anthropic-version": NEWEST}
    response = await wire.post("/v1/messages", content=body, headers=headers)

    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


async def test_a_body_over_32_megabytes_is_too_large(wire: httpx2.AsyncClient) -> None:
    headers = {"x-api-key": "any", "anthropic-version": NEWEST}
    response = await wire.post("/v1/messages", content=bytes(32 * 1024 * 1024 + 1), headers=headers)

    assert response.status_code == 413
    assert response.json()["error"]["type"] == "request_too_large"


async def test_a_compressed_body_is_refused(wire: httpx2.AsyncClient) -> None:
    headers = {"x-api-key": "any", "anthropic-version": NEWEST, "content-encoding": "gzip"}
    response = await wire.post("/v1/messages", content=b"x", headers=headers)

    assert response.status_code == 400
    assert response.json()["error"]["details"] == {"error_code": "request_body_encoding_unsupported"}
