"""Upstream's errors as ours: section 8 of the wire reference against section 6 of the translation's decisions."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translators.errors import Blame, ErrorKind
from translators.upstream_errors import answered_failure, streamed_failure
from translators.wire.messages import ErrorObject

OWN_SPEND_LIMIT = "You have reached your specified API usage limits. You will regain access on 2026-12-01."
WORKSPACE_SPEND_LIMIT = "You have reached your specified workspace API usage limits."
TIER_SPEND_LIMIT = "You have reached your API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."


def error_body(error_type: str | None, message: str = "Something is wrong.", code: str | None = None) -> bytes:
    error: dict[str, Any] = {"type": error_type, "message": message, "details": {"error_code": code} if code else None}
    return json.dumps({"type": "error", "error": error, "request_id": "req_1"}).encode()


# status, type, error_code, message -> kind, the client's status, type and code
TABLE = [
    (400, "invalid_request_error", None, "x: Field required", "INVALID_REQUEST", 400, "invalid_request_error", None),
    (
        400,
        "invalid_request_error",
        None,
        "prompt is too long: 210000 tokens > 200000 maximum",
        "CONTEXT_TOO_LONG",
        400,
        "invalid_request_error",
        "context_length_exceeded",
    ),
    (400, "invalid_request_error", None, OWN_SPEND_LIMIT, "KEY_REJECTED", 503, "server_error", ...),
    (400, "invalid_request_error", None, WORKSPACE_SPEND_LIMIT, "KEY_REJECTED", 503, "server_error", ...),
    (400, "invalid_request_error", "organization_on_hold", "On hold.", "KEY_REJECTED", 503, "server_error", ...),
    (400, "invalid_request_error", "cmek_key_disabled", "No key.", "KEY_REJECTED", 503, "server_error", ...),
    (400, "invalid_request_error", "cmek_key_network_blocked", "No way.", "KEY_REJECTED", 503, "server_error", ...),
    (
        400,
        "invalid_request_error",
        "tool_name_conflict",
        "Twice.",
        "INVALID_REQUEST",
        400,
        "invalid_request_error",
        ...,
    ),
    (401, "authentication_error", None, "invalid x-api-key", "KEY_REJECTED", 503, "server_error", ...),
    (402, "billing_error", None, "No money.", "KEY_REJECTED", 503, "server_error", ...),
    (402, "billing_error", "linked_organization_spend_limit_reached", "No.", "KEY_REJECTED", 503, "server_error", ...),
    (403, "permission_error", None, "Your key lacks a scope.", "KEY_REJECTED", 503, "server_error", ...),
    (
        403,
        "permission_error",
        None,
        "Your organization may not use the model claude-x.",
        "MODEL_REFUSED",
        404,
        "invalid_request_error",
        "model_not_found",
    ),
    (404, "not_found_error", None, "model: claude-x", "MODEL_REFUSED", 404, "invalid_request_error", "model_not_found"),
    (408, None, None, "", "UPSTREAM_REQUEST_TIMEOUT", 408, ..., ...),
    (409, "conflict_error", None, "Again.", "UPSTREAM_CONFLICT", 409, ..., ...),
    (413, "request_too_large", None, "Too large.", "TOO_LARGE", 413, "invalid_request_error", ...),
    (429, "rate_limit_error", None, "Slow.", "RATE_LIMITED", 429, "rate_limit_error", "rate_limit_exceeded"),
    (429, "rate_limit_error", "ramp_limit_exceeded", "Slow.", "RAMPED_TOO_FAST", 429, "rate_limit_error", "slow_down"),
    (
        429,
        "rate_limit_error",
        "enforced_spend_limit_reached",
        TIER_SPEND_LIMIT,
        "SPEND_LIMIT",
        429,
        "insufficient_quota",
        "insufficient_quota",
    ),
    (
        429,
        "rate_limit_error",
        "contract_spend_limit_reached",
        "Enough.",
        "SPEND_LIMIT",
        429,
        "insufficient_quota",
        "insufficient_quota",
    ),
    (429, "rate_limit_error", "a_new_code", "Slow.", "RATE_LIMITED", 429, "rate_limit_error", "rate_limit_exceeded"),
    (500, "api_error", None, "Internal.", "UPSTREAM_ERROR", 500, "server_error", ...),
    (501, None, None, "", "UPSTREAM_ERROR", 500, "server_error", ...),
    (502, None, None, "", "UPSTREAM_BAD_GATEWAY", 502, "server_error", ...),
    (503, "api_error", "cmek_key_unreachable", "Later.", "UPSTREAM_UNAVAILABLE", 503, ..., ...),
    (504, "timeout_error", None, "Slow.", "UPSTREAM_TIMEOUT", 504, ..., ...),
    (
        529,
        "overloaded_error",
        None,
        "Overloaded",
        "OVERLOADED",
        503,
        "service_unavailable_error",
        "server_is_overloaded",
    ),
    (529, "overloaded_error", "compaction_unavailable", "Overloaded", "OVERLOADED", 503, ..., ...),
    # Statuses that the reference does not tell more of read as their class does.
    (412, None, None, "", "INVALID_REQUEST", 400, "invalid_request_error", None),
    (422, None, None, "", "INVALID_REQUEST", 400, "invalid_request_error", None),
    (431, None, None, "", "INVALID_REQUEST", 400, "invalid_request_error", None),
    (520, None, None, "", "UPSTREAM_ERROR", 500, "server_error", ...),
    (599, None, None, "", "UPSTREAM_ERROR", 500, "server_error", ...),
]


@pytest.mark.parametrize(
    ("status", "error_type", "error_code", "message", "kind", "client_status", "client_type", "client_code"), TABLE
)
def test_an_error_answer_becomes_the_error_of_the_table(
    status: int,
    error_type: str | None,
    error_code: str | None,
    message: str,
    kind: str,
    client_status: int,
    client_type: Any,
    client_code: Any,
) -> None:
    failure = answered_failure(status, error_body(error_type, message, error_code))

    assert failure.kind is ErrorKind[kind]
    assert failure.rule.status == client_status
    assert client_type in (failure.rule.type, ...)
    assert client_code in (failure.code or failure.rule.code, ...)
    assert failure.upstream_type == error_type
    assert failure.message


@pytest.mark.parametrize(
    ("status", "error_type", "error_code", "message"),
    [row[:4] for row in TABLE if row[1] and row[0] not in (408, 502, 503)],
)
def test_inside_a_stream_an_error_means_what_its_status_would_have_meant(
    status: int, error_type: str, error_code: str | None, message: str
) -> None:
    details = {"error_code": error_code} if error_code else None

    streamed = streamed_failure(ErrorObject(error_type, message, details))

    assert streamed.as_json() == answered_failure(status, error_body(error_type, message, error_code)).as_json()


@pytest.mark.parametrize("error_type", ["a_new_error", None, "memory_path_conflict_error"])
def test_an_unknown_type_inside_a_stream_is_upstreams_fault(error_type: str | None) -> None:
    assert streamed_failure(ErrorObject(error_type, "?")).rule.status >= 500


BODIES = [
    b"",
    b"<html><body>502 Bad Gateway</body></html>",
    b"null",
    b"[]",
    b'"text"',
    b'{"error":"text"}',
    b'{"error":null}',
    b'{"detail":"Not Found"}',
    b'{"error":{"type":5,"message":{}}}',
    b'{"type":"error","error":{"type":"api_error","message":"\xff"}}',
    b'{"error":{"message":"\\ud83d"}}',
    b'{"error":' * 100_000,
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 500, 502, 503, 504, 529])
def test_a_body_that_is_not_anthropics_still_gives_the_error_of_its_status(status: int, body: bytes) -> None:
    failure = answered_failure(status, body)

    assert failure.message
    error = json.loads(failure.as_json())["error"]
    assert error.keys() >= {"message", "type", "param", "code"}
    if status not in (403, 404):
        assert failure.kind is answered_failure(status, error_body(None, "")).kind


@given(status=st.integers(400, 599), body=st.binary(max_size=40), is_callers=st.booleans())
def test_no_answer_can_crash_the_reading_of_it(status: int, body: bytes, is_callers: bool) -> None:
    failure = answered_failure(status, body, is_callers_key=is_callers)

    assert json.loads(failure.as_json())["error"]["message"]
    assert (failure.rule.status >= 500) or status < 500


@pytest.mark.parametrize(
    "details",
    ["text", 5, [], {"error_code": 5}, {"error_code": None, "appeal_url": "https://example.com"}, {"unsupported": []}],
)
def test_details_of_another_shape_do_not_hide_the_message(details: Any) -> None:
    error = {"type": "invalid_request_error", "message": "x: Field required", "details": details}
    body = json.dumps({"type": "error", "error": error}).encode()

    failure = answered_failure(400, body)

    assert "x: Field required" in failure.message
    assert failure.upstream_type == "invalid_request_error"


def test_an_address_where_nothing_speaks_messages_is_not_the_callers_fault() -> None:
    failure = answered_failure(404, b"<html>Not Found</html>")

    assert failure.rule.status >= 500


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_an_upstream_that_redirects_is_not_the_callers_fault(status: int) -> None:
    assert answered_failure(status, b"").rule.status >= 500


def test_a_context_that_is_too_long_is_said_in_the_words_that_clients_look_for() -> None:
    failure = answered_failure(400, error_body("invalid_request_error", "prompt is too long: 2 tokens > 1 maximum"))

    assert "maximum context length" in failure.message
    assert "2 tokens > 1 maximum" in failure.message


def test_a_context_that_is_too_long_names_messages_as_its_param() -> None:
    failure = answered_failure(400, error_body("invalid_request_error", "prompt is too long: 2 tokens > 1 maximum"))

    assert failure.param == "messages"


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("temperature: range: 0..1", "temperature"),
        ("stop_sequences: each stop sequence must contain non-whitespace", "stop"),
        ("`top_p` is deprecated for this model.", "top_p"),
        ("tools.0.custom.input_schema.type: Field required", "tools[0].function.parameters"),
    ],
)
def test_a_400_about_a_field_names_it_in_the_callers_terms(message: str, param: str) -> None:
    failure = answered_failure(400, error_body("invalid_request_error", message))

    assert failure.param is not None
    assert failure.param.startswith(param)


POOL_SECRETS = [
    (401, "authentication_error", None, "invalid x-api-key sk-ant-api03-secret"),
    (402, "billing_error", None, "sk-ant-api03-secret has no money"),
    (400, "invalid_request_error", None, OWN_SPEND_LIMIT),
    (429, "rate_limit_error", "enforced_spend_limit_reached", TIER_SPEND_LIMIT),
    (403, "permission_error", None, "sk-ant-api03-secret lacks a scope"),
]


@pytest.mark.parametrize(("status", "error_type", "error_code", "message"), POOL_SECRETS)
def test_what_is_wrong_with_the_pools_keys_is_for_the_log_and_not_for_the_caller(
    status: int, error_type: str, error_code: str | None, message: str
) -> None:
    failure = answered_failure(status, error_body(error_type, message, error_code))

    assert message not in failure.message
    assert "secret" not in failure.as_json().decode()
    assert message in failure.said
    assert failure.rule.retry
    assert failure.rule.blame in (Blame.KEY, Blame.ORGANISATION)
    assert failure.rule.sdk_retry is False
    assert failure.rule.status != 401


CALLERS_KEY = [
    (401, "authentication_error", None, "invalid x-api-key", 401, "invalid_api_key"),
    (402, "billing_error", None, "No money.", 429, "insufficient_quota"),
    (403, "permission_error", None, "Your key lacks a scope.", 403, None),
    (400, "invalid_request_error", None, OWN_SPEND_LIMIT, 400, None),
    (400, "invalid_request_error", "organization_on_hold", "On hold.", 400, None),
    (429, "rate_limit_error", "enforced_spend_limit_reached", TIER_SPEND_LIMIT, 429, "insufficient_quota"),
    (429, "rate_limit_error", None, "Slow.", 429, "rate_limit_exceeded"),
    (404, "not_found_error", None, "model: x", 404, "model_not_found"),
    (529, "overloaded_error", None, "Overloaded", 503, "server_is_overloaded"),
]


@pytest.mark.parametrize(("status", "error_type", "error_code", "message", "client_status", "code"), CALLERS_KEY)
def test_what_is_wrong_with_the_callers_own_key_is_told_to_the_caller(
    status: int, error_type: str, error_code: str | None, message: str, client_status: int, code: str | None
) -> None:
    failure = answered_failure(status, error_body(error_type, message, error_code), is_callers_key=True)

    assert (failure.rule.status, failure.code or failure.rule.code) == (client_status, code)
    assert failure.message == message


DATE = "Sat, 21 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "30"}, 30),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "2"}, 2),
        ({"retry-after": "Sat, 21 Nov 2026 12:01:00 GMT", "date": DATE}, 60),
        ({"retry-after": "Sat, 21 Nov 2026 11:59:00 GMT", "date": DATE}, 0),
        ({"retry-after": "Sat, 21 Nov 2026 12:01:00 GMT"}, None),
        ({"retry-after": "-1", "date": DATE}, None),
        ({"retry-after": "nan", "date": DATE}, None),
        ({"retry-after": "inf", "date": "inf"}, None),
        ({"retry-after": "soon", "date": "then"}, None),
        ({"retry-after": "9" * 400, "date": "9" * 400}, None),
        ({"retry-after": "", "date": ""}, None),
    ],
)
def test_how_long_to_wait_is_read_from_the_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert answered_failure(429, error_body("rate_limit_error"), headers).retry_after_seconds == seconds


@given(wait=st.text(max_size=12) | st.from_regex(r"\d{1,4}-\d\d-\d\d.*", fullmatch=True), date=st.text(max_size=12))
def test_no_header_can_crash_the_reading_of_it(wait: str, date: str) -> None:
    headers = {"retry-after": wait, "retry-after-ms": wait, "date": date}

    seconds = answered_failure(429, b"", headers).retry_after_seconds

    assert seconds is None or 0 <= seconds < float("inf")
