"""Every failure a caller can get, and the one table that says what each means."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

import orjson


class ErrorKind(Enum):
    """What went wrong; `RULES` says what follows from it."""

    # The caller's side.
    INVALID_REQUEST = auto()
    CONTEXT_TOO_LONG = auto()
    CONTENT_FILTERED = auto()
    MISSING_KEY = auto()
    WRONG_KEY = auto()
    TOO_MANY_WRONG_KEYS = auto()
    CALLER_KEY_REJECTED = auto()
    CALLER_NOT_PERMITTED = auto()
    CALLER_QUOTA = auto()
    # A rule of the operator's is over: a rate, an amount that does not come back by waiting, a budget.
    OVER_RATE = auto()
    OVER_QUOTA = auto()
    OVER_BUDGET = auto()
    FORBIDDEN_ORIGIN = auto()
    MODEL_NOT_FOUND = auto()
    UNKNOWN_URL = auto()
    METHOD_NOT_ALLOWED = auto()
    NO_WEBSOCKET = auto()
    TOO_LARGE = auto()
    HEAD_TOO_LARGE = auto()
    TOO_SLOW = auto()
    UNSUPPORTED_ENCODING = auto()
    UNSUPPORTED_VERSION = auto()
    # A stored response, a conversation, or an item of one.
    UNKNOWN_ID = auto()
    # The pool's side.
    RATE_LIMITED = auto()
    RAMPED_TOO_FAST = auto()
    SPEND_LIMIT = auto()
    WORKSPACE_LIMIT = auto()
    WORKSPACE_UNAVAILABLE = auto()
    KEY_REJECTED = auto()
    MODEL_REFUSED = auto()
    # Upstream's answer to one request, which may also concern the key.
    NOT_PERMITTED = auto()
    NOT_FOUND = auto()
    LINKED_ACCOUNT = auto()
    # Upstream's side.
    OVERLOADED = auto()
    COMPACTION_UNAVAILABLE = auto()
    UPSTREAM_REQUEST_TIMEOUT = auto()
    UPSTREAM_CONFLICT = auto()
    UPSTREAM_ERROR = auto()
    UPSTREAM_BAD_GATEWAY = auto()
    UPSTREAM_UNAVAILABLE = auto()
    UPSTREAM_TIMEOUT = auto()
    UNREACHABLE = auto()
    CUT_OFF = auto()
    PROTOCOL_ERROR = auto()
    # The gateway's own.
    SHUTTING_DOWN = auto()
    GATEWAY_BUSY = auto()
    STORE_UNAVAILABLE = auto()
    LEDGER_UNAVAILABLE = auto()
    INTERNAL = auto()


class Blame(Enum):
    """What the pool stops using for a while after a failure."""

    NOBODY = auto()
    KEY = auto()
    KEY_LIMIT = auto()
    KEY_AND_MODEL = auto()
    # The request may be at fault: the key keeps serving until a probe shows that it is rejected.
    KEY_IN_DOUBT = auto()
    WORKSPACE = auto()
    ORGANIZATION = auto()
    HOST = auto()
    # The host, for this class of models only: it answers, but with an error.
    SERVICE = auto()


@dataclass(frozen=True, slots=True)
class Rule:
    """What one kind of error means to the client (status, type, code) and to the pool (retry, blame).

    `sdk_retry` is sent as `x-should-retry`, which overrides the official SDKs' own rules. `wait_seconds` is what
    callers are told where nobody knows: Codex tries again after a 429 only if it says when. `one_other`: one
    other key is tried, no more, and the caller gets its answer, since the request may be at fault.
    """

    status: int
    type: str
    code: str | None = None
    retry: bool = False
    blame: Blame = Blame.NOBODY
    sdk_retry: bool | None = None
    wait_seconds: float | None = None
    one_other: bool = False


_MAX_MESSAGE: Final = 2_000
_MAX_PARAM: Final = 500
_REQUEST: Final = "invalid_request_error"
_SERVER: Final = "server_error"
_BUSY: Final = "service_unavailable_error"
_RATE: Final = "rate_limit_error"
_SOON_SECONDS: Final = 1.0

# Statuses, types and codes are OpenAI's (section 5.3 of the OpenAI reference): clients branch on them.
RULES: Final[dict[ErrorKind, Rule]] = {
    ErrorKind.INVALID_REQUEST: Rule(400, _REQUEST),
    ErrorKind.CONTEXT_TOO_LONG: Rule(400, _REQUEST, "context_length_exceeded"),
    ErrorKind.CONTENT_FILTERED: Rule(400, _REQUEST, "content_filter"),
    ErrorKind.MISSING_KEY: Rule(401, _REQUEST),
    ErrorKind.WRONG_KEY: Rule(401, _REQUEST, "invalid_api_key"),
    ErrorKind.TOO_MANY_WRONG_KEYS: Rule(429, _RATE, "too_many_wrong_keys", sdk_retry=False),
    ErrorKind.CALLER_KEY_REJECTED: Rule(401, _REQUEST, "invalid_api_key"),
    ErrorKind.CALLER_NOT_PERMITTED: Rule(403, _REQUEST),
    ErrorKind.CALLER_QUOTA: Rule(429, "insufficient_quota", "insufficient_quota", sdk_retry=False),
    ErrorKind.OVER_RATE: Rule(429, _RATE, "rate_limit_exceeded", wait_seconds=_SOON_SECONDS),
    ErrorKind.OVER_QUOTA: Rule(429, _RATE, "rate_limit_exceeded", sdk_retry=False),
    ErrorKind.OVER_BUDGET: Rule(429, "insufficient_quota", "insufficient_quota", sdk_retry=False),
    ErrorKind.FORBIDDEN_ORIGIN: Rule(403, _REQUEST, "origin_not_allowed"),
    ErrorKind.MODEL_NOT_FOUND: Rule(404, _REQUEST, "model_not_found"),
    ErrorKind.UNKNOWN_URL: Rule(404, _REQUEST, "unknown_url"),
    ErrorKind.METHOD_NOT_ALLOWED: Rule(405, _REQUEST, "method_not_supported"),
    ErrorKind.NO_WEBSOCKET: Rule(426, _REQUEST, "websocket_not_supported", sdk_retry=False),
    ErrorKind.TOO_LARGE: Rule(413, _REQUEST, "request_too_large"),
    ErrorKind.HEAD_TOO_LARGE: Rule(431, _REQUEST, "headers_too_large"),
    ErrorKind.TOO_SLOW: Rule(408, _REQUEST, "request_timeout"),
    ErrorKind.UNSUPPORTED_ENCODING: Rule(415, _REQUEST, "unsupported_content_encoding"),
    ErrorKind.UNSUPPORTED_VERSION: Rule(505, _REQUEST, "http_version_not_supported", sdk_retry=False),
    ErrorKind.UNKNOWN_ID: Rule(404, _REQUEST),
    ErrorKind.RATE_LIMITED: Rule(
        429, _RATE, "rate_limit_exceeded", retry=True, blame=Blame.KEY_LIMIT, wait_seconds=_SOON_SECONDS
    ),
    ErrorKind.RAMPED_TOO_FAST: Rule(
        429, _RATE, "slow_down", retry=True, blame=Blame.KEY_LIMIT, wait_seconds=_SOON_SECONDS
    ),
    ErrorKind.SPEND_LIMIT: Rule(
        429, "insufficient_quota", "insufficient_quota", retry=True, blame=Blame.ORGANIZATION, sdk_retry=False
    ),
    ErrorKind.WORKSPACE_LIMIT: Rule(
        429, "insufficient_quota", "insufficient_quota", retry=True, blame=Blame.WORKSPACE, sdk_retry=False
    ),
    ErrorKind.WORKSPACE_UNAVAILABLE: Rule(503, _BUSY, "upstream_unavailable", retry=True, blame=Blame.WORKSPACE),
    ErrorKind.KEY_REJECTED: Rule(503, _SERVER, "upstream_key_rejected", retry=True, blame=Blame.KEY, sdk_retry=False),
    ErrorKind.MODEL_REFUSED: Rule(404, _REQUEST, "model_not_found", retry=True, blame=Blame.KEY_AND_MODEL),
    ErrorKind.NOT_PERMITTED: Rule(403, _REQUEST, retry=True, blame=Blame.KEY_IN_DOUBT, one_other=True),
    ErrorKind.NOT_FOUND: Rule(404, _REQUEST, retry=True, one_other=True),
    ErrorKind.LINKED_ACCOUNT: Rule(
        429,
        "insufficient_quota",
        "insufficient_quota",
        retry=True,
        blame=Blame.KEY_IN_DOUBT,
        sdk_retry=False,
        one_other=True,
    ),
    ErrorKind.OVERLOADED: Rule(
        503, "service_unavailable_error", "server_is_overloaded", retry=True, blame=Blame.SERVICE
    ),
    ErrorKind.COMPACTION_UNAVAILABLE: Rule(503, _BUSY, "server_is_overloaded", retry=True),
    ErrorKind.UPSTREAM_REQUEST_TIMEOUT: Rule(408, _SERVER, "upstream_timeout", retry=True),
    ErrorKind.UPSTREAM_CONFLICT: Rule(409, _REQUEST, "conflict", retry=True),
    ErrorKind.UPSTREAM_ERROR: Rule(500, _SERVER, "upstream_error", retry=True, blame=Blame.SERVICE),
    ErrorKind.UPSTREAM_BAD_GATEWAY: Rule(502, _SERVER, "upstream_error", retry=True, blame=Blame.SERVICE),
    ErrorKind.UPSTREAM_UNAVAILABLE: Rule(
        503, "service_unavailable_error", "upstream_unavailable", retry=True, blame=Blame.SERVICE
    ),
    ErrorKind.UPSTREAM_TIMEOUT: Rule(504, _SERVER, "upstream_timeout", retry=True, blame=Blame.HOST),
    ErrorKind.UNREACHABLE: Rule(502, _SERVER, "upstream_unreachable", retry=True, blame=Blame.HOST),
    ErrorKind.CUT_OFF: Rule(502, _SERVER, "upstream_disconnected", retry=True, blame=Blame.HOST),
    ErrorKind.PROTOCOL_ERROR: Rule(502, _SERVER, "upstream_protocol_error", retry=True, blame=Blame.HOST),
    ErrorKind.SHUTTING_DOWN: Rule(503, _BUSY, "gateway_shutting_down", wait_seconds=_SOON_SECONDS),
    ErrorKind.GATEWAY_BUSY: Rule(503, _BUSY, "gateway_busy", wait_seconds=_SOON_SECONDS),
    ErrorKind.STORE_UNAVAILABLE: Rule(503, _BUSY, "store_unavailable"),
    ErrorKind.LEDGER_UNAVAILABLE: Rule(503, _BUSY, "ledger_unavailable", wait_seconds=_SOON_SECONDS),
    ErrorKind.INTERNAL: Rule(500, _SERVER, "internal_error"),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure: its kind, the message for the caller, and upstream's own error type.

    `code` overrides the table's code if a more specific one is known. `detail` and `said` are for the log: `detail`
    quotes nothing that a caller sent; `said` is upstream's message unchanged.
    """

    kind: ErrorKind
    message: str
    param: str | None = None
    code: str | None = None
    upstream_type: str | None = None
    retry_after_seconds: float | None = None
    detail: str = ""
    said: str = ""

    @property
    def wait_seconds(self) -> float | None:
        """What the caller is told to wait before it tries again."""
        return self.rule.wait_seconds if self.retry_after_seconds is None else self.retry_after_seconds

    @property
    def summary(self) -> str:
        """What the log shows at every level: nothing that can quote a caller."""
        # If the request is at fault, the message is about the request and can quote it.
        return self.detail or ("" if self.rule.blame is Blame.NOBODY else self.message)

    @property
    def in_full(self) -> str:
        """The detail and upstream's message, for `dragoman doctor` and the like."""
        return ": ".join(filter(None, (self.detail, self.said))) or self.message

    @property
    def rule(self) -> Rule:
        return RULES[self.kind]

    def redacted(self, redact: Callable[[str], str]) -> "Failure":
        """The same, with its texts passed through `redact`: some hosts quote the key that they refuse."""
        return replace(self, message=redact(self.message), detail=redact(self.detail), said=redact(self.said))

    def as_object(self) -> dict[str, object]:
        """OpenAI's error object: always the four keys, and Anthropic's error type if there is one."""
        error: dict[str, object] = {
            "message": self.message,
            "type": self.rule.type,
            "param": self.param,
            "code": self.code or self.rule.code,
        }
        if self.upstream_type is not None:
            error["upstream_type"] = self.upstream_type
        return {"error": error}

    def as_json(self) -> bytes:
        # The texts come from outside and can contain lone surrogates, which orjson refuses.
        try:
            return orjson.dumps(self.as_object())
        except TypeError:
            return orjson.dumps(_printable(self.as_object()))

    def as_event(self) -> bytes:
        """The same error within a stream: both official SDKs raise on a truthy top-level `error`."""
        return b"data: " + self.as_json() + b"\n\n"


class FailedError(Exception):
    """Carries a `Failure` to the code that answers the caller."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class TranslationError(FailedError):
    """The caller's request cannot be translated; `param` is the place in the caller's body."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        # Both can quote the caller, at any length.
        message = message if len(message) <= _MAX_MESSAGE else f"{message[:_MAX_MESSAGE]}..."
        param = param if param is None else param[:_MAX_PARAM]
        super().__init__(Failure(ErrorKind.INVALID_REQUEST, message, param=param, code=code))


def json_problem(error: Exception) -> str:
    """Why JSON cannot be decoded, in words for callers and logs: Python's own errors speak of codecs and recursion."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "a text that is not valid Unicode"
    return str(error)


def _printable(value: object) -> object:
    """The value with lone surrogates replaced."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {key: _printable(item) for key, item in value.items()}
    return value
