"""The events of a response's stream, as bytes."""

import math
from typing import Final

import orjson

from translators.errors import ErrorKind, Failure
from translators.responses.frame import ResponsesFrame

_EVENT: Final = b'event: %b\ndata: {"type":"%b","sequence_number":%d,%b}\n\n'
_SERVER_ERROR: Final = "server_error"
# What clients branch on in a failed response: codes of OpenAI's, and those that Codex knows (sections 8.4 and 3.7 of
# the references). All others are `server_error`.
_CODES: Final = {
    ErrorKind.CONTEXT_TOO_LONG: "context_length_exceeded",
    ErrorKind.INVALID_REQUEST: "invalid_prompt",
    ErrorKind.CONTENT_FILTERED: "invalid_prompt",
    ErrorKind.RATE_LIMITED: "rate_limit_exceeded",
    ErrorKind.RAMPED_TOO_FAST: "rate_limit_exceeded",
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
    """What comes before all else, once: `response.created` and `response.in_progress`."""
    if frame.has_begun:
        return b""
    frame.has_begun = True
    response = b'"response":' + frame.response("in_progress")
    return event(frame, b"response.created", response) + event(frame, b"response.in_progress", response)


def keepalive_event(frame: ResponsesFrame) -> bytes:
    """A sign of life: clients that do not count comments count these."""
    return opening(frame) or event(frame, b"response.in_progress", b'"response":' + frame.response("in_progress"))


def failure_events(frame: ResponsesFrame, failure: Failure) -> bytes:
    """The end of a stream that has failed: `response.failed` for clients that read states, `error` for all others.

    Items that are finished stay in the response; one that is open is not closed.
    """
    code, message = _CODES.get(failure.kind, _SERVER_ERROR), told(failure)
    error = orjson.dumps({"code": code, "message": message})
    response = frame.response("failed", error=error, items=frame.items)
    # The official SDKs read the nested error, others the flat one.
    param = None if failure.param is None else _printable(failure.param)
    nested = {"type": failure.rule.type, "code": code, "message": message, "param": param}
    flat = {"code": code, "message": message, "param": param, "error": nested}
    return b"".join(
        [
            opening(frame),
            event(frame, b"response.failed", b'"response":' + response),
            event(frame, b"error", orjson.dumps(flat)[1:-1]),
        ]
    )


def told(failure: Failure) -> str:
    """The message; with the words that Codex looks for where it says when to come back."""
    seconds, message = failure.wait_seconds, _printable(failure.message)
    if seconds is None or _CODES.get(failure.kind) != "rate_limit_exceeded" or _WAIT in message:
        return message
    return f"{message} Please {_WAIT} {math.ceil(seconds * 1000) / 1000:g}s."


def _printable(text: str) -> str:
    """The text with lone surrogates replaced: it comes from outside."""
    return text.encode("utf-8", "replace").decode()
