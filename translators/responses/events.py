"""The events of a response's stream but for those of its items (`output.py`): beginning, keep-alive, failure, end."""

import math
from typing import Final

import msgspec
import orjson
from msgspec import Raw

from translators.errors import ErrorKind, Failure
from translators.responses.frame import ResponsesFrame
from translators.wire.raw import OBJECT_DECODER

_EVENT: Final = b'event: %b\ndata: {"type":"%b","sequence_number":%d,%b}\n\n'
_SERVER_ERROR: Final = "server_error"
_CANCELLED: Final = {"code": _SERVER_ERROR, "message": "The response was cancelled."}
# The codes of failed responses that clients act on: OpenAI's, and those that Codex knows. All others are
# `server_error`.
_CODES: Final = {
    ErrorKind.CONTEXT_TOO_LONG: "context_length_exceeded",
    ErrorKind.INVALID_REQUEST: "invalid_prompt",
    ErrorKind.CONTENT_FILTERED: "invalid_prompt",
    ErrorKind.RATE_LIMITED: "rate_limit_exceeded",
    ErrorKind.RAMPED_TOO_FAST: "rate_limit_exceeded",
    ErrorKind.OVER_RATE: "rate_limit_exceeded",
    ErrorKind.OVER_QUOTA: "rate_limit_exceeded",
    ErrorKind.OVER_BUDGET: "insufficient_quota",
    ErrorKind.CALLER_QUOTA: "insufficient_quota",
    ErrorKind.SPEND_LIMIT: "insufficient_quota",
    ErrorKind.WORKSPACE_LIMIT: "insufficient_quota",
    ErrorKind.LINKED_ACCOUNT: "insufficient_quota",
}
_WAIT: Final = "try again in"


def event(frame: ResponsesFrame, kind: bytes, members: bytes) -> bytes:
    """One event, with the next number."""
    number = frame.sequence
    frame.sequence = number + 1
    return _EVENT % (kind, kind, number, members)


def opening(frame: ResponsesFrame) -> bytes:
    """The first two events, `response.created` and `response.in_progress`; nothing if they were sent before."""
    if frame.has_begun:
        return b""
    frame.has_begun = True
    response = frame.response("in_progress")
    return event(frame, b"response.created", b'"response":' + response) + _in_progress(frame, response)


def keepalive_event(frame: ResponsesFrame) -> bytes:
    """An event for a silent stream. Some clients, Codex among them, do not count comments as a sign of life."""
    return opening(frame) or _in_progress(frame)


def _in_progress(frame: ResponsesFrame, response: bytes = b"") -> bytes:
    if not response or frame.is_long:
        response = frame.response("in_progress", is_brief=True)
    return event(frame, b"response.in_progress", b'"response":' + response)


def queued_events(frame: ResponsesFrame) -> bytes:
    """The first two events of a response that is made in the background."""
    frame.has_begun = True
    created = event(frame, b"response.created", b'"response":' + frame.response("queued"))
    return created + event(frame, b"response.queued", b'"response":' + frame.response("queued", is_brief=True))


def failed_response(frame: ResponsesFrame, failure: Failure) -> bytes:
    """The response object of an answer that has failed; items that are finished stay in it."""
    error = orjson.dumps({"code": _CODES.get(failure.kind, _SERVER_ERROR), "message": told(failure)})
    return frame.response("failed", error=error, items=frame.items)


def failure_events(frame: ResponsesFrame, failure: Failure) -> bytes:
    """The end of a stream that has failed: `response.failed` for clients that read states, `error` for all others.

    Items that are finished stay in the response; one that is open is not closed.
    """
    return b"".join(
        [
            opening(frame),
            event(frame, b"response.failed", b'"response":' + failed_response(frame, failure)),
            error_event(failure, frame.sequence),
        ]
    )


def error_event(failure: Failure, number: int) -> bytes:
    """The event `error`, on which the SDKs raise."""
    code, message = _CODES.get(failure.kind, _SERVER_ERROR), told(failure)
    param = None if failure.param is None else _printable(failure.param)
    return _error(failure.rule.type, code, message, param, number)


def last_events(response: bytes, number: int) -> bytes:
    """The end of a stream, made of the response object as it ended; `number` is that of the first event.

    No event tells of a cancelled response: in a stream it has failed.
    """
    fields = OBJECT_DECODER.decode(response)
    status: str = msgspec.json.decode(fields["status"])
    if status in ("completed", "incomplete"):
        kind = b"response." + status.encode()
        return _EVENT % (kind, kind, number, b'"response":' + response)
    error: dict[str, str] = msgspec.json.decode(fields["error"]) or _CANCELLED
    fields["status"], fields["error"] = Raw(b'"failed"'), Raw(orjson.dumps(error))
    kind, failed = b"response.failed", b'"response":' + msgspec.json.encode(fields)
    nested = _error(_SERVER_ERROR, error["code"], error["message"], None, number + 1)
    return _EVENT % (kind, kind, number, failed) + nested


def _error(kind: str, code: str, message: str, param: str | None, number: int) -> bytes:
    # The official SDKs read the nested error, others the flat one.
    nested = {"type": kind, "code": code, "message": message, "param": param}
    flat = {"code": code, "message": message, "param": param, "error": nested}
    return _EVENT % (b"error", b"error", number, orjson.dumps(flat)[1:-1])


def told(failure: Failure) -> str:
    """The message. A rate limit says when to come back, in the words that Codex looks for."""
    seconds, message = failure.wait_seconds, _printable(failure.message)
    if seconds is None or _CODES.get(failure.kind) != "rate_limit_exceeded" or _WAIT in message:
        return message
    return f"{message} Please {_WAIT} {math.ceil(seconds * 1000) / 1000:g}s."


def _printable(text: str) -> str:
    """The text with lone surrogates replaced: it comes from outside."""
    return text.encode("utf-8", "replace").decode()
