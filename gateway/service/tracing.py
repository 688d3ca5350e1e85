"""The trace that the current request belongs to, in its task and in those that it starts; None where nobody traces."""

from contextvars import ContextVar
from typing import Final

from msgspec import Struct

_VERSION: Final = "00"
# The last part of an attempt's id is random, and long enough for the id of a span.
_SPAN_BYTES: Final = 8


class Trace(Struct, frozen=True):
    """Ids in hexadecimal digits, as in `traceparent` (https://www.w3.org/TR/trace-context).

    `span_id` is the one of the request's own span, `parent_id` the caller's. `state` is the caller's `tracestate`.
    """

    trace_id: str
    span_id: str
    is_sampled: bool
    parent_id: str | None = None
    state: str = ""

    def headers_for(self, attempt_id: bytes) -> tuple[tuple[str, str], ...]:
        """What upstream is told by a call."""
        flags = "01" if self.is_sampled else "00"
        parent = ("traceparent", f"{_VERSION}-{self.trace_id}-{span_id_of(attempt_id)}-{flags}")
        return (parent, ("tracestate", self.state)) if self.state else (parent,)


CURRENT: Final[ContextVar[Trace | None]] = ContextVar("dragoman.trace", default=None)


def span_id_of(attempt_id: bytes) -> str:
    """The id of the span of an attempt, which upstream is told before the attempt has ended."""
    return attempt_id[-_SPAN_BYTES:].hex()
