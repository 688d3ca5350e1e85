"""What upstream's errors mean: an answer's status and body, or an `error` event, as one of our kinds."""

import re
from typing import Final

import msgspec

from translators.errors import RULES, ErrorKind, Failure
from translators.wire.messages import ERROR_DECODER, ErrorObject

CUT_OFF: Final = Failure(ErrorKind.CUT_OFF, "Upstream closed the connection before the answer was complete.")

# Section 8.2 of the Messages reference. 403 and 404 are decided by `_refusal`.
_KIND_OF_STATUS: Final = {
    400: ErrorKind.INVALID_REQUEST,
    401: ErrorKind.KEY_REJECTED,
    402: ErrorKind.KEY_REJECTED,
    408: ErrorKind.UPSTREAM_REQUEST_TIMEOUT,
    409: ErrorKind.UPSTREAM_CONFLICT,
    413: ErrorKind.TOO_LARGE,
    429: ErrorKind.RATE_LIMITED,
    500: ErrorKind.UPSTREAM_ERROR,
    502: ErrorKind.UPSTREAM_BAD_GATEWAY,
    503: ErrorKind.UPSTREAM_UNAVAILABLE,
    504: ErrorKind.UPSTREAM_TIMEOUT,
    529: ErrorKind.OVERLOADED,
}
# In a stream there is no status any more; the type says the same.
_STATUS_OF_TYPE: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
# `details.error_code` is narrower than the status (section 8.3).
_KIND_OF_CODE: Final = {
    "enforced_spend_limit_reached": ErrorKind.SPEND_LIMIT,
    "contract_spend_limit_reached": ErrorKind.SPEND_LIMIT,
    "ramp_limit_exceeded": ErrorKind.RAMPED_TOO_FAST,
    "organization_on_hold": ErrorKind.KEY_REJECTED,
    "cmek_key_disabled": ErrorKind.KEY_REJECTED,
    "cmek_key_network_blocked": ErrorKind.KEY_REJECTED,
    "linked_organization_billing_unavailable": ErrorKind.KEY_REJECTED,
    "linked_organization_spend_limit_reached": ErrorKind.KEY_REJECTED,
}
# A key that the caller brought: what is wrong with it is the caller's to know.
_KIND_OF_CALLERS_KEY: Final = {
    (ErrorKind.KEY_REJECTED, 400): ErrorKind.INVALID_REQUEST,
    (ErrorKind.KEY_REJECTED, 401): ErrorKind.CALLER_KEY_REJECTED,
    (ErrorKind.KEY_REJECTED, 402): ErrorKind.CALLER_QUOTA,
    (ErrorKind.KEY_REJECTED, 403): ErrorKind.CALLER_NOT_PERMITTED,
    (ErrorKind.SPEND_LIMIT, 429): ErrorKind.CALLER_QUOTA,
}
_OWN_SPEND_LIMIT: Final = re.compile(r"You have reached your specified .*API usage limits", re.IGNORECASE)
_CONTEXT_TOO_LONG: Final = re.compile(r"prompt is too long|exceed(s|ed)? (the )?(model'?s )?context", re.IGNORECASE)

_POOL_MESSAGES: Final = {
    ErrorKind.KEY_REJECTED: "The gateway's own key was refused upstream, and no other key is left. "
    "Your key is fine; the gateway's log names the key that was refused.",
    ErrorKind.SPEND_LIMIT: "The spend limit of the gateway's upstream account is reached.",
}


def kind_of(status: int, error_type: str | None = None, error_code: str | None = None, message: str = "") -> ErrorKind:
    """What an upstream error answer means; unknown statuses read as their class does."""
    if error_code in _KIND_OF_CODE:
        return _KIND_OF_CODE[error_code]
    if status == 400:
        return _kind_of_400(message)
    if status in (403, 404):
        return _refusal(status, error_type, message)
    if status in _KIND_OF_STATUS:
        return _KIND_OF_STATUS[status]
    return ErrorKind.UPSTREAM_ERROR if status >= 500 else ErrorKind.INVALID_REQUEST


def answered_failure(
    status: int, body: bytes, *, retry_after_seconds: float | None = None, is_callers_key: bool = False
) -> Failure:
    """The failure in an error answer; intermediaries answer with anything, so the body need not be Anthropic's."""
    try:
        error = ERROR_DECODER.decode(body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        error = ErrorObject()
    return _failure(status, error, retry_after_seconds, is_callers_key)


def streamed_failure(error: ErrorObject) -> Failure:
    """The failure in an `error` event: the same as the status that it would have had before the stream."""
    return _failure(_STATUS_OF_TYPE.get(error.type or "", 500), error)


def _failure(
    status: int, error: ErrorObject, retry_after_seconds: float | None = None, is_callers_key: bool = False
) -> Failure:
    message = error.message or ""
    kind = kind_of(status, error.type, error.details.error_code if error.details else None, message)
    if is_callers_key:
        kind = _KIND_OF_CALLERS_KEY.get((kind, status), kind)
    return Failure(
        kind,
        # What concerns the pool's keys is not told in upstream's words.
        _POOL_MESSAGES.get(kind) or _caller_message(kind, message),
        upstream_type=error.type,
        retry_after_seconds=retry_after_seconds,
        detail=f"{status} {error.type or 'without a type'}: {message}",
    )


def _kind_of_400(message: str) -> ErrorKind:
    if _OWN_SPEND_LIMIT.search(message):
        return ErrorKind.KEY_REJECTED
    if _CONTEXT_TOO_LONG.search(message):
        return ErrorKind.CONTEXT_TOO_LONG
    return ErrorKind.INVALID_REQUEST


def _refusal(status: int, error_type: str | None, message: str) -> ErrorKind:
    """A 403 or 404 is about the model where it says so; else about the key, or about the address."""
    if "model" in message.lower():
        return ErrorKind.MODEL_REFUSED
    if status == 403:
        return ErrorKind.KEY_REJECTED
    # Without Anthropic's error type nothing at that address speaks Messages: a wrong base_url.
    return ErrorKind.MODEL_REFUSED if error_type == "not_found_error" else ErrorKind.PROTOCOL_ERROR


def _caller_message(kind: ErrorKind, message: str) -> str:
    if kind is ErrorKind.CONTEXT_TOO_LONG and "maximum context length" not in message:
        # Clients look for these very words to know that they have to shorten the history.
        return f"This model's maximum context length is exceeded: {message}"
    return message or f"Upstream answered with an error ({RULES[kind].status})."
