"""What is held of a request until its spans are made: neither upstream's headers and words, nor content.

Except the beginning of the content of clients whose configuration asks for it.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from gateway.service.observers import Ended
from gateway.service.record import AttemptEntry
from gateway.service.tracing import Trace

# Of a request and of an answer, each: collectors refuse batches that are too large.
MOST_BYTES: Final = 16 * 1024


class Finished(Struct, frozen=True):
    """A request after its end. `at` is the Unix time of its beginning; the caller was told `status` and `error`."""

    trace: Trace
    request_id: str
    endpoint: str
    caller: str
    key_id: str | None
    group: str | None
    asked_model: str
    model: str | None
    fallback: str | None
    stop_reason: str | None
    is_stream: bool
    at: float
    seconds: float
    waited_seconds: float
    first_token_seconds: float | None
    entries: Sequence[AttemptEntry]
    status: int
    error: str | None
    said: str | None
    answered: str | None


def finished(ended: Ended, trace: Trace) -> Finished:
    record, heard = ended.record, ended.heard
    if heard is not None and not heard.is_traced:
        heard = None
    return Finished(
        trace,
        ended.request_id,
        ended.endpoint,
        ended.caller,
        ended.key_id,
        ended.group,
        ended.model,
        record.model,
        record.fallback,
        record.stop_reason,
        ended.is_stream,
        ended.at,
        ended.seconds,
        record.waited_seconds,
        record.first_token_seconds,
        record.entries,
        ended.status,
        ended.error,
        None if heard is None else heard.request[:MOST_BYTES].decode(errors="replace"),
        None if heard is None else heard.answer[:MOST_BYTES].decode(errors="replace"),
    )
