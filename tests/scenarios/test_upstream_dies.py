"""Upstream is dead, dies, falls silent or talks nonsense: what the caller sees, and who takes over."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import openai
import pytest

from gateway.upstream import direct
from tests.scenarios.harness import (
    KEY_A,
    KEY_B,
    PATH,
    asking,
    assert_broken,
    assert_error,
    assert_whole,
    data_of,
    hasty,
    lively,
    no_lease_is_out,
    quick_gateway,
    without_pauses,
)
from tests.support import messages
from tests.support.gateway import Config, RetriesConfig, config_for, key, with_settings
from tests.support.scripted import (
    Answer,
    Close,
    ReceivedRequest,
    Reset,
    ScriptedUpstream,
    Send,
    Silence,
    Step,
    Wait,
    error_answer,
    json_answer,
    refusing_upstream,
    scripted_upstream,
    stream_answer,
)

both = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])

EVENTS = messages.text_stream()
# message_start and content_block_start say nothing yet; the third event is the first word.
BEFORE_CONTENT, AFTER_CONTENT = EVENTS[:2], EVENTS[:3]
SERVED_WHOLE = json_answer(200, messages.message())
SERVED_STREAM = stream_answer(*EVENTS)


def served(stream: bool) -> Answer:
    return SERVED_STREAM if stream else SERVED_WHOLE


def assert_served(body: str, stream: bool) -> None:
    if stream:
        assert_whole(body)
    else:
        assert '"content":"Hello, world."' in body


@both
async def test_a_refused_connection_is_502_after_all_attempts(stream: bool) -> None:
    with refusing_upstream() as base_url:
        async with quick_gateway(key(base_url)) as running:
            clock = without_pauses(running)

            response = await running.http().post(PATH, json=asking(stream=stream))

    assert_error(response, 502, "server_error", "upstream_unreachable")
    assert len(clock.pauses) == 2


@both
async def test_a_key_at_a_live_host_serves_when_the_other_host_is_dead(
    upstream: ScriptedUpstream, stream: bool
) -> None:
    upstream.always(served(stream))
    with refusing_upstream() as dead:
        async with quick_gateway(key(dead, "dead", KEY_A), key(upstream.base_url, "live", KEY_B)) as running:
            without_pauses(running)
            http = running.http()

            first = await http.post(PATH, json=asking(stream=stream))
            second = await http.post(PATH, json=asking(stream=stream))

    assert_served(first.text, stream)
    assert_served(second.text, stream)
    assert [request.api_key for request in upstream.received] == [KEY_B, KEY_B]


@both
@pytest.mark.parametrize("step", [Close(), Reset()], ids=["close", "reset"])
async def test_a_host_that_hangs_up_without_an_answer_is_502_after_all_attempts(
    upstream: ScriptedUpstream, step: Any, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On the connection that the list of models came by, the first attempt could be sent anew.
    monkeypatch.setattr(direct, "_STALE_SECONDS", -10.0)
    upstream.always(Answer((step,)))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)

        response = await running.http().post(PATH, json=asking(stream=stream))

    assert_error(response, 502, "server_error", "upstream_unreachable")
    assert len(upstream.received) == 3


@both
async def test_a_single_hang_up_is_not_noticed(upstream: ScriptedUpstream, stream: bool) -> None:
    upstream.script(Answer((Close(),)), Answer((Reset(),)), served(stream))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)

        response = await running.http().post(PATH, json=asking(stream=stream))

    assert_served(response.text, stream)


@both
async def test_a_kept_connection_that_was_closed_costs_no_attempt(upstream: ScriptedUpstream, stream: bool) -> None:
    upstream.always(served(stream))
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()

        first = await http.post(PATH, json=asking(stream=stream))
        upstream.close_idle_connections()
        second = await http.post(PATH, json=asking(stream=stream))

    assert_served(first.text, stream)
    assert_served(second.text, stream)
    assert len(upstream.received) == 2


@both
async def test_silence_before_the_head_is_504_after_all_attempts(upstream: ScriptedUpstream, stream: bool) -> None:
    upstream.always(Answer((Silence(),)))
    async with quick_gateway(config=hasty(key(upstream.base_url), first_byte_seconds=0.05)) as running:
        without_pauses(running)

        response = await running.http().post(PATH, json=asking(stream=stream))
        await upstream.wait_for_disconnects(3)

    assert_error(response, 504, "server_error", "upstream_timeout")
    assert len(upstream.received) == 3


@both
async def test_the_wait_for_the_head_does_not_bound_the_pauses_of_the_body(
    upstream: ScriptedUpstream, stream: bool
) -> None:
    gate = asyncio.Event()
    pieces = (
        EVENTS if stream else [b'{"id":"msg_01","type":"message","role":"assistant","model":"m","content":[],', b""]
    )
    whole = json_answer(200, messages.message()).steps[0]
    assert isinstance(whole, Send)
    half = len(whole.data) - 20
    upstream.script(
        stream_answer(*pieces[:2], Wait(gate), *pieces[2:])
        if stream
        else Answer((Send(whole.data[:half]), Wait(gate), Send(whole.data[half:])))
    )
    async with quick_gateway(config=hasty(key(upstream.base_url), first_byte_seconds=0.1)) as running:
        asked = asyncio.create_task(running.http().post(PATH, json=asking(stream=stream)))
        await upstream.wait_for_requests(1)
        # The head came at once; three times its limit go by before the body goes on.
        asyncio.get_running_loop().call_later(0.3, gate.set)
        response = await asked

    assert_served(response.text, stream)


@both
async def test_silence_in_the_body_before_any_content_is_taken_over_by_another_attempt(
    upstream: ScriptedUpstream, stream: bool
) -> None:
    silent = stream_answer(*BEFORE_CONTENT, Silence()) if stream else stream_answer(b'{"id":', Silence())
    upstream.script(silent, served(stream))
    async with quick_gateway(config=hasty(key(upstream.base_url), idle_seconds=0.05)) as running:
        without_pauses(running)

        response = await running.http().post(PATH, json=asking(stream=stream))

    assert_served(response.text, stream)
    assert len(upstream.received) == 2


async def test_silence_after_the_first_content_ends_in_one_error_event(upstream: ScriptedUpstream) -> None:
    upstream.always(stream_answer(*AFTER_CONTENT, Silence()))
    async with quick_gateway(config=hasty(key(upstream.base_url), idle_seconds=0.05)) as running:
        response = await running.http().post(PATH, json=asking(stream=True))
        await no_lease_is_out(running)

    assert response.status_code == 200
    assert_broken(response.text, code="upstream_timeout")
    assert len(upstream.received) == 1


CUTS: dict[str, tuple[bytes | Step, ...]] = {
    "end": (),
    "close": (Close(),),
    "reset": (Reset(),),
    "garbage": (b"event: content_block_delta\ndata: {this is no JSON}\n\n",),
    "not-an-object": (b'data: ["content_block_delta"]\n\n',),
    "broken-framing": (Send(b"no chunk\r\n"),),
    "broken-utf8": (b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\xff"}}\n\n',),
    "number-for-a-text": (
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":17}}\n\n',
    ),
    "overloaded": (messages.error_event("overloaded_error", "Busy"),),
    "api-error": (messages.error_event("api_error", "Broken"),),
    "rate-limited": (messages.error_event("rate_limit_error", "Slow down"),),
    "error-event-of-a-proxy": (b"event: error\ndata: upstream connect error\n\n",),
}
CODES_AFTER_CONTENT = {
    "end": "upstream_disconnected",
    "close": "upstream_disconnected",
    "reset": "upstream_disconnected",
    "garbage": "upstream_protocol_error",
    "not-an-object": "upstream_protocol_error",
    "broken-framing": "upstream_disconnected",
    "broken-utf8": "upstream_protocol_error",
    "number-for-a-text": "upstream_protocol_error",
    "overloaded": "server_is_overloaded",
    "api-error": "upstream_error",
    "rate-limited": "rate_limit_exceeded",
    "error-event-of-a-proxy": "upstream_error",
}


@both
@pytest.mark.parametrize("how", CUTS)
async def test_a_stream_that_breaks_before_its_content_is_taken_over_unseen(
    upstream: ScriptedUpstream, how: str, stream: bool
) -> None:
    upstream.by_key(KEY_A, stream_answer(*BEFORE_CONTENT, *CUTS[how]))
    upstream.by_key(KEY_B, SERVED_STREAM)
    # A whole answer without a limit is fetched as a stream, too.
    limit = 2000 if stream else None
    async with quick_gateway(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)) as running:
        without_pauses(running)

        response = await running.http().post(PATH, json=asking(stream=stream, max_tokens=limit))
        await no_lease_is_out(running)

    assert response.status_code == 200
    assert_served(response.text, stream)
    assert [request.api_key for request in upstream.received] == [KEY_A, KEY_B]


@pytest.mark.parametrize("how", CUTS)
async def test_a_stream_that_breaks_after_its_first_content_ends_in_exactly_one_error_event(
    upstream: ScriptedUpstream, how: str
) -> None:
    upstream.always(stream_answer(*AFTER_CONTENT, *CUTS[how]))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking(stream=True))
        await no_lease_is_out(running)

    assert response.status_code == 200
    error = assert_broken(response.text, code=CODES_AFTER_CONTENT[how])
    upstream_types = {"overloaded": "overloaded_error", "api-error": "api_error", "rate-limited": "rate_limit_error"}
    assert error.get("upstream_type") == upstream_types.get(how)
    assert len(upstream.received) == 1


@pytest.mark.parametrize("how", CUTS)
async def test_a_folded_answer_that_breaks_in_the_middle_is_fetched_again(upstream: ScriptedUpstream, how: str) -> None:
    upstream.script(stream_answer(*AFTER_CONTENT, *CUTS[how]), SERVED_STREAM)
    async with quick_gateway(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)) as running:
        without_pauses(running)

        response = await running.http().post(PATH, json=asking(max_tokens=None))

    assert_served(response.text, stream=False)
    assert len(upstream.received) == 2


async def test_another_attempt_takes_over_although_the_head_has_left(upstream: ScriptedUpstream) -> None:
    gate = asyncio.Event()
    upstream.script(stream_answer(*EVENTS[:1], Wait(gate), Reset()), SERVED_STREAM)
    async with quick_gateway(config=lively(key(upstream.base_url), keepalive_seconds=0.05)) as running:
        without_pauses(running)
        async with running.http().stream("POST", PATH, json=asking(stream=True)) as response:
            # The head is here, sent by the keep-alive; only now does upstream break off.
            lines = response.aiter_lines()
            first = await anext(lines)
            gate.set()
            rest = [line async for line in lines]

    assert json.loads(first.removeprefix("data: "))["choices"][0]["delta"] == {}
    assert_whole("\n".join(rest))
    # What was said of the first attempt is still true of the second.
    assert {event["id"] for event in data_of("\n".join([first, *rest]))[:-1]} == {"chatcmpl-msg_01"}
    assert len(upstream.received) == 2


async def test_when_nobody_can_take_over_after_the_head_has_left_the_stream_ends_in_an_error(
    upstream: ScriptedUpstream,
) -> None:
    gate = asyncio.Event()
    upstream.always(stream_answer(*EVENTS[:1], Wait(gate), messages.error_event("overloaded_error", "Busy")))
    async with quick_gateway(config=lively(key(upstream.base_url), keepalive_seconds=0.05)) as running:
        without_pauses(running)
        async with running.http().stream("POST", PATH, json=asking(stream=True)) as response:
            lines = response.aiter_lines()
            first = await anext(lines)
            gate.set()
            rest = [line async for line in lines]

    assert json.loads(first.removeprefix("data: "))["choices"][0]["delta"] == {}
    assert_broken("\n".join(rest), code="server_is_overloaded", text="")
    assert len(upstream.received) == 3


async def test_errors_in_the_first_read_keep_their_status(upstream: ScriptedUpstream) -> None:
    # All in one read: the failure is known before there was a reason to send the head.
    upstream.always(stream_answer(b"".join([*BEFORE_CONTENT, messages.error_event("overloaded_error", "Busy")])))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)

        response = await running.http().post(PATH, json=asking(stream=True))

    assert_error(response, 503, "service_unavailable_error", "server_is_overloaded")


@both
async def test_a_message_that_ends_without_having_begun_is_a_protocol_error(
    upstream: ScriptedUpstream, stream: bool
) -> None:
    upstream.always(stream_answer(EVENTS[-1]))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)

        response = await running.http().post(PATH, json=asking(stream=stream, max_tokens=None))

    assert_error(response, 502, "server_error", "upstream_protocol_error")
    assert len(upstream.received) == 3


@both
async def test_a_last_event_without_its_blank_line_is_judged_like_any_other(
    upstream: ScriptedUpstream, stream: bool
) -> None:
    # The body ends inside the blank line after an event that is out of order.
    upstream.always(stream_answer(b'event: message_stop\ndata: {"type":"message_stop"}\n'))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)

        response = await running.http().post(PATH, json=asking(stream=stream, max_tokens=None))

    assert_error(response, 502, "server_error", "upstream_protocol_error")


HTML = b"<!doctype html><title>Welcome to nginx!</title>"
NO_ANSWERS = {
    "html": json_answer(200, HTML, {"content-type": "text/html"}),
    "html-as-json": json_answer(200, HTML),
    "html-as-events": stream_answer(HTML),
    "empty": json_answer(200, b""),
    "no-content": json_answer(204, b""),
    "redirect": json_answer(302, b"", {"location": "https://example.com/"}),
    "json-of-another-kind": json_answer(200, {"object": "chat.completion"}),
    "array": json_answer(200, []),
}


@both
@pytest.mark.parametrize("what", NO_ANSWERS)
async def test_an_answer_that_is_no_message_is_upstreams_fault(
    upstream: ScriptedUpstream, what: str, stream: bool
) -> None:
    upstream.always(NO_ANSWERS[what])
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)

        response = await running.http().post(PATH, json=asking(stream=stream))

    error = response.json()["error"]
    assert response.status_code == 502
    assert error["type"] == "server_error"
    assert error["code"] in ("upstream_protocol_error", "upstream_disconnected")
    assert "x-request-id" in response.headers


async def test_events_of_another_content_type_are_refused_where_a_stream_was_due(upstream: ScriptedUpstream) -> None:
    upstream.always(stream_answer(*EVENTS, headers={"content-type": "text/plain"}))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)

        response = await running.http().post(PATH, json=asking(stream=True))

    error = assert_error(response, 502, "server_error", "upstream_protocol_error")
    assert "text/plain" in error["message"]


async def test_a_content_type_is_understood_in_any_case(upstream: ScriptedUpstream) -> None:
    upstream.always(stream_answer(*EVENTS, headers={"content-type": "Text/Event-Stream"}))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)

        response = await running.http().post(PATH, json=asking(stream=True))

    assert_whole(response.text)


async def test_the_official_client_raises_on_a_stream_that_was_cut(upstream: ScriptedUpstream) -> None:
    upstream.always(stream_answer(*AFTER_CONTENT, Close()))
    async with quick_gateway(key(upstream.base_url)) as running:
        chunks = await running.openai().chat.completions.create(**{**asking(), "stream": True})
        with pytest.raises(openai.APIError) as raised:
            [chunk async for chunk in chunks]

    assert raised.value.code == "upstream_disconnected"


@both
async def test_no_attempt_begins_after_the_deadline(upstream: ScriptedUpstream, stream: bool) -> None:
    config: Config = with_settings(config_for(key(upstream.base_url)), retries=RetriesConfig(deadline_seconds=1))
    async with quick_gateway(config=config) as running:
        clock = without_pauses(running)

        def late(_: ReceivedRequest) -> Answer:
            clock.now += 2
            # Not a reset: a connection that the list of models has used before would be taken for stale.
            return error_answer(500, "api_error", "No.")

        upstream.always(late)
        response = await running.http().post(PATH, json=asking(stream=stream))

    assert response.status_code == 500
    assert len(upstream.received) == 1


@both
async def test_two_dead_hosts_are_left_for_a_live_one(upstream: ScriptedUpstream, stream: bool) -> None:
    upstream.always(served(stream))
    async with scripted_upstream() as rude:
        rude.always(Answer((Reset(),)))
        with refusing_upstream() as dead:
            keys = (key(dead, "dead", KEY_A), key(rude.base_url, "rude", KEY_A), key(upstream.base_url, "live", KEY_B))
            async with quick_gateway(*keys) as running:
                without_pauses(running)

                response = await running.http().post(PATH, json=asking(stream=stream))

    assert_served(response.text, stream)


@pytest.mark.parametrize("end", [(), (Close(),)], ids=["its last event is missing", "cut off"])
async def test_the_log_tells_why_a_stream_had_stopped_before_it_failed(
    upstream: ScriptedUpstream, read_log: Callable[[], str], end: tuple[Step, ...]
) -> None:
    events = messages.text_stream(stop_reason="max_tokens")
    upstream.script(stream_answer(*events[:-1], *end))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking(stream=True))
        await no_lease_is_out(running)

    assert '"error"' in response.text
    assert "stop_reason=max_tokens" in read_log()


async def test_the_id_of_the_last_answer_is_told_although_later_attempts_got_none(
    upstream: ScriptedUpstream, read_log: Callable[[], str]
) -> None:
    upstream.script(error_answer(529, "overloaded_error", "Overloaded"))
    upstream.always(Answer((Reset(),)))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=asking())

    assert response.json()["error"]["code"] == "upstream_unreachable"
    assert response.headers["x-upstream-request-id"] == "req_011CScriptedUpstream"
    assert "upstream_request_id=req_011CScriptedUpstream" in read_log()
