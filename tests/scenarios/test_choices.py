"""Several choices: one request of the caller, several upstream, one answer."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.scenarios.harness import (
    KEY_A,
    KEY_B,
    PATH,
    PATIENCE_SECONDS,
    asking,
    data_of,
    no_lease_is_out,
    quick_gateway,
    soon,
)
from tests.support import messages
from tests.support.gateway import RetriesConfig, config_for, key, with_settings
from tests.support.scripted import Answer, Reached, ScriptedUpstream, Wait, error_answer, json_answer, stream_answer

USAGE = {"input_tokens": 10, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 0, "output_tokens": 3}
MARK = {"type": "ephemeral"}
LONG = [{"type": "text", "text": "Hello. " * 3000, "cache_control": MARK}]


def said(text: str) -> list[bytes]:
    return messages.text_stream(text, pieces=[text], message_id=f"msg_{text}", usage=USAGE)


def choices_of(events: list[Any]) -> list[dict[str, Any]]:
    return [choice for event in events if event != "[DONE]" for choice in event["choices"]]


def text_of(events: list[Any], index: int) -> str:
    deltas = [choice["delta"] for choice in choices_of(events) if choice["index"] == index]
    return "".join(delta.get("content") or "" for delta in deltas)


async def test_each_choice_is_a_request_and_the_prompt_counts_once(upstream: ScriptedUpstream) -> None:
    for text in ("one", "two", "three"):
        upstream.script(json_answer(200, messages.message(text, usage=USAGE)))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking(n=3))
        await no_lease_is_out(running)

    body = response.json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert sorted(choice["message"]["content"] for choice in body["choices"]) == ["one", "three", "two"]
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (15, 9)
    assert body["usage"]["total_tokens"] == 24
    assert len(upstream.received) == 3
    assert all("n" not in request.json for request in upstream.received)
    assert len({request.body for request in upstream.received}) == 1


async def test_streamed_choices_share_one_id_one_usage_and_one_end(upstream: ScriptedUpstream) -> None:
    for text in ("one", "two", "three"):
        upstream.script(stream_answer(*said(text)))
    async with quick_gateway(key(upstream.base_url)) as running:
        body = asking(stream=True, n=3, stream_options={"include_usage": True})
        response = await running.http().post(PATH, json=body)
        await no_lease_is_out(running)

    events = data_of(response.text)
    choices = choices_of(events)
    assert sorted(text_of(events, index) for index in range(3)) == ["one", "three", "two"]
    assert sorted(choice["index"] for choice in choices if choice["finish_reason"]) == [0, 1, 2]
    assert [choice["index"] for choice in choices if "role" in choice["delta"]] == [0, 1, 2]
    assert len({event["id"] for event in events[:-1]}) == 1
    assert events[-1] == "[DONE]"
    assert events.count("[DONE]") == 1
    usages = [event["usage"] for event in events[:-1] if event["usage"] is not None]
    assert events[-2]["choices"] == []
    assert len(usages) == 1
    assert (usages[0]["prompt_tokens"], usages[0]["completion_tokens"]) == (15, 9)


async def test_the_official_accumulator_reads_streamed_choices(upstream: ScriptedUpstream) -> None:
    for text in ("one", "two"):
        upstream.script(stream_answer(*said(text)))
    async with quick_gateway(key(upstream.base_url)) as running:
        client = running.openai()
        async with client.chat.completions.stream(
            model="claude-sonnet-5-5", max_tokens=2000, n=2, messages=[{"role": "user", "content": "Hi"}]
        ) as stream:
            final = await stream.get_final_completion()

    assert sorted(choice.message.content or "" for choice in final.choices) == ["one", "two"]


async def test_a_choice_that_is_quicker_waits_for_the_first_to_open(upstream: ScriptedUpstream) -> None:
    gate, second_sent = asyncio.Event(), asyncio.Event()
    slow, quick = said("slow"), said("quick")
    # Which choice is first on the wire is not decided; the one that is served first here is held back.
    upstream.script(
        stream_answer(slow[0], Wait(gate), *slow[1:]),
        stream_answer(*quick, Reached(second_sent)),
    )
    async with quick_gateway(key(upstream.base_url)) as running:
        asked = asyncio.create_task(running.http().post(PATH, json=asking(stream=True, n=2)))
        await soon(second_sent)
        gate.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            response = await asked
        await no_lease_is_out(running)

    openings = [choice["index"] for choice in choices_of(data_of(response.text)) if "role" in choice["delta"]]
    assert openings == [0, 1]


async def test_one_choice_that_fails_fails_all_before_the_stream(upstream: ScriptedUpstream) -> None:
    upstream.script(json_answer(200, messages.message("one")), error_answer(400, "invalid_request_error", "No."))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking(n=2))
        await no_lease_is_out(running)

    assert response.status_code == 400
    assert response.json()["error"]["message"] == "No."


async def test_one_choice_that_fails_in_the_stream_ends_it_with_one_error(upstream: ScriptedUpstream) -> None:
    gate = asyncio.Event()
    whole, broken = said("one"), said("two")
    upstream.script(
        stream_answer(*whole[:4], Wait(gate), *whole[4:]),
        stream_answer(*broken[:4], messages.error_event("overloaded_error", "Overloaded")),
    )
    config = with_settings(config_for(key(upstream.base_url)), retries=RetriesConfig(max_attempts=1))
    async with quick_gateway(config=config) as running:
        response = await running.http().post(PATH, json=asking(stream=True, n=2))
        await no_lease_is_out(running)
        gate.set()

    if response.status_code == 200:
        events = data_of(response.text)
        assert "error" in events[-1]
        assert "[DONE]" not in events
        assert sum("error" in event for event in events) == 1
    else:
        assert response.status_code == 503


async def test_with_a_long_marked_prompt_the_others_wait_for_the_first(upstream: ScriptedUpstream) -> None:
    gate = asyncio.Event()
    first = said("one")
    upstream.script(stream_answer(Wait(gate), *first), stream_answer(*said("two")), stream_answer(*said("three")))
    async with quick_gateway(key(upstream.base_url, api_key=KEY_A)) as running:
        asked = asyncio.create_task(
            running.http().post(
                PATH, json={**asking(stream=True, n=3), "messages": [{"role": "user", "content": LONG}]}
            )
        )
        await upstream.wait_for_requests(1)
        for _ in range(100):
            await asyncio.sleep(0)
        before = len(upstream.received)
        gate.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            response = await asked

    assert before == 1
    assert len(upstream.received) == 3
    assert len([choice for choice in choices_of(data_of(response.text)) if choice["finish_reason"]]) == 3


async def test_a_prompt_too_short_to_be_cached_keeps_nobody_waiting(upstream: ScriptedUpstream) -> None:
    gate = asyncio.Event()
    upstream.script(stream_answer(Wait(gate), *said("one")), stream_answer(Wait(gate), *said("two")))
    short = [{"type": "text", "text": "Hi", "cache_control": MARK}]
    async with quick_gateway(key(upstream.base_url)) as running:
        asked = asyncio.create_task(
            running.http().post(
                PATH, json={**asking(stream=True, n=2), "messages": [{"role": "user", "content": short}]}
            )
        )
        await upstream.wait_for_requests(2)
        gate.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asked

    assert len(upstream.received) == 2


async def test_without_marks_all_start_at_once(upstream: ScriptedUpstream) -> None:
    gate = asyncio.Event()
    upstream.script(stream_answer(Wait(gate), *said("one")), stream_answer(Wait(gate), *said("two")))
    async with quick_gateway(key(upstream.base_url)) as running:
        asked = asyncio.create_task(running.http().post(PATH, json=asking(stream=True, n=2)))
        await upstream.wait_for_requests(2)
        gate.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            response = await asked

    assert json.loads(response.request.content)["n"] == 2
    assert len(upstream.received) == 2


def answering(name: str, *, stream: bool, stop_reason: str = "end_turn") -> Answer:
    """An answer with an id and limits of its own."""
    headers = {"request-id": f"req_{name}", "anthropic-ratelimit-requests-remaining": str(len(name))}
    if stream:
        return stream_answer(*messages.text_stream(name, stop_reason=stop_reason), headers=headers)
    return json_answer(200, messages.message(name, stop_reason=stop_reason), headers)


async def test_headers_and_log_tell_of_all_choices(upstream: ScriptedUpstream, read_log: Callable[[], str]) -> None:
    upstream.by_key(KEY_A, answering("one", stream=False, stop_reason="max_tokens"))
    upstream.by_key(KEY_B, answering("three", stream=False))
    async with quick_gateway(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)) as running:
        response = await running.http().post(PATH, json=asking(n=2, seed=1, temperature=0.5))
        await no_lease_is_out(running)
    log = read_log()

    first, second = (choice["message"]["content"] for choice in response.json()["choices"])
    assert {first, second} == {"one", "three"}
    assert response.headers["x-upstream-request-id"] == f"req_{first},req_{second}"
    assert response.headers["x-ratelimit-remaining-requests"] == str(len(first))
    assert response.headers["x-gateway-adjusted"] == "temperature=dropped:model; seed=dropped:unsupported"
    assert f"upstream_request_id=req_{first},req_{second}" in log
    assert "key=a,b" in log or "key=b,a" in log
    assert "stop_reason=end_turn,max_tokens" in log or "stop_reason=max_tokens,end_turn" in log


@pytest.mark.parametrize("count", [1, 3])
async def test_a_stream_tells_of_the_choices_that_have_begun(
    upstream: ScriptedUpstream, read_log: Callable[[], str], count: int
) -> None:
    names = ["one", "two", "three"][:count]
    upstream.script(*(answering(name, stream=True) for name in names))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking(n=count, stream=True))
        await no_lease_is_out(running)
    log = read_log()

    told = response.headers["x-upstream-request-id"].split(",")
    assert 1 <= len(told) <= count
    assert set(told) <= {f"req_{name}" for name in names}
    assert all(f"req_{name}" in log for name in names)
    assert data_of(response.text)[-1] == "[DONE]"
