"""What the shipped demo says to mistakes that newcomers make, and what it lets pass."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from gateway.demo import run_simulated_upstream

HELLO: dict[str, Any] = {
    "model": "claude-opus-5-5",
    "max_tokens": 500,
    "messages": [{"role": "user", "content": "Hello"}],
}
TOOL = {"name": "look", "input_schema": {"type": "object", "properties": {}}}
KINDS = "'document', 'image', 'redacted_thinking', 'search_result', 'text', 'thinking', 'tool_result', 'tool_use'"


@pytest.fixture
async def wire() -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"x-api-key": "any"}
    async with (
        run_simulated_upstream(pace_seconds=0) as upstream,
        # Nothing here is encrypted, and reading the system's certificates takes longer than a test.
        httpx2.AsyncClient(base_url=upstream.base_url, headers=headers, verify=False) as client,
    ):
        yield client


def said(content: Any, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content}]}


def picture(**source: Any) -> dict[str, Any]:
    return said([{"type": "image", "source": source}])


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "no messages": ({"messages": []}, "messages: at least one message is required"),
    "messages that are no list": ({"messages": "Hello"}, "messages: Input should be a valid list"),
    "another role": (said("Hello", role="tool"), "messages.0.role: Input should be 'user', 'assistant' or 'system'"),
    "no text": (
        said(""),
        "messages.0: all messages must have non-empty content except for the optional final assistant message",
    ),
    "a part of another API": (
        said([{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]),
        "messages.0.content.0: Input tag 'image_url' found using 'type' does not match any of the expected tags: "
        + KINDS,
    ),
    "a block without a type": (said([{"text": "Hello"}]), "messages.0.content.0.type: Field required"),
    "a text block without text": (said([{"type": "text"}]), "messages.0.content.0.text.text: Field required"),
    "more tokens than the model has": (
        {"max_tokens": 200_000},
        "max_tokens: Input should be between 0 and 128000 for claude-opus-5-5",
    ),
    "fewer tokens than none": (
        {"max_tokens": -1},
        "max_tokens: Input should be between 0 and 128000 for claude-opus-5-5",
    ),
    "a tool of another API": (
        {"tools": [{"type": "function", "function": TOOL}]},
        "tools.0: Input tag 'function' found using 'type' does not match any of the expected tags:"
        " 'bash_20250124', 'custom', 'text_editor_20250728', 'web_search_20260318', ...",
    ),
    "a tool without a schema": ({"tools": [{"name": "look"}]}, "tools.0.custom.input_schema: Field required"),
    "a schema that is none": (
        {"tools": [{"name": "look", "input_schema": {"type": "object", "required": 1}}], **said("Use look")},
        "JSON schema is invalid. It must match JSON Schema draft 2020-12.",
    ),
    "an image that is not Base64": (
        picture(type="base64", media_type="image/png", data="a"),
        "Invalid base64 data",
    ),
    "an image without a kind of source": (picture(url="https://example.com/"), "image.source.type: Field required"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_a_mistake_is_named_with_its_place(wire: httpx2.AsyncClient, mistake: str) -> None:
    change, message = MISTAKES[mistake]
    response = await wire.post("/v1/messages", json=HELLO | change)

    assert response.status_code == 400
    assert response.json()["error"]["message"] == message


@pytest.mark.parametrize("field", ["model", "max_tokens", "messages"])
async def test_a_field_that_is_missing_is_named(wire: httpx2.AsyncClient, field: str) -> None:
    response = await wire.post("/v1/messages", json={name: value for name, value in HELLO.items() if name != field})

    assert response.status_code == 400
    assert response.json()["error"]["message"] == f"{field}: Field required"


async def test_counting_names_a_mistake_as_well(wire: httpx2.AsyncClient) -> None:
    response = await wire.post("/v1/messages/count_tokens", json={"model": HELLO["model"]})

    assert response.status_code == 400
    assert response.json()["error"]["message"] == "messages: Field required"


async def test_a_request_without_a_key_is_told_so(wire: httpx2.AsyncClient) -> None:
    response = await wire.post("/v1/messages", json=HELLO, headers={"x-api-key": ""})

    assert response.status_code == 401
    assert response.json()["error"]["message"] == "x-api-key header is required"


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b"[" * 100_000])
async def test_a_body_that_is_no_request_is_a_400(wire: httpx2.AsyncClient, body: bytes) -> None:
    response = await wire.post("/v1/messages", content=body)

    assert response.status_code == 400


@pytest.mark.parametrize(
    "more",
    [
        {"a_field_of_next_year": {"a": 1}},
        {"temperature": 0.5, "metadata": {"user_id": "me"}},
        {"messages": [*HELLO["messages"], {"role": "assistant", "content": "Hi"}]},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        said([{"type": "tool_result", "tool_use_id": "toolu_of_nobody", "content": "seen"}]),
        said([{"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}], role="assistant"),
    ],
    ids=["unknown field", "sampling", "prefill", "budget", "result without a call", "result of a server tool"],
)
async def test_what_can_be_answered_is_answered(wire: httpx2.AsyncClient, more: dict[str, Any]) -> None:
    response = await wire.post("/v1/messages", json=HELLO | more)

    assert response.status_code == 200, response.text
    assert response.json()["content"]


async def test_thinking_is_signed_and_not_verified(wire: httpx2.AsyncClient) -> None:
    first = (await wire.post("/v1/messages", json=HELLO)).json()["content"]
    changed = copy.deepcopy(first)
    changed[0]["thinking"] = "Something else."
    history = [*HELLO["messages"], {"role": "assistant", "content": changed}, {"role": "user", "content": "Go on"}]
    response = await wire.post("/v1/messages", json=HELLO | {"messages": history})

    assert len(first[0]["signature"]) > 64
    assert response.status_code == 200
    assert response.json()["content"][0]["signature"] != first[0]["signature"]
