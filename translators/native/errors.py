"""Every failure in Anthropic's format, and the one table of statuses and types, for callers of the Messages API."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Final

import msgspec
import orjson

from translators.errors import ErrorKind, Failure
from translators.wire.messages import ERROR_DECODER


@dataclass(frozen=True, slots=True)
class NativeRule:
    """Status and type of one kind of error; `passes` if the request is to blame, so upstream's answer is passed on."""

    status: int
    type: str
    passes: bool = False


# The `details.error_code` that the SDKs react to: the only one that the gateway itself sends.
THREAD_UNSUPPORTED: Final = "thread_unsupported_request"
_REQUEST: Final = "invalid_request_error"
_API: Final = "api_error"

# Statuses and types are paired as in Anthropic's API (section 8.2 of the Messages reference): its SDKs choose their
# exceptions by status, and retry 408, 409, 429 and everything from 500 on unless `x-should-retry` is false.
NATIVE_RULES: Final[dict[ErrorKind, NativeRule]] = {
    ErrorKind.INVALID_REQUEST: NativeRule(400, _REQUEST, passes=True),
    ErrorKind.CONTEXT_TOO_LONG: NativeRule(400, _REQUEST, passes=True),
    ErrorKind.CONTENT_FILTERED: NativeRule(400, _REQUEST, passes=True),
    ErrorKind.MISSING_KEY: NativeRule(401, "authentication_error"),
    ErrorKind.WRONG_KEY: NativeRule(401, "authentication_error"),
    ErrorKind.TOO_MANY_WRONG_KEYS: NativeRule(429, "rate_limit_error"),
    ErrorKind.CALLER_KEY_REJECTED: NativeRule(401, "authentication_error"),
    ErrorKind.CALLER_NOT_PERMITTED: NativeRule(403, "permission_error", passes=True),
    ErrorKind.CALLER_QUOTA: NativeRule(402, "billing_error"),
    ErrorKind.OVER_RATE: NativeRule(429, "rate_limit_error"),
    ErrorKind.OVER_QUOTA: NativeRule(429, "rate_limit_error"),
    ErrorKind.OVER_BUDGET: NativeRule(402, "billing_error"),
    ErrorKind.FORBIDDEN_ORIGIN: NativeRule(403, "permission_error"),
    ErrorKind.MODEL_NOT_FOUND: NativeRule(404, "not_found_error"),
    ErrorKind.UNKNOWN_URL: NativeRule(404, "not_found_error"),
    ErrorKind.UNKNOWN_ID: NativeRule(404, "not_found_error"),
    ErrorKind.METHOD_NOT_ALLOWED: NativeRule(405, _REQUEST),
    ErrorKind.NO_WEBSOCKET: NativeRule(426, _REQUEST),
    ErrorKind.TOO_LARGE: NativeRule(413, "request_too_large", passes=True),
    ErrorKind.HEAD_TOO_LARGE: NativeRule(431, _REQUEST),
    ErrorKind.TOO_SLOW: NativeRule(408, _REQUEST),
    ErrorKind.UNSUPPORTED_ENCODING: NativeRule(400, _REQUEST),
    ErrorKind.UNSUPPORTED_VERSION: NativeRule(505, _REQUEST),
    ErrorKind.RATE_LIMITED: NativeRule(429, "rate_limit_error"),
    ErrorKind.RAMPED_TOO_FAST: NativeRule(429, "rate_limit_error"),
    ErrorKind.SPEND_LIMIT: NativeRule(429, "rate_limit_error"),
    ErrorKind.WORKSPACE_LIMIT: NativeRule(429, "rate_limit_error"),
    ErrorKind.WORKSPACE_UNAVAILABLE: NativeRule(503, _API),
    ErrorKind.KEY_REJECTED: NativeRule(503, _API),
    ErrorKind.MODEL_REFUSED: NativeRule(404, "not_found_error", passes=True),
    ErrorKind.NOT_PERMITTED: NativeRule(403, "permission_error", passes=True),
    ErrorKind.NOT_FOUND: NativeRule(404, "not_found_error", passes=True),
    ErrorKind.LINKED_ACCOUNT: NativeRule(402, "billing_error", passes=True),
    ErrorKind.OVERLOADED: NativeRule(529, "overloaded_error"),
    ErrorKind.COMPACTION_UNAVAILABLE: NativeRule(529, "overloaded_error", passes=True),
    ErrorKind.UPSTREAM_REQUEST_TIMEOUT: NativeRule(504, "timeout_error"),
    ErrorKind.UPSTREAM_CONFLICT: NativeRule(409, "conflict_error", passes=True),
    ErrorKind.UPSTREAM_ERROR: NativeRule(500, _API),
    ErrorKind.UPSTREAM_BAD_GATEWAY: NativeRule(502, _API),
    ErrorKind.UPSTREAM_UNAVAILABLE: NativeRule(503, _API),
    ErrorKind.UPSTREAM_TIMEOUT: NativeRule(504, "timeout_error"),
    ErrorKind.UNREACHABLE: NativeRule(502, _API),
    ErrorKind.CUT_OFF: NativeRule(502, _API),
    ErrorKind.PROTOCOL_ERROR: NativeRule(502, _API),
    ErrorKind.SHUTTING_DOWN: NativeRule(503, _API),
    ErrorKind.GATEWAY_BUSY: NativeRule(503, _API),
    ErrorKind.STORE_UNAVAILABLE: NativeRule(503, _API),
    ErrorKind.LEDGER_UNAVAILABLE: NativeRule(503, _API),
    ErrorKind.INTERNAL: NativeRule(500, _API),
}


