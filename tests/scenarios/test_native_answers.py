"""Native answers in one piece, and refusals: what is the caller's to see passes as it is."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.scenarios.harness import (
    KEY_A,
    KEY_B,
    asking,
    hasty,
    no_lease_is_out,
    pool_of,
    quick_gateway,
    raw_client,
    without_pauses,
)
from tests.scenarios.harness import (
    PATH as CHAT_PATH,
)
from tests.scenarios.native_harness import COUNT_PATH, PATH, asking_natively, assert_native_error
from tests.support import messages
from tests.support.gateway import key
from tests.support.recordings import Recording, recording_params
from tests.support.scripted import (
    REQUEST_ID,
    Answer,
    Close,
    ScriptedUpstream,
    Silence,
    Step,
    error_answer,
    json_answer,
    refusing_upstream,
    stream_answer,
)

# As nobody would write it again.
BODY = (
    b'{ "usage" : {"input_tokens":3,"output_tokens":4,"new":[1.0]}, "content":[ ],\n"x":1e2, "x":"\xc3\xa9\\u00e9" } '
)
SERVED = json_answer(200, messages.message())
SERVED_STREAM = stream_answer(*messages.text_stream())

both = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


@pytest.mark.parametrize("recording", recording_params(streamed=False, status=200, kind="messages"))
async def test_every_recorded_answer_passes_byte_for_byte(upstream: ScriptedUpstream, recording: Recording) -> None:
    upstream.script(json_answer(200, recording.response))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking_natively())

    assert response.content == recording.response


async def test_an_answer_passes_as_the_bytes_it_is(upstream: ScriptedUpstream, read_log: Callable[[], str]) -> None:
    headers = {"content-type": "application/json; charset=utf-8", "anthropic-organization-id": "org", "x-other": "x"}
    upstream.script(json_answer(200, BODY, headers))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking_natively())
        await no_lease_is_out(running)

    assert response.content == BODY
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.headers["request-id"] == REQUEST_ID
    assert response.headers["x-request-id"].startswith("req_")
    names = {"content-type", "content-length", "request-id", "x-request-id", "x-gateway-attempts", "x-gateway-cache"}
    assert set(response.headers) == names
    assert "prompt_tokens=3 completion_tokens=4" in read_log()


LIMITS = {
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "49",
    "anthropic-ratelimit-input-tokens-remaining": "9000",
    "anthropic-priority-input-tokens-limit": "7",
    "anthropic-fast-output-tokens-limit": "8",
}
ACCOUNT = {"anthropic-organization-id": "org", "anthropic-workspace-id": "wrkspc_1"}


def told(headers: Mapping[str, str]) -> dict[str, str]:
    """What an answer says of limits and accounts."""
    return {name: value for name, value in headers.items() if name.startswith("anthropic-")}


@both
@pytest.mark.parametrize("is_refused", [True, False], ids=["refused", "served"])
async def test_limits_are_told_and_whose_account_it_is_only_to_its_owner(
    upstream: ScriptedUpstream, stream: bool, is_refused: bool
) -> None:
    headers = LIMITS | ACCOUNT
    served = stream_answer(*messages.text_stream(), headers=headers) if stream else json_answer(200, BODY, headers)
    upstream.always(error_answer(429, "rate_limit_error", "wait", headers=headers) if is_refused else served)
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)
        pooled = await running.http().post(PATH, json=asking_natively(stream=stream))
    async with quick_gateway(callers_base_url=upstream.base_url) as running:
        without_pauses(running)
        owned = await running.http().post(PATH, json=asking_natively(stream=stream), headers={"x-api-key": KEY_A})

    assert {pooled.status_code, owned.status_code} == {429 if is_refused else 200}
    assert told(pooled.headers) == LIMITS
    assert told(owned.headers) == LIMITS | ACCOUNT


async def test_both_doors_tell_the_same_limits(upstream: ScriptedUpstream) -> None:
    upstream.always(json_answer(200, messages.message(), LIMITS | ACCOUNT))
    async with quick_gateway(key(upstream.base_url)) as running:
        native = await running.http().post(PATH, json=asking_natively())
        chat = await running.http().post(CHAT_PATH, json=asking())

    for name in ("limit", "remaining"):
        assert native.headers[f"anthropic-ratelimit-requests-{name}"] == chat.headers[f"x-ratelimit-{name}-requests"]
    assert told(chat.headers) == {}


async def test_usage_in_a_form_of_tomorrow_keeps_no_answer_back(upstream: ScriptedUpstream) -> None:
    upstream.script(json_answer(200, {"usage": ["later"]}))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking_natively())

    assert response.json() == {"usage": ["later"]}


async def test_an_answer_that_is_not_json_is_tried_again(upstream: ScriptedUpstream) -> None:
    upstream.script(json_answer(200, "<html>"), SERVED)
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=asking_natively())

    assert response.json() == messages.message()


async def test_tokens_are_counted_where_upstream_counts_them(
    upstream: ScriptedUpstream, read_log: Callable[[], str]
) -> None:
    upstream.always(json_answer(200, b'{"input_tokens": 2095}'))
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        # Upstream refuses `stream` here; what it says to that is its own affair.
        answers = [await http.post(path, json=asking_natively(stream=True)) for path in (COUNT_PATH, COUNT_PATH[3:])]
        await no_lease_is_out(running)

    assert [answer.content for answer in answers] == [b'{"input_tokens": 2095}'] * 2
    assert [request.path for request in upstream.received] == [COUNT_PATH] * 2
    assert "prompt_tokens=0" in read_log()


@both
@pytest.mark.parametrize(
    ("status", "type_"),
    [
        (400, "invalid_request_error"),
        (404, "not_found_error"),
        (409, "conflict_error"),
        (413, "request_too_large"),
        (422, "invalid_request_error"),
    ],
)
async def test_what_is_the_requests_fault_passes_with_upstreams_status_and_bytes(
    upstream: ScriptedUpstream, status: int, type_: str, stream: bool
) -> None:
    body = b'{ "type": "error",\n "error": {"type": "%b", "message": "model: no", "details": {"a": 1.0}} }'
    body = body.replace(b"%b", type_.encode())
    upstream.always(json_answer(status, body, {"retry-after": "3", "anthropic-organization-id": "org"}))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=asking_natively(stream=stream))

    assert response.status_code == status
    assert response.content == body
    assert response.headers["request-id"] == REQUEST_ID
    assert response.headers["x-request-id"] != REQUEST_ID
    assert response.headers["retry-after"] == "3"
    assert "anthropic-organization-id" not in response.headers


async def test_a_context_that_is_too_long_is_told_in_upstreams_words(upstream: ScriptedUpstream) -> None:
    upstream.script(error_answer(400, "invalid_request_error", "prompt is too long: 9 > 8"))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking_natively())

    assert response.json()["error"]["message"] == "prompt is too long: 9 > 8"


@pytest.mark.parametrize("body", ["<html>Bad Request</html>", '{"error": "no"}', "[]", ""])
async def test_a_refusal_that_does_not_speak_messages_is_put_into_its_shape(
    upstream: ScriptedUpstream, body: str
) -> None:
    upstream.script(json_answer(400, body, {"content-type": "text/html"}))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking_natively())

    assert_native_error(response, 400, "invalid_request_error")


@both
@pytest.mark.parametrize(
    ("answer", "status", "type_", "retry_after", "should_retry"),
    [
        (error_answer(401, "authentication_error", "bad key"), 503, "api_error", None, "false"),
        (error_answer(402, "billing_error", "no money"), 429, "rate_limit_error", None, "false"),
        (error_answer(403, "permission_error", "model: claude-sonnet-5-5"), 404, "not_found_error", None, None),
        (error_answer(408, "timeout_error", "slow"), 504, "timeout_error", None, None),
        (
            error_answer(429, "rate_limit_error", "wait", headers={"retry-after": "7"}),
            429,
            "rate_limit_error",
            "7",
            None,
        ),
        (error_answer(500, "api_error", "oops"), 500, "api_error", None, None),
        (error_answer(502, "api_error", "oops"), 502, "api_error", None, None),
        (error_answer(503, "api_error", "oops"), 503, "api_error", None, None),
        (error_answer(504, "timeout_error", "slow"), 504, "timeout_error", None, None),
        (error_answer(529, "overloaded_error", "busy"), 529, "overloaded_error", None, None),
        (Answer((Close(),)), 502, "api_error", None, None),
        (json_answer(302, ""), 502, "api_error", None, None),
        (
            error_answer(429, "rate_limit_error", "no", details={"error_code": "enforced_spend_limit_reached"}),
            429,
            "rate_limit_error",
            None,
            "false",
        ),
    ],
)
async def test_the_pools_troubles_are_told_by_the_table(
    upstream: ScriptedUpstream,
    answer: Answer,
    status: int,
    type_: str,
    retry_after: str | None,
    should_retry: str | None,
    stream: bool,
) -> None:
    upstream.always(answer)
    async with quick_gateway(key(upstream.base_url, "a", KEY_A)) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=asking_natively(stream=stream))

    error = assert_native_error(response, status, type_)
    assert "bad key" not in error["message"]
    assert response.headers.get("retry-after") == retry_after
    assert response.headers.get("x-should-retry") == should_retry


@both
async def test_a_silent_upstream_is_504(upstream: ScriptedUpstream, stream: bool) -> None:
    upstream.always(Answer((Silence(),)))
    async with quick_gateway(config=hasty(key(upstream.base_url), first_byte_seconds=0.05)) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=asking_natively(stream=stream))

    assert_native_error(response, 504, "timeout_error")


@both
async def test_an_upstream_that_is_not_there_is_502(stream: bool) -> None:
    with refusing_upstream() as base_url:
        async with quick_gateway(key(base_url)) as running:
            clock = without_pauses(running)
            response = await running.http().post(PATH, json=asking_natively(stream=stream))

    assert_native_error(response, 502, "api_error")
    assert len(clock.pauses) == 2


@both
@pytest.mark.parametrize("status", [401, 402, 403, 429, 500, 529])
async def test_another_key_takes_over(upstream: ScriptedUpstream, status: int, stream: bool) -> None:
    upstream.by_key(KEY_A, error_answer(status, "api_error", "No."))
    upstream.always(SERVED_STREAM if stream else SERVED)
    async with quick_gateway(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=asking_natively(stream=stream))

    assert response.status_code == 200
    assert [request.api_key for request in upstream.received] == [KEY_A, KEY_B]


async def test_chat_and_native_requests_share_what_is_known_of_a_key(upstream: ScriptedUpstream) -> None:
    upstream.by_key(KEY_A, error_answer(401, "authentication_error", "No."))
    upstream.always(SERVED)
    async with quick_gateway(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)) as running:
        http = running.http()
        native = await http.post(PATH, json=asking_natively())
        chat = await http.post(CHAT_PATH, json=asking())

    assert (native.status_code, chat.status_code) == (200, 200)
    assert [request.api_key for request in upstream.received] == [KEY_A, KEY_B, KEY_B]


@pytest.mark.parametrize(
    "refusal",
    [error_answer(429, "rate_limit_error", "Slower."), error_answer(404, "not_found_error", "Not found")],
    ids=["limited", "not offered"],
)
async def test_what_counting_is_refused_does_not_keep_messages_from_being_made(
    upstream: ScriptedUpstream, refusal: Answer
) -> None:
    upstream.script(refusal, SERVED)
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        counted = await http.post(COUNT_PATH, json=asking_natively())
        answered = await http.post(PATH, json=asking_natively())

    assert counted.status_code in (404, 429)
    assert answered.status_code == 200


@pytest.mark.parametrize("status", [400, 401])
async def test_no_key_is_told_even_where_upstream_repeats_it(
    upstream: ScriptedUpstream, read_log: Callable[[], str], status: int
) -> None:
    upstream.always(error_answer(status, "invalid_request_error", f"what is {KEY_A}?"))
    async with quick_gateway(key(upstream.base_url, "a", KEY_A)) as running:
        response = await running.http().post(PATH, json=asking_natively())
        await no_lease_is_out(running)

    assert response.status_code == {400: 400, 401: 503}[status]
    assert KEY_A not in response.text
    assert KEY_A not in read_log()


@both
@pytest.mark.parametrize("steps", [(), (Silence(),)], ids=["at once", "later"])
async def test_a_client_that_leaves_early_ends_the_upstream_request_at_once(
    upstream: ScriptedUpstream, read_log: Callable[[], str], steps: tuple[Step, ...], stream: bool
) -> None:
    first: Any = stream_answer(b": hello\n\n", *steps, Silence())
    upstream.always(first if steps else Answer((Silence(),)))
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        client.send(asking_natively(stream=stream), path=PATH)
        await upstream.wait_for_requests(1)
        client.leave()
        await upstream.wait_for_disconnects(1)
        await no_lease_is_out(running)

    assert pool_of(running).in_flight == 0
    assert f"POST {PATH} 499" in read_log()
    assert len(upstream.received) == 1


async def test_many_native_requests_at_once_keep_to_themselves(upstream: ScriptedUpstream) -> None:
    def echo(request: Any) -> Answer:
        text = request.json["messages"][0]["content"]
        return stream_answer(*messages.text_stream(text)) if request.json["stream"] else json_answer(200, {"it": text})

    upstream.always(echo)
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        asked = [http.post(PATH, json=asking_natively(f"text{n}", stream=n % 2 == 0)) for n in range(40)]
        answers = await asyncio.gather(*asked)

    assert all(f"text{n}" in answer.text for n, answer in enumerate(answers))
