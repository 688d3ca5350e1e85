"""Upstream's filter has blocked an answer: callers can tell it from a mistake in their request."""

import openai
import pytest

from tests.scenarios.harness import (
    PATH,
    asking,
    assert_error,
    content_of,
    data_of,
    finish_reasons,
    no_lease_is_out,
    quick_gateway,
)
from tests.support import messages
from tests.support.gateway import key
from tests.support.scripted import ScriptedUpstream, error_answer, stream_answer

BLOCKED = "Output blocked by content filtering policy"
ERROR = messages.error_event("invalid_request_error", BLOCKED)
EVENTS = messages.text_stream()
both = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


@both
async def test_an_answer_that_is_blocked_before_it_begins_is_a_400_of_its_own(
    upstream: ScriptedUpstream, stream: bool
) -> None:
    upstream.script(error_answer(400, "invalid_request_error", BLOCKED))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking(stream=stream))
        await no_lease_is_out(running)

    error = assert_error(response, 400, "invalid_request_error", "content_filter")
    assert error["message"] == BLOCKED
    assert len(upstream.received) == 1


@pytest.mark.parametrize("events", [EVENTS[:1], EVENTS[:2]], ids=["no block", "an empty block"])
async def test_so_is_one_that_is_blocked_in_its_stream_before_any_content(
    upstream: ScriptedUpstream, events: list[bytes]
) -> None:
    # In one read, so that the head of the stream has not left.
    upstream.always(stream_answer(b"".join([*events, ERROR])))
    async with quick_gateway(key(upstream.base_url)) as running:
        streamed = await running.http().post(PATH, json=asking(stream=True))
        whole = await running.http().post(PATH, json=asking(max_tokens=None))

    assert_error(streamed, 400, "invalid_request_error", "content_filter")
    assert_error(whole, 400, "invalid_request_error", "content_filter")


async def test_a_stream_that_is_blocked_in_its_text_ends_as_openais_do(upstream: ScriptedUpstream) -> None:
    upstream.script(stream_answer(*EVENTS[:3], ERROR))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking(stream=True))
        await no_lease_is_out(running)
    events = data_of(response.text)

    assert (content_of(events), finish_reasons(events), events[-1]) == ("Hello,", ["content_filter"], "[DONE]")


async def test_a_folded_answer_that_is_blocked_in_its_text_says_so(upstream: ScriptedUpstream) -> None:
    upstream.script(stream_answer(*EVENTS[:3], ERROR))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking(max_tokens=None))
    (choice,) = response.json()["choices"]

    assert (choice["message"]["content"], choice["finish_reason"]) == ("Hello,", "content_filter")


async def test_reasoning_that_is_shown_is_content(upstream: ScriptedUpstream) -> None:
    thinking = messages.thinking_stream("Let me think.", "Hello, world.")
    upstream.always(stream_answer(*thinking[:3], ERROR))
    async with quick_gateway(key(upstream.base_url)) as running:
        streamed = await running.http().post(PATH, json=asking(stream=True, reasoning_effort="high"))
        whole = await running.http().post(PATH, json=asking(max_tokens=None, reasoning_effort="high"))

    assert finish_reasons(data_of(streamed.text)) == ["content_filter"]
    assert whole.json()["choices"][0]["finish_reason"] == "content_filter"


async def test_the_official_client_raises_what_it_raises_for_openais_filter(upstream: ScriptedUpstream) -> None:
    upstream.script(error_answer(400, "invalid_request_error", BLOCKED))
    async with quick_gateway(key(upstream.base_url)) as running:
        with pytest.raises(openai.BadRequestError) as raised:
            await running.openai().chat.completions.create(
                model="claude-sonnet-5-5", messages=[{"role": "user", "content": "Hi"}], max_tokens=2000
            )

    assert raised.value.code == "content_filter"


@pytest.mark.parametrize(
    "message", [f"messages.0.content: {BLOCKED}", f"Input tag '{BLOCKED}' found", "blocked by content filtering policy"]
)
async def test_words_that_upstream_only_quotes_are_no_filter(upstream: ScriptedUpstream, message: str) -> None:
    upstream.script(error_answer(400, "invalid_request_error", message))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking())

    assert_error(response, 400, "invalid_request_error", None)


@both
async def test_callers_of_messages_get_upstreams_own_words(upstream: ScriptedUpstream, stream: bool) -> None:
    upstream.script(
        stream_answer(*EVENTS[:3], ERROR) if stream else error_answer(400, "invalid_request_error", BLOCKED)
    )
    body = asking(stream=stream)
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post("/v1/messages", json=body, headers={"anthropic-version": "2023-06-01"})

    assert response.status_code == (200 if stream else 400)
    assert BLOCKED in response.text
    assert "content_filter" not in response.text
