"""Upstream's errors as ours: section 8 of the wire reference against section 6 of the translation's decisions."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translators.errors import Blame, ErrorKind
from translators.upstream_errors import STATUS_OF_TYPE, answered_failure, streamed_failure
from translators.wire.messages import ErrorObject

OWN_SPEND_LIMIT = "You have reached your specified API usage limits. You will regain access on 2026-12-01."
WORKSPACE_SPEND_LIMIT = "You have reached your specified workspace API usage limits."
NO_CREDIT = (
    "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase "
    "credits."
)
TIER_SPEND_LIMIT = "You have reached your API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."


def error_body(error_type: str | None, message: str = "Something is wrong.", code: str | None = None) -> bytes:
    error: dict[str, Any] = {"type": error_type, "message": message, "details": {"error_code": code} if code else None}
    return json.dumps({"type": "error", "error": error, "request_id": "req_1"}).encode()


QUOTA = ("insufficient_quota", "insufficient_quota")
WORKSPACE = ("service_unavailable_error", "upstream_unavailable")

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
    (400, "invalid_request_error", None, OWN_SPEND_LIMIT, "SPEND_LIMIT", 429, *QUOTA),
    (400, "invalid_request_error", None, NO_CREDIT, "SPEND_LIMIT", 429, *QUOTA),
    (400, "invalid_request_error", None, "This organization has been disabled.", "SPEND_LIMIT", 429, *QUOTA),
    (400, "invalid_request_error", None, WORKSPACE_SPEND_LIMIT, "WORKSPACE_LIMIT", 429, *QUOTA),
    (400, "invalid_request_error", "organization_on_hold", "On hold.", "SPEND_LIMIT", 429, *QUOTA),
    (400, "invalid_request_error", "cmek_key_disabled", "No key.", "WORKSPACE_UNAVAILABLE", 503, *WORKSPACE),
    (400, "invalid_request_error", "cmek_key_network_blocked", "No.", "WORKSPACE_UNAVAILABLE", 503, *WORKSPACE),
    (
        400,
        "invalid_request_error",
        "tool_name_conflict",
        "Twice.",
        "INVALID_REQUEST",
        400,
        "invalid_request_error",
        "tool_name_conflict",
    ),
    (401, "authentication_error", None, "invalid x-api-key", "KEY_REJECTED", 503, "server_error", ...),
    (402, "billing_error", None, "No money.", "SPEND_LIMIT", 429, *QUOTA),
    (402, "billing_error", "linked_organization_spend_limit_reached", "No.", "LINKED_ACCOUNT", 429, *QUOTA),
    (403, "permission_error", None, "Your key lacks a scope.", "NOT_PERMITTED", 403, "invalid_request_error", None),
    (403, None, None, "", "NOT_PERMITTED", 403, "invalid_request_error", None),
    (
        403,
        "permission_error",
        "user_profile_billing_not_authorized",
        "No.",
        "CALLER_NOT_PERMITTED",
        403,
        "invalid_request_error",
        "user_profile_billing_not_authorized",
    ),
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
    (404, "not_found_error", None, "File not found: file_1", "NOT_FOUND", 404, "invalid_request_error", None),
    (404, "not_found_error", None, "model: x not found", "NOT_FOUND", 404, "invalid_request_error", None),
    (404, "not_found_error", "thread_not_found", "No.", "NOT_FOUND", 404, ..., "thread_not_found"),
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
    (503, "api_error", "cmek_key_unreachable", "Later.", "WORKSPACE_UNAVAILABLE", 503, ..., ...),
    (503, "api_error", "cmek_context_unavailable", "Later.", "WORKSPACE_UNAVAILABLE", 503, ..., ...),
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
    (529, "overloaded_error", "compaction_unavailable", "Overloaded", "COMPACTION_UNAVAILABLE", 503, ..., ...),
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
    failure = answered_failure(status, error_body(error_type, message, error_code), model="claude-x")

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
    if status != 404:
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
    (400, "invalid_request_error", None, WORKSPACE_SPEND_LIMIT),
    (400, "invalid_request_error", None, NO_CREDIT),
    (429, "rate_limit_error", "enforced_spend_limit_reached", TIER_SPEND_LIMIT),
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
    assert failure.rule.blame in (Blame.KEY, Blame.WORKSPACE, Blame.ORGANIZATION)
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


# Every `details.error_code` of section 8.3 of the reference and section 1.1 of the additions, and what is made of it.
CODES = {
    ("INVALID_REQUEST", 400): """
        available_tools_limit_exceeded tool_name_conflict tool_reference_unresolved request_body_encoding_invalid
        request_body_encoding_unsupported user_profile_required claude_code_version_too_old compaction_block_ambiguous
        compaction_block_misplaced compaction_content_mismatch compaction_incomplete_turn
        compaction_nothing_to_summarize compaction_signature_invalid compaction_too_many_tool_references
        compaction_tool_changes_mismatch thread_already_continued thread_continue_in_flight thread_fingerprint_mismatch
        thread_unsupported_request image_dimensions_too_large workspace_human_review_disabled file_not_downloadable
        storage_quota_exceeded""",
    ("INVALID_REQUEST", 409): "skill_read_blocked_undecryptable",
    ("SPEND_LIMIT", 400): "organization_on_hold",
    ("SPEND_LIMIT", 429): "enforced_spend_limit_reached contract_spend_limit_reached",
    ("RAMPED_TOO_FAST", 429): "ramp_limit_exceeded",
    ("WORKSPACE_UNAVAILABLE", 400): "cmek_key_disabled cmek_key_network_blocked",
    ("WORKSPACE_UNAVAILABLE", 503): "cmek_context_unavailable cmek_key_unreachable",
    ("NOT_PERMITTED", 400): "claude_code_key_creator_not_member",
    ("LINKED_ACCOUNT", 402): "linked_organization_billing_unavailable linked_organization_spend_limit_reached",
    ("CALLER_NOT_PERMITTED", 403): """
        user_profile_billing_not_authorized user_profile_not_billable sandbox_egress_restricted""",
    ("NOT_FOUND", 404): "thread_not_found file_expired",
    ("TOO_LARGE", 413): "request_body_too_large_after_decoding",
    ("COMPACTION_UNAVAILABLE", 529): "compaction_unavailable",
}


@pytest.mark.parametrize(
    ("kind", "status", "code"), [(*place, code) for place, codes in CODES.items() for code in codes.split()]
)
def test_every_code_of_upstreams_is_decided(kind: str, status: int, code: str) -> None:
    error_type = next(name for name, its_status in STATUS_OF_TYPE.items() if its_status in (status, 500))
    if status == 404:
        error_type = "not_found_error"

    failure = answered_failure(status, error_body(error_type, "No.", code))

    assert failure.kind is ErrorKind[kind]
    assert failure.code in (code, None)
    assert (failure.code == code) == (failure.rule.status < 413)


QUOTABLE = [
    OWN_SPEND_LIMIT,
    WORKSPACE_SPEND_LIMIT,
    NO_CREDIT,
    TIER_SPEND_LIMIT,
    "This organization has been disabled.",
    "You have reached your specified workspace API usage limits. You will regain access on 2099-01-01",
    "model: claude-x",
    "prompt is too long: 2 tokens > 1 maximum",
    "`thinking` blocks cannot be modified",
]
QUOTING = [
    "messages.0.content.0: Input tag '{}' found using 'type' does not match any of the expected tags: 'text'",
    "{}: Extra inputs are not permitted",
    "messages.0.{}: Extra inputs are not permitted",
    "Unexpected value(s) `{}` for the `anthropic-beta` header.",
    "Tool '{}' not found in provided tools",
    "metadata.user_id: {}",
    "File not found: {}",
    "'{}'",
]


@pytest.mark.parametrize("quoting", QUOTING)
@pytest.mark.parametrize("words", QUOTABLE)
@pytest.mark.parametrize("status", [400, 403, 404])
def test_what_upstream_quotes_of_a_caller_does_not_speak_for_upstream(status: int, words: str, quoting: str) -> None:
    message = quoting.format(words)
    error_type = {400: "invalid_request_error", 403: "permission_error", 404: "not_found_error"}[status]

    failure = answered_failure(status, error_body(error_type, message), {"date": DATE}, model="claude-x")

    allowed = {400: {ErrorKind.INVALID_REQUEST, ErrorKind.CONTEXT_TOO_LONG}, 403: {ErrorKind.NOT_PERMITTED}}
    assert failure.kind in allowed.get(status, {ErrorKind.NOT_FOUND})
    assert failure.rule.blame in (Blame.NOBODY, Blame.KEY_IN_DOUBT)
    assert failure.retry_after_seconds is None


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_of_another_model_than_was_asked_for_says_nothing_of_that_one(status: int) -> None:
    # A request names others as well, as those that stand in for its own.
    error_type = {403: "permission_error", 404: "not_found_error"}[status]
    body = error_body(error_type, "model: claude-nonsense")

    failure = answered_failure(status, body, model="claude-x")

    assert (failure.rule.blame, failure.kind) == (Blame.NOBODY, ErrorKind.NOT_FOUND)
    assert (failure.rule.status, failure.code) == (404, "model_not_found")
    assert answered_failure(status, body, model="claude-nonsense").kind is ErrorKind.MODEL_REFUSED


def test_an_image_that_is_too_large_is_named_by_its_place() -> None:
    details = {
        "error_code": "image_dimensions_too_large",
        "max_side_length_pixels": 8000,
        "paths": ["messages.0.content.1", 7, "messages.2.content.0.content.3"],
    }
    error = {"type": "invalid_request_error", "message": "An image is too large.", "details": details}

    failure = answered_failure(400, json.dumps({"type": "error", "error": error}).encode())

    assert (failure.param, failure.code) == ("messages", "image_dimensions_too_large")
    assert "messages.0.content.1" in failure.message
    assert "messages.2.content.0.content.3" in failure.message


@pytest.mark.parametrize("paths", [None, 5, "messages", {}, [None], [[]], ["x" * 10_000_000], ["messages"] * 100_000])
def test_paths_of_another_shape_and_size_are_bounded(paths: Any) -> None:
    details = {"error_code": "image_dimensions_too_large", "paths": paths}
    failure = answered_failure(400, json.dumps({"error": {"type": "x", "message": "No.", "details": details}}).encode())

    assert len(failure.message) < 10_000
    assert failure.code == "image_dimensions_too_large"


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


@pytest.mark.parametrize(
    ("status", "code", "message", "seconds"),
    [
        (429, "enforced_spend_limit_reached", TIER_SPEND_LIMIT, 9.5 * 86_400),
        (429, "enforced_spend_limit_reached", f"x: {TIER_SPEND_LIMIT}", None),
        (429, None, TIER_SPEND_LIMIT, None),
        (400, None, OWN_SPEND_LIMIT, None),
    ],
)
def test_a_date_counts_only_in_the_words_of_a_spend_limit_that_is_told_by_code(
    status: int, code: str | None, message: str, seconds: float | None
) -> None:
    failure = answered_failure(status, error_body("rate_limit_error", message, code), {"date": DATE})

    assert failure.retry_after_seconds == seconds


@given(wait=st.text(max_size=12) | st.from_regex(r"\d{1,4}-\d\d-\d\d.*", fullmatch=True), date=st.text(max_size=12))
def test_no_header_can_crash_the_reading_of_it(wait: str, date: str) -> None:
    headers = {"retry-after": wait, "retry-after-ms": wait, "date": date}

    seconds = answered_failure(429, b"", headers).retry_after_seconds

    assert seconds is None or 0 <= seconds < float("inf")
