"""Classifies upstream's errors: an answer's status and body, or an `error` event."""

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

# Section 8.2 of the Messages reference. For 400, 403 and 404 the message is more specific, unless it quotes a caller.
_KIND_OF_STATUS: Final = {
    400: ErrorKind.INVALID_REQUEST,
    401: ErrorKind.KEY_REJECTED,
    402: ErrorKind.SPEND_LIMIT,
    403: ErrorKind.NOT_PERMITTED,
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
# An error within a stream has no status, but its type implies one.
STATUS_OF_TYPE: Final = {
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
# `details.error_code` is more specific than the status, and cannot quote a caller (section 8.3, and section 1.1 of the
# additions; tests/translators/test_upstream_errors.py covers each one). For codes that are not listed, the status
# decides.
_KIND_OF_CODE: Final = {
    # The organization.
    "enforced_spend_limit_reached": ErrorKind.SPEND_LIMIT,
    "contract_spend_limit_reached": ErrorKind.SPEND_LIMIT,
    "organization_on_hold": ErrorKind.SPEND_LIMIT,
    "ramp_limit_exceeded": ErrorKind.RAMPED_TOO_FAST,
    # One workspace: its own encryption key.
    "cmek_key_disabled": ErrorKind.WORKSPACE_UNAVAILABLE,
    "cmek_key_network_blocked": ErrorKind.WORKSPACE_UNAVAILABLE,
    "cmek_context_unavailable": ErrorKind.WORKSPACE_UNAVAILABLE,
    "cmek_key_unreachable": ErrorKind.WORKSPACE_UNAVAILABLE,
    # The key, or this one request: who created the key, and which account is charged.
    "claude_code_key_creator_not_member": ErrorKind.NOT_PERMITTED,
    "linked_organization_billing_unavailable": ErrorKind.LINKED_ACCOUNT,
    "linked_organization_spend_limit_reached": ErrorKind.LINKED_ACCOUNT,
    # The request, with whatever key.
    "user_profile_billing_not_authorized": ErrorKind.CALLER_NOT_PERMITTED,
    "user_profile_not_billable": ErrorKind.CALLER_NOT_PERMITTED,
    "sandbox_egress_restricted": ErrorKind.CALLER_NOT_PERMITTED,
    "skill_read_blocked_undecryptable": ErrorKind.INVALID_REQUEST,
    # One feature of the service.
    "compaction_unavailable": ErrorKind.COMPACTION_UNAVAILABLE,
}
# Codes that the caller gets as `code`, in place of the table's.
_CALLERS: Final = frozenset(
    {ErrorKind.INVALID_REQUEST, ErrorKind.NOT_FOUND, ErrorKind.CALLER_NOT_PERMITTED, ErrorKind.NOT_PERMITTED}
)
_CODE: Final = re.compile(r"[a-z_]{1,64}")
# Errors about a key that the caller brought are reported to the caller.
_KIND_OF_CALLERS_KEY: Final = {
    (ErrorKind.KEY_REJECTED, 401): ErrorKind.CALLER_KEY_REJECTED,
    (ErrorKind.NOT_PERMITTED, 400): ErrorKind.INVALID_REQUEST,
    (ErrorKind.NOT_PERMITTED, 403): ErrorKind.CALLER_NOT_PERMITTED,
    (ErrorKind.SPEND_LIMIT, 400): ErrorKind.INVALID_REQUEST,
    (ErrorKind.SPEND_LIMIT, 402): ErrorKind.CALLER_QUOTA,
    (ErrorKind.SPEND_LIMIT, 429): ErrorKind.CALLER_QUOTA,
    (ErrorKind.LINKED_ACCOUNT, 402): ErrorKind.CALLER_QUOTA,
    (ErrorKind.WORKSPACE_LIMIT, 400): ErrorKind.INVALID_REQUEST,
    (ErrorKind.WORKSPACE_UNAVAILABLE, 400): ErrorKind.INVALID_REQUEST,
    (ErrorKind.WORKSPACE_UNAVAILABLE, 403): ErrorKind.CALLER_NOT_PERMITTED,
    (ErrorKind.WORKSPACE_UNAVAILABLE, 503): ErrorKind.UPSTREAM_UNAVAILABLE,
}
# A longer time is the host's mistake, and would not fit into the headers.
_LONGEST_WAIT_SECONDS: Final = 366 * 86_400.0

# Upstream's messages quote callers: names of fields at the beginning ("NAME: Extra inputs are not permitted"),
# values further on ("Input tag 'VALUE' found ..."). So a message about anything but the request must match as a
# whole, without a `: ` after it. If upstream changes a wording, only the request is refused.
_REST: Final = r"\.?(?: (?:[^:'\"`]|(?<=\d):(?=\d))*)?"
_ACCOUNT_IS_OUT: Final = re.compile(
    r"(?:You have reached your specified (?:organization )?API usage limits"
    r"|Your credit balance is too low to access the Anthropic API"
    rf"|This organization has been disabled){_REST}"
)
_WORKSPACE_IS_OUT: Final = re.compile(rf"You have reached your specified workspace API usage limits{_REST}")
_REGAIN_ACCESS: Final = re.compile(
    r"You have reached your [^:'\"`]{0,200}?regain access on (\d{4}-\d{2}-\d{2}) at (\d{2}:\d{2}) UTC\.?"
)
_MODEL_MISSING: Final = re.compile(r"model: (?P<model>[^\s'\"]{1,256})")
_MODEL_NOT_PERMITTED: Final = re.compile(
    r"(?:model: |Your organization (?:may not use|does not have access to) (?:the )?model:? )"
    r"(?P<model>[^\s'\"]{1,256}?)\.?"
)
_CONTEXT_TOO_LONG: Final = re.compile(
    r"prompt is too long|input is too long for|input length and `max_tokens` exceed"
    r"|(?:the |this |your )?(?:prompt|input|request|conversation)[a-z ]{0,40} exceed(?:s|ed)? (?:the )?(?:model'?s )?"
    r"(?:maximum )?context",
    re.IGNORECASE,
)

# The part of upstream's message that is read and passed on, in characters: far more than it uses.
MAX_MESSAGE: Final = 16_384
_FILTERED: Final = re.compile(r"(?:Input|Output) blocked by content filtering policy")

# Messages begin with the name of a field: `temperature: range: 0..1`, "`top_p` is deprecated ...".
_FIELD: Final = re.compile(r"[`\"]?([a-z_]+)")
_TOOL: Final = re.compile(r"tools\.(\d{1,9})(?=[.:])")
# Without indices into the history: upstream counts merged turns, the caller counts messages.
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
    ErrorKind.SPEND_LIMIT: "The gateway's upstream account is at its spend limit, out of funds, or on hold.",
    ErrorKind.WORKSPACE_LIMIT: "The gateway's upstream workspace is at its spend limit.",
    ErrorKind.WORKSPACE_UNAVAILABLE: "The gateway's upstream workspace cannot be used at the moment.",
}


def kind_of(status: int, error_type: str | None = None, error_code: str | None = None, message: str = "") -> ErrorKind:
    """The kind of an upstream error; an unknown status means the same as its class."""
    if error_code in _KIND_OF_CODE:
        return _KIND_OF_CODE[error_code]
    if status == 400:
        return _kind_of_400(error_type, message)
    if status == 403:
        return ErrorKind.MODEL_REFUSED if _MODEL_NOT_PERMITTED.fullmatch(message) else ErrorKind.NOT_PERMITTED
    if status == 404:
        return _kind_of_404(error_type, message)
    if status in _KIND_OF_STATUS:
        return _KIND_OF_STATUS[status]
    if status < 400:
        # Neither a success nor an error: no Messages host sends this.
        return ErrorKind.PROTOCOL_ERROR
    return ErrorKind.UPSTREAM_ERROR if status >= 500 else ErrorKind.INVALID_REQUEST


def answered_failure(
    status: int,
    body: bytes,
    headers: Mapping[str, str] | None = None,
    *,
    model: str | None = None,
    is_callers_key: bool = False,
) -> Failure:
    """The failure of an error answer. Proxies answer with anything, so the body need not be Anthropic's.

    Header names are lower case. `model` is the one that was asked for: a request can name other models, and a refusal
    of these does not count as one of `model`. Errors about a key that the caller brought are reported to the caller.
    """
    try:
        error = ERROR_DECODER.decode(body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        error = ErrorObject()
    failure = _failure(status, error, model, is_callers_key)
    wait = _told_wait(headers or {})
    if wait is None and failure.kind is ErrorKind.SPEND_LIMIT and status == 429:
        wait = _wait_for_access((error.message or "")[:MAX_MESSAGE], (headers or {}).get("date"))
    return replace(failure, retry_after_seconds=None if wait is None else min(wait, _LONGEST_WAIT_SECONDS))


def streamed_failure(error: ErrorObject) -> Failure:
    """The failure of an `error` event: the same as for the status that it would have had before the stream."""
    return _failure(STATUS_OF_TYPE.get(error.type or "", 500), error)


def _failure(status: int, error: ErrorObject, model: str | None = None, is_callers_key: bool = False) -> Failure:
    message = (error.message or "")[:MAX_MESSAGE]
    kind = kind_of(status, error.type, error.error_code, message)
    code = error.error_code if kind in _CALLERS and _CODE.fullmatch(error.error_code or "") else None
    if is_callers_key:
        kind = _KIND_OF_CALLERS_KEY.get((kind, status), kind)
    if kind is ErrorKind.MODEL_REFUSED and (model is None or _model_in(message) != model):
        kind, code = ErrorKind.NOT_FOUND, RULES[kind].code
    param = _param(kind, error)
    return Failure(
        kind,
        # Errors about the pool's keys are not passed on in upstream's words.
        _POOL_MESSAGES.get(kind) or _caller_message(kind, error),
        param=param,
        code=code,
        upstream_type=error.type,
        detail=f"{status} {error.type or 'without a type'}{f' param={param}' if param else ''}",
        said=message,
    )


def _model_in(message: str) -> str | None:
    found = _MODEL_NOT_PERMITTED.fullmatch(message)
    return found["model"] if found else None


def _param(kind: ErrorKind, error: ErrorObject) -> str | None:
    """The field in upstream's error, by its name in the caller's body."""
    message = next(iter(error.paths), error.message or "")
    if kind is ErrorKind.CONTEXT_TOO_LONG:
        return "messages"
    if kind is not ErrorKind.INVALID_REQUEST:
        return None
    if (tool := _TOOL.match(message)) is not None:
        inner = ".function.parameters" if "schema" in message.partition(":")[0] else ""
        return f"tools[{tool[1]}]{inner}"
    named = _FIELD.match(message)
    return _PARAM_OF_FIELD.get(named[1] if named else "")


def _told_wait(headers: Mapping[str, str]) -> float | None:
    """The seconds of `retry-after-ms` or `retry-after`."""
    for name, divisor in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) / divisor
        except (KeyError, ValueError):
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    return _seconds_until(headers.get("retry-after"), headers.get("date"))


def _wait_for_access(message: str, sent_at: str | None) -> float | None:
    """The seconds to wait for the date in a spend limit's message."""
    regain = _REGAIN_ACCESS.fullmatch(message)
    return _seconds_until(f"{regain[1]}T{regain[2]}:00Z", sent_at) if regain else None


def _seconds_until(moment: str | None, sent_at: str | None) -> float | None:
    """The seconds from the sending of an answer to a time that it names, both by upstream's clock."""
    try:
        return max(0.0, (_moment(moment or "") - _moment(sent_at or "")).total_seconds())
    except ValueError:
        return None


def _moment(text: str) -> datetime:
    return iso_moment(text) if text[:1].isdecimal() else http_moment(text)


def _kind_of_400(error_type: str | None, message: str) -> ErrorKind:
    if error_type == "invalid_request_error":
        if _ACCOUNT_IS_OUT.fullmatch(message):
            return ErrorKind.SPEND_LIMIT
        if _WORKSPACE_IS_OUT.fullmatch(message):
            return ErrorKind.WORKSPACE_LIMIT
    if _CONTEXT_TOO_LONG.match(message):
        return ErrorKind.CONTEXT_TOO_LONG
    if _FILTERED.match(message):
        return ErrorKind.CONTENT_FILTERED
    return ErrorKind.INVALID_REQUEST


def _kind_of_404(error_type: str | None, message: str) -> ErrorKind:
    if error_type != "not_found_error":
        # Without Anthropic's error type this is not a Messages host: the base_url is wrong.
        return ErrorKind.PROTOCOL_ERROR
    return ErrorKind.MODEL_REFUSED if _MODEL_MISSING.fullmatch(message) else ErrorKind.NOT_FOUND


def _caller_message(kind: ErrorKind, error: ErrorObject) -> str:
    message = (error.message or "")[:MAX_MESSAGE]
    if kind is ErrorKind.CONTEXT_TOO_LONG:
        # Clients recognise these words, and then shorten the history.
        return f"This model's maximum context length is exceeded: {message}"
    if error.paths:
        # The paths count upstream's turns, into which messages may have been merged.
        return f"{message} (at {', '.join(error.paths)[:MAX_MESSAGE]} of the request as it was sent upstream)"
    return message or f"Upstream answered with an error ({RULES[kind].status})."
