"""What upstream's errors mean: an answer's status and body, or an `error` event, as one of our kinds."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

import msgspec

from translators.errors import RULES, ErrorKind, Failure
from translators.moments import http_moment, iso_moment
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
# What is longer is a mistake of the host's, and would not fit into the headers that tell of it.
_LONGEST_WAIT_SECONDS: Final = 366 * 86_400.0
_OWN_SPEND_LIMIT: Final = re.compile(r"You have reached your specified .*API usage limits", re.IGNORECASE)
_REGAIN_ACCESS: Final = re.compile(r"regain access on (\d{4}-\d{2}-\d{2}) at (\d{2}:\d{2}) UTC")
_CONTEXT_TOO_LONG: Final = re.compile(r"prompt is too long|exceed(s|ed)? (the )?(model'?s )?context", re.IGNORECASE)

# So much of upstream's words is looked at and told: characters, far more than it uses.
MAX_MESSAGE: Final = 16_384

# Messages name a field at their beginning: `temperature: range: 0..1`, "`top_p` is deprecated ...".
_FIELD: Final = re.compile(r"[`\"]?([a-z_]+)")
_TOOL: Final = re.compile(r"tools\.(\d+)")
# Indices into the history are left out: upstream counts joined turns, the caller messages.
_PARAM_OF_FIELD: Final = {
    "messages": "messages",
    "system": "messages",
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop_sequences": "stop",
    "metadata": "user",
    "service_tier": "service_tier",
    "tools": "tools",
    "tool_choice": "tool_choice",
    "thinking": "reasoning_effort",
    "output_config": "response_format",
    "context_management": "context_management",
    "mcp_servers": "mcp_servers",
    "container": "container",
}

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
    if status < 400:
        # Neither an answer nor an error: nothing that speaks Messages sends this.
        return ErrorKind.PROTOCOL_ERROR
    return ErrorKind.UPSTREAM_ERROR if status >= 500 else ErrorKind.INVALID_REQUEST


def answered_failure(
    status: int, body: bytes, headers: Mapping[str, str] | None = None, *, is_callers_key: bool = False
) -> Failure:
    """The failure in an error answer; intermediaries answer with anything, so the body need not be Anthropic's.

    Header names are lower case. For a key that the caller brought, what is wrong with it is the caller's to know.
    """
    try:
        error = ERROR_DECODER.decode(body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        error = ErrorObject()
    failure = _failure(status, error, is_callers_key)
    wait = _wait(headers or {}, error.message or "")
    return replace(failure, retry_after_seconds=None if wait is None else min(wait, _LONGEST_WAIT_SECONDS))


def streamed_failure(error: ErrorObject) -> Failure:
    """The failure in an `error` event: the same as the status that it would have had before the stream."""
    return _failure(_STATUS_OF_TYPE.get(error.type or "", 500), error)


def _failure(status: int, error: ErrorObject, is_callers_key: bool = False) -> Failure:
    message = (error.message or "")[:MAX_MESSAGE]
    kind = kind_of(status, error.type, error.error_code, message)
    if is_callers_key:
        kind = _KIND_OF_CALLERS_KEY.get((kind, status), kind)
    param = _param(kind, message)
    return Failure(
        kind,
        # What concerns the pool's keys is not told in upstream's words.
        _POOL_MESSAGES.get(kind) or _caller_message(kind, message),
        param=param,
        upstream_type=error.type,
        detail=f"{status} {error.type or 'without a type'}{f' param={param}' if param else ''}",
        said=message,
    )


def _param(kind: ErrorKind, message: str) -> str | None:
    """The field that upstream complains about, in the caller's terms."""
    if kind is ErrorKind.CONTEXT_TOO_LONG:
        return "messages"
    if kind is not ErrorKind.INVALID_REQUEST:
        return None
    if (tool := _TOOL.match(message)) is not None:
        inner = ".function.parameters" if "schema" in message.partition(":")[0] else ""
        return f"tools[{tool[1]}]{inner}"
    named = _FIELD.match(message)
    return _PARAM_OF_FIELD.get(named[1] if named else "")


def _wait(headers: Mapping[str, str], message: str) -> float | None:
    """Seconds to wait, as `retry-after-ms`, `retry-after` or the words of a spend limit say."""
    for name, divisor in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) / divisor
        except (KeyError, ValueError):
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    regain = _REGAIN_ACCESS.search(message)
    return _seconds_until(f"{regain[1]}T{regain[2]}:00Z" if regain else headers.get("retry-after"), headers.get("date"))


def _seconds_until(moment: str | None, sent_at: str | None) -> float | None:
    """Seconds from the sending of an answer to a moment it names: by upstream's clock, so ours need not agree."""
    try:
        return max(0.0, (_moment(moment or "") - _moment(sent_at or "")).total_seconds())
    except ValueError:
        return None


def _moment(text: str) -> datetime:
    return iso_moment(text) if text[:1].isdecimal() else http_moment(text)


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
