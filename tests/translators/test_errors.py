"""The one table of failures, and the error bodies made from it."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from translators.errors import RULES, Blame, ErrorKind, FailedError, Failure, TranslationError, json_problem
from translators.native.errors import NATIVE_RULES

FOUR_KEYS = {"message", "type", "param", "code"}
KINDS = list(ErrorKind)
anything = st.text(max_size=20) | st.sampled_from(["\ud83d", "a\udc00b", "\x00", '"\\'])


def kind_name(kind: ErrorKind) -> str:
    return kind.name


def test_every_kind_has_a_rule_and_every_rule_a_kind() -> None:
    assert set(RULES) == set(ErrorKind)


@pytest.mark.parametrize("kind", KINDS, ids=kind_name)
def test_a_rule_names_a_failing_status_and_a_type(kind: ErrorKind) -> None:
    rule = RULES[kind]

    assert 400 <= rule.status < 600
    assert rule.type


@pytest.mark.parametrize("kind", KINDS, ids=kind_name)
def test_only_a_key_rejected_by_someone_is_told_as_401(kind: ErrorKind) -> None:
    # Section 5.4 of the OpenAI reference: the pool's keys are none of the client's business.
    callers = {ErrorKind.MISSING_KEY, ErrorKind.WRONG_KEY, ErrorKind.CALLER_KEY_REJECTED}

    assert (RULES[kind].status == 401) == (kind in callers)


@pytest.mark.parametrize("kind", KINDS, ids=kind_name)
def test_what_blames_a_key_or_a_host_may_be_tried_with_another(kind: ErrorKind) -> None:
    rule = RULES[kind]

    assert rule.retry or rule.blame is Blame.NOBODY


@pytest.mark.parametrize("kind", KINDS, ids=kind_name)
def test_what_is_the_callers_mistake_is_not_tried_again(kind: ErrorKind) -> None:
    rule = RULES[kind]

    if rule.status in (400, 401, 403, 405, 413, 415):
        # What may be the key's is asked of one other.
        assert rule.one_other or not rule.retry


@pytest.mark.parametrize(
    ("kind", "status", "error_type", "code"),
    [
        (ErrorKind.INVALID_REQUEST, 400, "invalid_request_error", None),
        (ErrorKind.CONTEXT_TOO_LONG, 400, "invalid_request_error", "context_length_exceeded"),
        (ErrorKind.MISSING_KEY, 401, "invalid_request_error", None),
        (ErrorKind.WRONG_KEY, 401, "invalid_request_error", "invalid_api_key"),
        (ErrorKind.CALLER_KEY_REJECTED, 401, "invalid_request_error", "invalid_api_key"),
        (ErrorKind.MODEL_NOT_FOUND, 404, "invalid_request_error", "model_not_found"),
        (ErrorKind.MODEL_REFUSED, 404, "invalid_request_error", "model_not_found"),
        (ErrorKind.UNKNOWN_URL, 404, "invalid_request_error", "unknown_url"),
        (ErrorKind.METHOD_NOT_ALLOWED, 405, "invalid_request_error", "method_not_supported"),
        (ErrorKind.NO_WEBSOCKET, 426, "invalid_request_error", "websocket_not_supported"),
        (ErrorKind.RATE_LIMITED, 429, "rate_limit_error", "rate_limit_exceeded"),
        (ErrorKind.RAMPED_TOO_FAST, 429, "rate_limit_error", "slow_down"),
        (ErrorKind.SPEND_LIMIT, 429, "insufficient_quota", "insufficient_quota"),
        (ErrorKind.CALLER_QUOTA, 429, "insufficient_quota", "insufficient_quota"),
        (ErrorKind.OVER_RATE, 429, "rate_limit_error", "rate_limit_exceeded"),
        (ErrorKind.OVER_BUDGET, 429, "insufficient_quota", "insufficient_quota"),
        (ErrorKind.OVERLOADED, 503, "service_unavailable_error", "server_is_overloaded"),
    ],
    ids=lambda value: value.name if isinstance(value, ErrorKind) else None,
)
def test_clients_get_the_codes_that_they_branch_on(
    kind: ErrorKind, status: int, error_type: str, code: str | None
) -> None:
    rule = RULES[kind]

    assert (rule.status, rule.type, rule.code) == (status, error_type, code)


@pytest.mark.parametrize(
    "kind", [ErrorKind.SPEND_LIMIT, ErrorKind.CALLER_QUOTA, ErrorKind.OVER_BUDGET, ErrorKind.KEY_REJECTED]
)
def test_what_no_retry_can_mend_tells_the_sdk_so(kind: ErrorKind) -> None:
    assert RULES[kind].sdk_retry is False


@pytest.mark.parametrize("kind", KINDS, ids=kind_name)
def test_who_may_come_back_after_a_429_or_to_a_full_gateway_is_told_when(kind: ErrorKind) -> None:
    rule = RULES[kind]
    is_told = (rule.status == 429 and rule.sdk_retry is None) or kind in (
        ErrorKind.GATEWAY_BUSY,
        ErrorKind.LEDGER_UNAVAILABLE,
        ErrorKind.SHUTTING_DOWN,
    )

    assert (Failure(kind, "no").wait_seconds is not None) == is_told
    assert Failure(kind, "no", retry_after_seconds=7).wait_seconds == 7
    # Nobody comes back to a quota because of a guess.
    assert not (is_told and rule.code == "insufficient_quota")


@given(
    kind=st.sampled_from(KINDS),
    message=anything,
    param=st.none() | anything,
    code=st.none() | anything,
    upstream_type=st.none() | anything,
)
def test_every_error_body_has_the_four_keys_whatever_the_texts_are(
    kind: ErrorKind, message: str, param: str | None, code: str | None, upstream_type: str | None
) -> None:
    failure = Failure(kind, message, param=param, code=code, upstream_type=upstream_type, detail="for the log only")

    body = json.loads(failure.as_json())

    error = body.pop("error")
    assert body == {}
    assert error.keys() - {"upstream_type"} == FOUR_KEYS
    assert ("upstream_type" in error) == (upstream_type is not None)
    assert (error["param"] is None) == (param is None)
    assert error["type"] == RULES[kind].type
    assert "for the log only" not in error.values()


def test_half_a_surrogate_pair_in_a_message_is_shown_as_something_else() -> None:
    failure = Failure(ErrorKind.INVALID_REQUEST, "before \ud83d after", param="messages[0]")

    error = json.loads(failure.as_json())["error"]

    assert error["message"].startswith("before ")
    assert error["message"].endswith(" after")


def test_a_narrower_code_takes_the_place_of_the_tables() -> None:
    failure = Failure(ErrorKind.INVALID_REQUEST, "no", code="invalid_value")

    assert json.loads(failure.as_json())["error"]["code"] == "invalid_value"


def test_inside_a_stream_the_same_error_is_one_event() -> None:
    failure = Failure(ErrorKind.OVERLOADED, "two\nlines", upstream_type="overloaded_error")

    event = failure.as_event()

    assert event.startswith(b"data: ")
    assert event.endswith(b"\n\n")
    assert event.count(b"\n") == 2
    assert json.loads(event[6:]) == json.loads(failure.as_json())


def test_a_translation_error_is_an_invalid_request_that_names_its_place() -> None:
    error = TranslationError("Expected a string.", param="messages[2].content", code="invalid_type")

    assert isinstance(error, FailedError)
    assert str(error) == "Expected a string."
    assert error.failure.kind is ErrorKind.INVALID_REQUEST
    assert json.loads(error.failure.as_json()) == {
        "error": {
            "message": "Expected a string.",
            "type": "invalid_request_error",
            "param": "messages[2].content",
            "code": "invalid_type",
        }
    }


def test_every_kind_of_error_has_a_form_of_anthropics() -> None:
    assert set(NATIVE_RULES) == set(ErrorKind)


def test_what_is_wrong_with_json_is_told_without_pythons_words() -> None:
    with pytest.raises(RecursionError) as too_deep:
        msgspec.json.decode(b"[" * 100_000)
    with pytest.raises(msgspec.DecodeError) as cut:
        msgspec.json.decode(b"{")

    assert json_problem(too_deep.value) == "nested too deeply"
    assert json_problem(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid")) == "a text that is not valid Unicode"
    assert json_problem(cut.value) == "Input data was truncated"
