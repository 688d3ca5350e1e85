"""Legacy completions through a running gateway, against an upstream that does as the test says."""

import asyncio
from typing import Any

import httpx2
import pytest

from tests.scenarios.harness import (
    KEY_A,
    KEY_B,
    assert_error,
    data_of,
    finish_reasons,
    no_lease_is_out,
    quick_gateway,
    raw_client,
    soon,
    without_pauses,
)
from tests.support import messages
from tests.support.gateway import ClientConfig, RunningGateway, Secret, config_for, key, with_settings
from tests.support.scripted import (
    Answer,
    Close,
    ReceivedRequest,
    ScriptedUpstream,
    Silence,
    Wait,
    error_answer,
    json_answer,
    stream_answer,
)

PATH = "/v1/completions"
both = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


def asking(prompt: Any = "Hi", *, stream: bool = False, **more: Any) -> dict[str, Any]:
    return {"model": "claude-sonnet-5-5", "prompt": prompt, "max_tokens": 2000, "stream": stream, **more}


def served(stream: bool, text: str = "Hello, world.") -> Answer:
    return stream_answer(*messages.text_stream(text)) if stream else json_answer(200, messages.message(text))


def prompt_of(request: ReceivedRequest) -> str:
    content = request.json["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(block["text"] for block in content)


def repeating(stream: bool) -> Any:
    """Answers each prompt with itself in brackets."""
    return lambda request: served(stream, f"[{prompt_of(request)}]")


def text_of(events: list[Any], index: int = 0) -> str:
    choices = [choice for event in events if event != "[DONE]" for choice in event.get("choices", ())]
    return "".join(choice["text"] for choice in choices if choice["index"] == index)


def texts(response: httpx2.Response, count: int, stream: bool) -> list[str]:
    """What the choices say."""
    if not stream:
        shown: list[str] = [choice["text"] for choice in response.json()["choices"]]
        return shown
    return [text_of(data_of(response.text), index) for index in range(count)]


async def post(running: RunningGateway, body: object, **more: Any) -> httpx2.Response:
    return await running.http().post(PATH, json=body, **more)


@both
@pytest.mark.parametrize("path", [PATH, "/completions"])
async def test_a_prompt_is_answered(upstream: ScriptedUpstream, stream: bool, path: str) -> None:
    upstream.script(repeating(stream))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(path, json=asking("One", stream=stream))
        await no_lease_is_out(running)

    assert response.status_code == 200
    assert texts(response, 1, stream) == ["[One]"]
    expected = "text/event-stream" if stream else "application/json"
    assert response.headers["content-type"].startswith(expected)
    assert response.headers["x-upstream-request-id"] == "req_011CScriptedUpstream"
    if stream:
        events = data_of(response.text)
        assert (events[-1], events.count("[DONE]"), finish_reasons(events)) == ("[DONE]", 1, ["stop"])


@both
async def test_choices_are_in_the_order_of_their_prompts(upstream: ScriptedUpstream, stream: bool) -> None:
    upstream.always(repeating(stream))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await post(running, asking(["A", "B", "C"], n=2, echo=True, stream=stream))

    assert texts(response, 6, stream) == ["A[A]", "A[A]", "B[B]", "B[B]", "C[C]", "C[C]"]
    assert len(upstream.received) == 6


@both
async def test_prompts_are_asked_at_the_same_time(upstream: ScriptedUpstream, stream: bool) -> None:
    gate = asyncio.Event()
    upstream.always(lambda request: Answer((Wait(gate), *repeating(stream)(request).steps)))
    async with quick_gateway(key(upstream.base_url)) as running:
        asked = asyncio.create_task(post(running, asking(["A", "B", "C"], stream=stream)))
        await upstream.wait_for_requests(3)
        gate.set()
        response = await asked

    assert texts(response, 3, stream) == ["[A]", "[B]", "[C]"]


@both
async def test_prompts_that_share_no_cache_do_not_wait_for_each_other(upstream: ScriptedUpstream, stream: bool) -> None:
    # With a cache mark the other choices of a prompt wait for the first one, who writes the cache; other prompts have
    # nothing to wait for.
    gate = asyncio.Event()
    upstream.always(lambda request: Answer((Wait(gate), *repeating(stream)(request).steps)))
    config = config_for(key(upstream.base_url))
    translation = config.translation.__class__(prompt_caching="always")
    async with quick_gateway(config=with_settings(config, translation=translation)) as running:
        asked = asyncio.create_task(post(running, asking(["A", "B"], stream=stream)))
        # It fails by its patience where one waits for the other.
        await upstream.wait_for_requests(2)
        gate.set()
        response = await asked

    assert texts(response, 2, stream) == ["[A]", "[B]"]


@both
async def test_one_prompt_that_fails_fails_all(upstream: ScriptedUpstream, stream: bool) -> None:
    def answer(request: ReceivedRequest) -> Answer:
        if prompt_of(request) == "B":
            return error_answer(400, "invalid_request_error", "messages: not this one")
        return stream_answer(Silence()) if stream else Answer((Silence(),))

    upstream.always(answer)
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await post(running, asking(["A", "B", "C"], stream=stream))
        await no_lease_is_out(running)

    assert assert_error(response, 400, "invalid_request_error", None)["message"] == "messages: not this one"


@both
@pytest.mark.parametrize(
    ("status", "type_", "told", "code"),
    [
        (400, "invalid_request_error", 400, None),
        (429, "rate_limit_error", 429, "rate_limit_exceeded"),
        (529, "overloaded_error", 503, "server_is_overloaded"),
    ],
)
async def test_upstreams_refusals_are_told_as_in_a_chat(
    upstream: ScriptedUpstream, stream: bool, status: int, type_: str, told: int, code: str | None
) -> None:
    upstream.always(error_answer(status, type_, "No."))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)
        response = await post(running, asking(stream=stream))

    assert response.status_code == told
    assert response.json()["error"]["code"] == code


