"""Stop sequences that Messages does not take: the gateway ends the answer, and upstream's."""

from typing import Any

import pytest

from tests.scenarios.harness import (
    PATH,
    asking,
    content_of,
    data_of,
    finish_reasons,
    no_lease_is_out,
    quick_gateway,
)
from tests.support import messages
from tests.support.gateway import key
from tests.support.scripted import ScriptedUpstream, Silence, json_answer, stream_answer

EVENTS = messages.text_stream(pieces=["line one", "\nline two", " and more"])
# Behind the stop upstream would go on for ever: only a gateway that hangs up comes to an end.
ENDLESS = stream_answer(*EVENTS[:4], Silence())
STOP: dict[str, Any] = {"stop": ["END", "\n"]}


async def test_a_stream_ends_at_the_stop_and_upstream_is_hung_up_on(upstream: ScriptedUpstream) -> None:
    upstream.script(ENDLESS)
    async with quick_gateway(key(upstream.base_url)) as running:
        body = asking(stream=True, stream_options={"include_usage": True}, **STOP)
        response = await running.http().post(PATH, json=body)
        await upstream.wait_for_disconnects(1)
        await no_lease_is_out(running)
    events = data_of(response.text)

    assert upstream.received[0].json["stop_sequences"] == ["END"]
    assert (content_of(events), finish_reasons(events), events[-1]) == ("line one", ["stop"], "[DONE]")
    assert "x-gateway-adjusted" not in response.headers
    # What upstream had told by then.
    assert events[-2]["usage"]["prompt_tokens"] == 12


async def test_a_folded_answer_ends_there_too(upstream: ScriptedUpstream) -> None:
    upstream.script(ENDLESS)
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking(max_tokens=None, **STOP))
        await upstream.wait_for_disconnects(1)
        await no_lease_is_out(running)
    (choice,) = response.json()["choices"]

    assert upstream.received[0].json["stream"] is True
    assert (choice["message"]["content"], choice["finish_reason"]) == ("line one", "stop")
    assert response.json()["usage"]["prompt_tokens"] == 12


async def test_an_answer_in_one_piece_is_cut(upstream: ScriptedUpstream) -> None:
    upstream.script(json_answer(200, messages.message("line one\nline two")))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking(stop="\n"))
    (choice,) = response.json()["choices"]

    assert "stop_sequences" not in upstream.received[0].json
    assert (choice["message"]["content"], choice["finish_reason"]) == ("line one", "stop")


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_each_of_several_choices_ends_at_its_own_stop(upstream: ScriptedUpstream, stream: bool) -> None:
    upstream.always(ENDLESS)
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking(stream=stream, max_tokens=None, n=2, **STOP))
        await upstream.wait_for_disconnects(2)
        await no_lease_is_out(running)

    if stream:
        events = data_of(response.text)
        choices: list[Any] = [choice for event in events[:-1] for choice in event["choices"]]
        said = [
            "".join(choice["delta"].get("content") or "" for choice in choices if choice["index"] == index)
            for index in range(2)
        ]
        assert events[-1] == "[DONE]"
        assert finish_reasons(events) == ["stop", "stop"]
    else:
        said = [choice["message"]["content"] for choice in response.json()["choices"]]
    assert said == ["line one", "line one"]


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_legacy_completions_stop_as_well(upstream: ScriptedUpstream, stream: bool) -> None:
    upstream.script(ENDLESS)
    body = {"model": "claude-sonnet-5-5", "prompt": "Hi", "stream": stream, "stop": "\n", "echo": True}
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post("/v1/completions", json=body)
        await upstream.wait_for_disconnects(1)
        await no_lease_is_out(running)
    chunks = data_of(response.text)[:-1] if stream else [response.json()]

    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "Hiline one"
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


async def test_the_connection_of_an_answer_that_was_cut_is_not_used_again(upstream: ScriptedUpstream) -> None:
    upstream.script(ENDLESS, json_answer(200, messages.message("again")))
    async with quick_gateway(key(upstream.base_url)) as running:
        await running.http().post(PATH, json=asking(stream=True, **STOP))
        response = await running.http().post(PATH, json=asking(**STOP))

    assert response.json()["choices"][0]["message"]["content"] == "again"
