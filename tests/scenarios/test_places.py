"""Upstream refuses a part of a request: the caller is told which of its own that is."""

from typing import Any

import pytest

from tests.scenarios.harness import KEY_A, PATH, assert_error, quick_gateway
from tests.support.gateway import key
from tests.support.scripted import error_answer, scripted_upstream

IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("words", ["x", "x" * 300_000], ids=["small", "large"])
async def test_a_place_in_upstreams_error_is_the_callers_own(stream: bool, words: str) -> None:
    content: list[dict[str, Any]] = [{"type": "text", "text": " "}, {"type": "text", "text": words}, IMAGE]
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}]
    body = {"model": "claude-opus-5", "messages": messages, "max_tokens": 2000, "stream": stream}
    theirs = "messages.0.content.1.image.source.url: Could not process image"
    async with scripted_upstream() as upstream, quick_gateway(key(upstream.base_url, api_key=KEY_A)) as gateway:
        upstream.always(error_answer(400, "invalid_request_error", theirs))
        answer = await gateway.http().post(PATH, json=body)

    error = assert_error(answer, 400, "invalid_request_error", None)
    assert error["param"] == "messages[1].content[2]"
    assert error["message"] == "messages[1].content[2].image.source.url: Could not process image"


async def test_of_several_choices_each_tells_the_same_place() -> None:
    body = {"model": "claude-opus-5", "messages": [{"role": "user", "content": "a"}] * 2, "max_tokens": 2000, "n": 2}
    async with scripted_upstream() as upstream, quick_gateway(key(upstream.base_url, api_key=KEY_A)) as gateway:
        upstream.always(error_answer(400, "invalid_request_error", "messages.0.content.1: no"))
        answer = await gateway.http().post(PATH, json=body)

    assert assert_error(answer, 400, "invalid_request_error", None)["param"] == "messages[1].content"


async def test_a_completion_is_told_of_its_prompt() -> None:
    async with scripted_upstream() as upstream, quick_gateway(key(upstream.base_url, api_key=KEY_A)) as gateway:
        upstream.always(error_answer(400, "invalid_request_error", "messages.0.content.0: no"))
        answer = await gateway.http().post("/v1/completions", json={"model": "claude-opus-5", "prompt": "a"})

    assert assert_error(answer, 400, "invalid_request_error", None)["param"] == "prompt"