async def test_a_context_that_is_too_long_is_told_of_the_prompt(upstream: ScriptedUpstream) -> None:
    # The caller has sent no `messages` (section 6 of the design: `param` is in the caller's terms).
    upstream.script(error_answer(400, "invalid_request_error", "prompt is too long: 1000001 tokens > 1000000 maximum"))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await post(running, asking())

    error = assert_error(response, 400, "invalid_request_error", "context_length_exceeded")
    assert error["param"] == "prompt"


@both
async def test_another_key_takes_over_before_the_first_text(upstream: ScriptedUpstream, stream: bool) -> None:
    upstream.always(error_answer(529, "overloaded_error", "Busy"), api_key=KEY_A)
    upstream.always(served(stream), api_key=KEY_B)
    async with quick_gateway(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)) as running:
        without_pauses(running)
        response = await post(running, asking(stream=stream, echo=True))

    assert texts(response, 1, stream) == ["HiHello, world."]
    assert [request.api_key for request in upstream.received] == [KEY_A, KEY_B]


async def test_the_echo_is_said_once_where_another_key_takes_over(upstream: ScriptedUpstream) -> None:
    begun = messages.text_stream()[:1]
    upstream.script(stream_answer(*begun, messages.error_event()), served(True))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)
        response = await post(running, asking("Say: ", stream=True, echo=True))

    events = data_of(response.text)
    assert text_of(events) == "Say: Hello, world."
    assert finish_reasons(events) == ["stop"]