@dataclass(frozen=True, slots=True)
class Refusal(Failure):
    """A failure that upstream reported, with its answer, which is passed on unchanged."""

    status: int = 400
    body: bytes = b""
    request_id: str | None = None

    def redacted(self, redact: Callable[[str], str]) -> Failure:
        """The same, with its texts and the answer's passed through `redact`."""
        body = redact(self.body.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        message, detail, said = map(redact, (self.message, self.detail, self.said))
        return replace(self, message=message, detail=detail, said=said, body=body)


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An error as an answer; `request_id` is Anthropic's if Anthropic wrote the body, else the gateway's."""

    status: int
    body: bytes
    request_id: str


def with_answer(
    failure: Failure, status: int, body: bytes, request_id: str | None, *, is_callers_key: bool = False
) -> Failure:
    """The failure with upstream's answer if the caller may see it, else the failure alone.

    A caller may not see errors about the pool's keys or accounts, but everything about a key of its own.
    """
    if not (is_callers_key or _is_about_request(failure.kind, status)) or status < 400 or not is_native_error(body):
        return failure
    return in_upstreams_words(failure, status, body, request_id)


def in_upstreams_words(failure: Failure, status: int, body: bytes, request_id: str | None = None) -> Refusal:
    """The failure with upstream's answer, to be passed on unchanged."""
    given = {field.name: getattr(failure, field.name) for field in fields(failure)}
    return Refusal(**given, status=status, body=body, request_id=request_id)


def error_answer(failure: Failure, request_id: str) -> ErrorAnswer:
    """The answer for a failure; `request_id` is the gateway's own for this request."""
    if isinstance(failure, Refusal):
        return ErrorAnswer(failure.status, failure.body, failure.request_id or request_id)
    return ErrorAnswer(NATIVE_RULES[failure.kind].status, _error_json(failure, request_id), request_id)


def error_event(failure: Failure, request_id: str) -> bytes:
    """The last event of a stream, for a failure."""
    lines = error_answer(failure, request_id).body.splitlines()
    return b"event: error\n%b\n" % b"".join(b"data: %b\n" % line for line in lines)


def _is_about_request(kind: ErrorKind, status: int) -> bool:
    rule = NATIVE_RULES[kind]
    # Errors without a kind of their own are `INVALID_REQUEST`, and keep their status. But a model refused with a 403
    # says more about the account than about the model.
    return rule.passes and (status == rule.status or kind is ErrorKind.INVALID_REQUEST)


def _error_json(failure: Failure, request_id: str) -> bytes:
    # The texts come from outside and can contain lone surrogates, which orjson refuses.
    message = failure.message.encode("utf-8", "replace").decode()
    error: dict[str, object] = {"type": NATIVE_RULES[failure.kind].type, "message": message}
    if failure.code == THREAD_UNSUPPORTED:
        error = {"details": {"error_code": failure.code}, **error}
    return orjson.dumps({"type": "error", "error": error, "request_id": request_id})


def is_native_error(body: bytes) -> bool:
    """Whether a body has Anthropic's error format; proxies in between answer in others."""
    try:
        # The JSON decoder does not validate what it skips, and the whole body is passed on.
        body.decode()
        return ERROR_DECODER.decode(body).error.type is not None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
