"""Upstream says no: what each status means to the caller, how often it is asked again, and which key it costs."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import openai
import pytest

from gateway.keypool.breaker import LONGEST_OPEN_ALONE_SECONDS
from tests.scenarios.harness import (
    KEY_A,
    KEY_B,
    PATH,
    asking,
    assert_broken,
    assert_error,
    assert_whole,
    chat_of,
    no_lease_is_out,
    quick_gateway,
    without_pauses,
)
from tests.support import messages
from tests.support.gateway import PoolConfig, RetriesConfig, config_for, key, with_settings
from tests.support.scripted import Answer, Reset, ScriptedUpstream, error_answer, json_answer, stream_answer

both = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def refusing(status: int, message: str = "No.", **more: Any) -> Answer:
    return error_answer(status, TYPES.get(status, "api_error"), message, **more)


def served(stream: bool) -> Answer:
    return stream_answer(*messages.text_stream()) if stream else json_answer(200, messages.message())


def assert_served(body: str, stream: bool) -> None:
    if stream:
        assert_whole(body)
    else:
        assert '"content":"Hello, world."' in body


class Seen(NamedTuple):
    """What a client sees of an upstream status that does not go away, and how often upstream was asked."""

    status: int
    type: str
    code: str | None
    requests: int
    should_retry: str | None = None


WITH_ONE_KEY = {
    400: Seen(400, "invalid_request_error", None, 1),
    401: Seen(503, "server_error", "upstream_key_rejected", 1, "false"),
    402: Seen(429, "insufficient_quota", "insufficient_quota", 1, "false"),
    403: Seen(403, "invalid_request_error", None, 1),
    404: Seen(404, "invalid_request_error", "model_not_found", 1),
    408: Seen(408, "server_error", "upstream_timeout", 3),
    409: Seen(409, "invalid_request_error", "conflict", 3),
    413: Seen(413, "invalid_request_error", "request_too_large", 1),
    429: Seen(429, "rate_limit_error", "rate_limit_exceeded", 1),
    500: Seen(500, "server_error", "upstream_error", 3),
    502: Seen(502, "server_error", "upstream_error", 3),
    503: Seen(503, "service_unavailable_error", "upstream_unavailable", 3),
    504: Seen(504, "server_error", "upstream_timeout", 3),
    529: Seen(503, "service_unavailable_error", "server_is_overloaded", 3),
}
# The request itself is wrong: no other key would take it.
CALLERS_FAULT = {400, 413}
OF_THE_KEY = {401, 402, 403}


def message_of(status: int) -> str:
    return "model: claude-sonnet-5-5" if status == 404 else "No."


@both
@pytest.mark.parametrize("status", WITH_ONE_KEY)
async def test_a_status_that_does_not_go_away_reaches_the_client_by_the_table(
    upstream: ScriptedUpstream, status: int, stream: bool
) -> None:
    upstream.always(refusing(status, message_of(status)))
    async with quick_gateway(key(upstream.base_url)) as running:
        clock = without_pauses(running)

        response = await running.http().post(PATH, json=asking(stream=stream))
        await no_lease_is_out(running)

    seen = WITH_ONE_KEY[status]
    error = assert_error(response, seen.status, seen.type, seen.code)
    assert error["param"] is None
    assert response.headers.get("x-should-retry") == seen.should_retry
    assert len(upstream.received) == seen.requests
    assert len(clock.pauses) == seen.requests - 1


@both
@pytest.mark.parametrize("status", WITH_ONE_KEY)
async def test_another_key_serves_unless_the_request_is_at_fault(
    upstream: ScriptedUpstream, status: int, stream: bool
) -> None:
    upstream.always(refusing(status, message_of(status)), api_key=KEY_A)
    upstream.always(served(stream), api_key=KEY_B)
    async with quick_gateway(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)) as running:
        without_pauses(running)

        response = await running.http().post(PATH, json=asking(stream=stream))
        await no_lease_is_out(running)

    asked = [request.api_key for request in upstream.received]
    if status in CALLERS_FAULT:
        assert response.status_code == status
        assert asked == [KEY_A]
    else:
        assert_served(response.text, stream)
        assert asked == [KEY_A, KEY_B]


@both
@pytest.mark.parametrize("status", sorted({408, 409, 500, 502, 503, 504, 529}))
async def test_a_trouble_that_passes_is_not_noticed(upstream: ScriptedUpstream, status: int, stream: bool) -> None:
    upstream.script(refusing(status), refusing(status), served(stream))
    async with quick_gateway(key(upstream.base_url)) as running:
        clock = without_pauses(running)

        response = await running.http().post(PATH, json=asking(stream=stream))

    assert_served(response.text, stream)
    assert len(upstream.received) == 3
    assert 0 < clock.pauses[0] < clock.pauses[1] * 2 <= 2


async def test_the_next_attempt_avoids_the_key_that_just_failed_however_heavy_it_is(upstream: ScriptedUpstream) -> None:
    upstream.always(refusing(529), api_key=KEY_A)
    upstream.always(served(False), api_key=KEY_B)
    keys = (key(upstream.base_url, "a", KEY_A, weight=9), key(upstream.base_url, "b", KEY_B, weight=1))
    async with quick_gateway(*keys) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=asking())

    assert response.status_code == 200
    assert [request.api_key for request in upstream.received] == [KEY_A, KEY_B]


@pytest.mark.parametrize("status", [405, 410, 418, 422, 451])
async def test_a_client_error_of_tomorrow_is_not_repeated(upstream: ScriptedUpstream, status: int) -> None:
    upstream.always(error_answer(status, "some_error", "No."))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=asking())

    assert 400 <= response.status_code < 500
    assert len(upstream.received) == 1


@pytest.mark.parametrize("status", [501, 505, 520, 524, 599])
async def test_a_server_error_of_tomorrow_is_repeated(upstream: ScriptedUpstream, status: int) -> None:
    upstream.always(json_answer(status, b"<html>cloudflare</html>", {"content-type": "text/html"}))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=asking())

    error = assert_error(response, 500, "server_error", "upstream_error")
    assert "<html>" not in error["message"]
    assert len(upstream.received) == 3


@pytest.mark.parametrize("attempts", [1, 2, 5])
async def test_the_number_of_attempts_is_the_configured_one(upstream: ScriptedUpstream, attempts: int) -> None:
    upstream.always(refusing(529))
    config = with_settings(config_for(key(upstream.base_url)), retries=RetriesConfig(max_attempts=attempts))
    async with quick_gateway(config=config) as running:
        without_pauses(running)
        await running.http().post(PATH, json=asking())

    assert len(upstream.received) == attempts


async def test_upstreams_own_words_and_type_reach_the_caller(upstream: ScriptedUpstream) -> None:
    upstream.script(refusing(400, "messages.0.content: Input should be a valid string"))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking())

    error = assert_error(response, 400, "invalid_request_error", None)
    # In its own words, but for the place, which is the caller's.
    assert error["message"] == "messages[0].content: Input should be a valid string"
    assert error["param"] == "messages[0]"
    assert error["upstream_type"] == "invalid_request_error"
    assert response.headers["x-upstream-request-id"] == "req_011CScriptedUpstream"


async def test_a_context_that_is_too_long_is_told_in_openais_words(upstream: ScriptedUpstream) -> None:
    upstream.script(refusing(400, "prompt is too long: 1000001 tokens > 1000000 maximum"))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking())

    error = assert_error(response, 400, "invalid_request_error", "context_length_exceeded")
    assert "maximum context length" in error["message"]
    assert len(upstream.received) == 1


@pytest.mark.parametrize(
    "refusal",
    [
        refusing(400, "You have reached your specified workspace API usage limits. Access returns on 2026-12-01."),
        refusing(400, "This organization is on hold.", details={"error_code": "organization_on_hold"}),
        refusing(403, "Key disabled.", details={"error_code": "cmek_key_disabled"}),
        refusing(429, "Spend limit.", details={"error_code": "enforced_spend_limit_reached"}),
    ],
    ids=["own-spend-limit", "on-hold", "cmek", "spend-cap"],
)
async def test_a_refusal_that_is_the_accounts_fault_is_answered_by_another_account(
    upstream: ScriptedUpstream, refusal: Answer
) -> None:
    upstream.always(refusal, api_key=KEY_A)
    upstream.always(served(False), api_key=KEY_B)
    async with quick_gateway(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)) as running:
        without_pauses(running)
        first = await running.http().post(PATH, json=asking())
        second = await running.http().post(PATH, json=asking())

    assert (first.status_code, second.status_code) == (200, 200)
    # The account rests: the second request does not try it.
    assert [request.api_key for request in upstream.received] == [KEY_A, KEY_B, KEY_B]


async def test_a_spend_cap_without_another_account_is_no_cause_to_try_again(upstream: ScriptedUpstream) -> None:
    details = {"error_code": "enforced_spend_limit_reached"}
    upstream.always(refusing(429, "Spend limit.", details=details, headers={"retry-after": "3600"}))
    async with quick_gateway(key(upstream.base_url)) as running:
        clock = without_pauses(running)
        response = await running.http().post(PATH, json=asking())
        clock.now += 600
        later = await running.http().post(PATH, json=asking())

    for answer, seconds in ((response, "3600"), (later, "3000")):
        assert_error(answer, 429, "insufficient_quota", "insufficient_quota")
        assert answer.headers["x-should-retry"] == "false"
        assert answer.headers["retry-after"] == seconds
    assert len(upstream.received) == 1


async def test_a_spend_cap_takes_the_account_out_until_its_date(upstream: ScriptedUpstream) -> None:
    details = {"error_code": "enforced_spend_limit_reached"}
    capped = refusing(429, "Spend limit.", details=details, headers={"retry-after": "3600"})
    upstream.always(capped, api_key=KEY_A)
    upstream.always(served(False), api_key=KEY_B)
    async with quick_gateway(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)) as running:
        clock = without_pauses(running)
        http = running.http()
        await http.post(PATH, json=asking())
        clock.now += 3000
        for _ in range(4):
            await http.post(PATH, json=asking())

    assert [request.api_key for request in upstream.received] == [KEY_A, *[KEY_B] * 5]


@pytest.mark.parametrize("stream", [False, True])
async def test_an_upstream_that_only_fails_is_told_at_once_by_its_status(
    upstream: ScriptedUpstream, stream: bool
) -> None:
    upstream.always(error_answer(500, "api_error", "Internal server error"))
    async with quick_gateway(key(upstream.base_url)) as running:
        clock = without_pauses(running)
        http = running.http()
        before = [await http.post(PATH, json=asking(str(number), stream=stream)) for number in range(5)]
        received = len(upstream.received)
        # Its breaker is open by now, and somebody has to try.
        clock.now += LONGEST_OPEN_ALONE_SECONDS
        trial = await asyncio.wait_for(http.post(PATH, json=asking("Again", stream=stream)), 5)

    for response in (*before, trial):
        assert_error(response, 500, "server_error", "upstream_error")
    assert len(upstream.received) == received + 1


async def test_the_choices_of_one_request_open_no_breaker(upstream: ScriptedUpstream) -> None:
    upstream.always(lambda request: error_answer(500, "api_error", "No.") if b"BAD" in request.body else served(False))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)
        bad = await running.http().post(PATH, json=asking("BAD", n=8))
        good = await running.http().post(PATH, json=asking())

    assert_error(bad, 500, "server_error", "upstream_error")
    assert good.status_code == 200


async def test_the_time_in_line_is_bounded_for_all_attempts_together(upstream: ScriptedUpstream) -> None:
    upstream.always(error_answer(429, "rate_limit_error", "Too fast.", headers={"retry-after-ms": "600"}))
    config = with_settings(config_for(key(upstream.base_url)), pool=PoolConfig(queue_timeout_seconds=1.0))
    async with quick_gateway(config=config) as running:
        response = await running.http().post(PATH, json=asking())

    assert_error(response, 429, "rate_limit_error", "rate_limit_exceeded")
    assert len(upstream.received) == 2


async def test_a_limited_key_is_left_alone_until_its_time_and_then_used_again(upstream: ScriptedUpstream) -> None:
    upstream.by_key(KEY_A, refusing(429, headers={"retry-after": "30"}))
    upstream.always(served(False))
    async with quick_gateway(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)) as running:
        clock = without_pauses(running)
        http = running.http()

        answers = [await http.post(PATH, json=asking())]
        clock.now += 29.9
        answers += [await http.post(PATH, json=asking()) for _ in range(3)]
        early = [request.api_key for request in upstream.received]
        clock.now += 0.2
        answers += [await http.post(PATH, json=asking()) for _ in range(2)]
        late = [request.api_key for request in upstream.received[len(early) :]]

    assert {answer.status_code for answer in answers} == {200}
    assert early == [KEY_A, *[KEY_B] * 4]
    assert KEY_A in late


async def test_a_limit_of_one_model_does_not_rest_the_key_for_another(upstream: ScriptedUpstream) -> None:
    upstream.script(refusing(429, headers={"retry-after": "30"}), served(False))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)
        http = running.http()
        limited = await http.post(PATH, json=asking())
        other = await http.post(PATH, json={**asking(), "model": "claude-haiku-5-5"})

    assert (limited.status_code, other.status_code) == (429, 200)


@both
async def test_when_every_key_is_limited_the_client_learns_for_how_long(
    upstream: ScriptedUpstream, stream: bool
) -> None:
    upstream.always(refusing(429, headers={"retry-after": "12"}))
    async with quick_gateway(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)) as running:
        clock = without_pauses(running)
        http = running.http()

        first = await http.post(PATH, json=asking(stream=stream))
        clock.now += 2
        second = await http.post(PATH, json=asking(stream=stream))

    assert_error(first, 429, "rate_limit_error", "rate_limit_exceeded")
    assert (first.headers["retry-after"], first.headers["retry-after-ms"]) == ("12", "12000")
    error = assert_error(second, 429, "rate_limit_error", "rate_limit_exceeded")
    assert (second.headers["retry-after"], second.headers["retry-after-ms"]) == ("10", "10000")
    # Codex waits as long as these words say.
    assert re.search(r"try again in 10(\.0+)?s", error["message"])
    assert len(upstream.received) == 2


async def test_the_wait_told_is_that_for_the_first_key_to_be_free_again(upstream: ScriptedUpstream) -> None:
    upstream.always(refusing(429, headers={"retry-after": "7"}), api_key=KEY_A)
    upstream.always(refusing(429, headers={"retry-after": "90"}), api_key=KEY_B)
    async with quick_gateway(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=asking())

    assert response.headers["retry-after"] == "7"


async def test_a_limit_without_a_time_is_told_with_the_time_that_the_pool_waits(upstream: ScriptedUpstream) -> None:
    upstream.always(refusing(429))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=asking())

    assert_error(response, 429, "rate_limit_error", "rate_limit_exceeded")
    assert int(response.headers["retry-after"]) >= 1
    assert int(response.headers["retry-after-ms"]) >= 1


async def test_a_wait_that_is_too_long_for_the_sdk_is_in_the_message(upstream: ScriptedUpstream) -> None:
    upstream.always(refusing(429, "This request would exceed your rate limit.", headers={"retry-after": "600"}))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=asking())

    assert response.headers["retry-after"] == "600"
    assert re.search(r"try again in ", response.json()["error"]["message"])


async def test_a_time_in_milliseconds_is_finer_than_one_in_seconds(upstream: ScriptedUpstream) -> None:
    upstream.always(refusing(429, headers={"retry-after-ms": "1500", "retry-after": "2"}))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=asking())

    assert (response.headers["retry-after"], response.headers["retry-after-ms"]) == ("2", "1500")


async def test_a_date_to_wait_for_is_read_by_upstreams_own_clock(upstream: ScriptedUpstream) -> None:
    headers = {"date": "Sat, 21 Nov 2026 04:00:00 GMT", "retry-after": "Sat, 21 Nov 2026 04:00:30 GMT"}
    upstream.always(refusing(429, headers=headers))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=asking())

    assert response.headers["retry-after"] == "30"


@pytest.mark.parametrize("told", ["-5", "nan", "inf", "soon", "", "1e999"])
async def test_a_time_that_is_none_is_not_passed_on(upstream: ScriptedUpstream, told: str) -> None:
    upstream.always(refusing(429, headers={"retry-after": told}))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=asking())

    assert response.status_code == 429
    assert response.headers.get("retry-after", "1").isdecimal()


@both
async def test_when_every_key_is_refused_the_client_is_told_not_to_try_again(
    upstream: ScriptedUpstream, stream: bool
) -> None:
    upstream.always(refusing(401, "invalid x-api-key"))
    async with quick_gateway(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)) as running:
        without_pauses(running)
        http = running.http()
        first = await http.post(PATH, json=asking(stream=stream))
        second = await http.post(PATH, json=asking(stream=stream))

    for response in (first, second):
        error = assert_error(response, 503, "server_error", "upstream_key_rejected")
        assert response.headers["x-should-retry"] == "false"
        assert "invalid x-api-key" not in error["message"]
    # The second request finds both keys resting and asks nobody.
    assert len(upstream.received) == 2


async def test_a_refused_key_beside_a_limited_one_reads_as_the_limit(upstream: ScriptedUpstream) -> None:
    upstream.always(refusing(401), api_key=KEY_A)
    upstream.always(refusing(429, headers={"retry-after": "40"}), api_key=KEY_B)
    async with quick_gateway(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)) as running:
        without_pauses(running)
        http = running.http()
        first = await http.post(PATH, json=asking())
        second = await http.post(PATH, json=asking())

    assert (first.status_code, first.headers["retry-after"]) == (429, "40")
    # The refused key's rest ends earlier, but its end promises nothing.
    assert (second.status_code, second.headers["retry-after"]) == (429, "40")


@pytest.mark.parametrize("status", [403, 404])
async def test_a_model_that_one_account_lacks_is_asked_of_another_and_then_only_there(
    upstream: ScriptedUpstream, status: int
) -> None:
    upstream.always(refusing(status, "model: claude-sonnet-5-5"), api_key=KEY_A)
    upstream.always(served(False), api_key=KEY_B)
    async with quick_gateway(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)) as running:
        without_pauses(running)
        http = running.http()
        answers = [await http.post(PATH, json=asking()) for _ in range(4)]

    assert {answer.status_code for answer in answers} == {200}
    # (key, model) rests: only the first request asks the account that lacks the model.
    assert [request.api_key for request in upstream.received] == [KEY_A, *[KEY_B] * 4]


async def test_a_model_that_no_account_has_is_404_in_openais_words(upstream: ScriptedUpstream) -> None:
    upstream.always(refusing(404, "model: claude-nonsense-1"))
    async with quick_gateway(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)) as running:
        without_pauses(running)
        client = running.openai()
        with pytest.raises(openai.NotFoundError) as raised:
            await client.chat.completions.create(
                model="claude-nonsense-1", messages=[{"role": "user", "content": "Hi"}], max_tokens=2000
            )

    assert raised.value.code == "model_not_found"
    assert "claude-nonsense-1" in raised.value.message
    assert len(upstream.received) == 1


async def test_a_404_of_something_that_is_no_messages_host_is_the_gateways_trouble(upstream: ScriptedUpstream) -> None:
    upstream.always(json_answer(404, b"404 page not found", {"content-type": "text/plain"}))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=asking())

    assert_error(response, 502, "server_error", "upstream_protocol_error")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 529])
@both
async def test_no_key_is_ever_told_even_where_upstream_repeats_it(
    upstream: ScriptedUpstream, read_log: Callable[[], str], status: int, stream: bool
) -> None:
    # OpenAI's "Incorrect API key provided: ..." is in the manner of many proxies, some of which leave nothing out.
    upstream.always(lambda request: refusing(status, f"Key {request.api_key} may not use this model now."))
    async with quick_gateway(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=asking(stream=stream))
    log = read_log()

    assert upstream.received[0].api_key == KEY_A
    assert f"POST {PATH}" in log
    for secret in (KEY_A, KEY_B):
        assert secret not in response.text
        assert secret not in str(response.headers)
        assert secret not in log


async def test_no_key_is_told_in_an_error_event(upstream: ScriptedUpstream, read_log: Callable[[], str]) -> None:
    error = messages.error_event("api_error", f"Failed for key {KEY_A}.")
    upstream.always(stream_answer(*messages.text_stream()[:3], error))
    async with quick_gateway(key(upstream.base_url, "a", KEY_A)) as running:
        response = await running.http().post(PATH, json=asking(stream=True))
    log = read_log()

    assert_broken(response.text, code="upstream_error")
    assert KEY_A not in response.text
    assert KEY_A not in log


async def test_the_log_names_the_key_that_was_refused(upstream: ScriptedUpstream, read_log: Callable[[], str]) -> None:
    upstream.always(refusing(401, "invalid x-api-key"), api_key=KEY_A)
    upstream.always(served(False), api_key=KEY_B)
    keys = (key(upstream.base_url, "the-bad-one", KEY_A), key(upstream.base_url, "b", KEY_B))
    async with quick_gateway(*keys) as running:
        await running.http().post(PATH, json=asking())
    log = read_log()

    assert "the-bad-one" in log
    assert "invalid x-api-key" in log
    assert KEY_A not in log


async def test_a_key_that_cannot_be_a_header_is_not_in_the_log(
    upstream: ScriptedUpstream, read_log: Callable[[], str]
) -> None:
    unusable = KEY_A + "\nx"
    async with quick_gateway(key(upstream.base_url, "a", unusable)) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=asking())
    log = read_log()

    assert response.status_code >= 500
    assert KEY_A not in log
    assert KEY_A not in response.text


async def test_a_reset_key_and_a_refused_key_read_as_the_trouble_that_passes(upstream: ScriptedUpstream) -> None:
    upstream.always(Answer((Reset(),)), api_key=KEY_A)
    upstream.always(refusing(401), api_key=KEY_B)
    async with quick_gateway(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=asking())

    assert_error(response, 502, "server_error", "upstream_unreachable")
    assert "x-should-retry" not in response.headers


async def test_a_good_key_is_found_behind_many_that_are_refused(upstream: ScriptedUpstream) -> None:
    bad = [f"sk-ant-bad-{number}" for number in range(4)]
    for api_key in bad:
        upstream.always(refusing(401), api_key=api_key)
    upstream.always(served(False), api_key=KEY_B)
    keys = [key(upstream.base_url, f"bad-{number}", api_key) for number, api_key in enumerate(bad)]
    async with quick_gateway(*keys, key(upstream.base_url, "good", KEY_B)) as running:
        without_pauses(running)
        http = running.http()
        answers = [await http.post(PATH, json=asking()) for _ in range(2)]

    # "Another is tried; none left: 503". Here one is left.
    assert [answer.status_code for answer in answers] == [200, 200]


@pytest.mark.parametrize(("status", "told"), [(401, ["a"]), (429, []), (529, [])])
async def test_who_keeps_the_keys_is_told_of_a_rejected_one(
    upstream: ScriptedUpstream, status: int, told: list[str]
) -> None:
    upstream.script(refusing(status), served(False))
    seen: list[str] = []
    async with quick_gateway(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)) as running:
        without_pauses(running)
        chat = chat_of(running.gateway)
        chat._services = replace(chat._services, on_refused=seen.append)
        answer = await running.http().post(PATH, json=asking())

    assert_served(answer.text, False)
    assert seen == told