@pytest.mark.parametrize("prompts", ["A", ["A", "B"]])
async def test_a_stream_that_is_cut_off_ends_with_an_error(
    upstream: ScriptedUpstream, gate: asyncio.Event, prompts: Any
) -> None:
    upstream.always(stream_answer(*messages.text_stream()[:3], Wait(gate), Close()))
    received = ""
    async with (
        quick_gateway(key(upstream.base_url)) as running,
        running.http().stream("POST", PATH, json=asking(prompts, stream=True)) as response,
    ):
        async for text in response.aiter_text():
            received += text
            # Of two prompts the one that is cut off first ends both, so it has to come after the other's words.
            if "Hello," in received:
                gate.set()

    events = data_of(received)
    assert text_of(events) == "Hello,"
    assert events[-1]["error"]["code"] == "upstream_disconnected"
    assert "[DONE]" not in events
    assert finish_reasons(events) == []


async def test_a_client_that_leaves_takes_all_its_prompts_along(upstream: ScriptedUpstream) -> None:
    upstream.always(stream_answer(*messages.text_stream()[:3], Silence()))
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        client.send(asking(["A", "B"], stream=True), path=PATH)
        await client.head()
        await upstream.wait_for_requests(2)
        client.leave()
        await upstream.wait_for_disconnects(2)
        await no_lease_is_out(running)


async def test_the_first_text_is_passed_on_before_the_rest_is_there(upstream: ScriptedUpstream) -> None:
    gate = asyncio.Event()
    events = messages.text_stream()
    upstream.script(stream_answer(*events[:3], Wait(gate), *events[3:]))
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        client.send(asking(stream=True), path=PATH)
        await client.head()
        first = await client.chunk()
        gate.set()
        await soon(gate)
        rest = await client.chunks()

    assert client.status == 200
    assert text_of(data_of(first.decode())) == "Hello,"
    assert rest[-1].endswith(b"data: [DONE]\n\n")


async def test_a_client_needs_its_key_here_too(upstream: ScriptedUpstream) -> None:
    config = config_for(key(upstream.base_url), clients=[ClientConfig(name="app", api_key=Secret("sk-app-1"))])
    async with quick_gateway(config=config) as running:
        response = await post(running, asking(), headers={"authorization": "Bearer sk-wrong"})

    assert_error(response, 401, "invalid_request_error", "invalid_api_key")
    assert upstream.received == []


@both
async def test_who_wants_no_adjustments_is_refused(upstream: ScriptedUpstream, stream: bool) -> None:
    headers = {"x-gateway-on-unsupported": "reject"}
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await post(running, asking(stream=stream, logprobs=2), headers=headers)

    error = assert_error(response, 400, "invalid_request_error", "unsupported_parameter")
    assert error["param"] == "logprobs"
    assert upstream.received == []


async def test_a_mistake_in_what_upstream_would_refuse_is_told_in_the_callers_terms(upstream: ScriptedUpstream) -> None:
    upstream.script(error_answer(400, "invalid_request_error", "stop_sequences: too many"))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await post(running, asking(stop=["a"]))

    assert assert_error(response, 400, "invalid_request_error", None)["param"] == "stop"


@both
async def test_always_shown_reasoning_has_no_place_in_a_text(upstream: ScriptedUpstream, stream: bool) -> None:
    blocks = [{"type": "thinking", "thinking": "Hm.", "signature": "x"}, {"type": "text", "text": "Yes."}]
    whole = json_answer(200, messages.message(blocks))
    upstream.script(stream_answer(*messages.thinking_stream("Hm.", "Yes.")) if stream else whole)
    config = config_for(key(upstream.base_url))
    translation = config.translation.__class__(show_reasoning="always")
    async with quick_gateway(config=with_settings(config, translation=translation)) as running:
        response = await post(running, asking(stream=stream))

    assert texts(response, 1, stream) == ["Yes."]
    assert "Hm." not in response.text


@both
@pytest.mark.parametrize("prompt", ["", None, " "])
async def test_an_empty_prompt_is_answered(upstream: ScriptedUpstream, stream: bool, prompt: str | None) -> None:
    upstream.script(served(stream))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await post(running, asking(prompt, stream=stream))

    assert texts(response, 1, stream) == ["Hello, world."]
