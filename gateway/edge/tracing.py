"""The trace that a request belongs to, as `traceparent` and `tracestate` say (https://www.w3.org/TR/trace-context)."""

import re
from typing import Final, NamedTuple

from starlette.types import Scope

from gateway.edge.requests import headers_of

# Ids of zeros are invalid. A later version may have more parts.
_TRACEPARENT: Final = re.compile(rb"([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_FIRST_VERSION: Final = b"00"
_NO_VERSION: Final = b"ff"
_TRACESTATE: Final = re.compile(rb"[\x20-\x7e]{1,512}")
_SAMPLED: Final = 1


class CallersTrace(NamedTuple):
    """The caller's trace and span in hexadecimal digits, and whether it records them."""

    trace_id: str
    span_id: str
    is_sampled: bool
    state: str


def callers_trace(scope: Scope) -> CallersTrace | None:
    """What the headers say; None without a valid `traceparent`."""
    headers = headers_of(scope)
    parent = headers.get(b"traceparent")
    found = None if parent is None else _TRACEPARENT.fullmatch(parent.strip())
    if found is None or found[1] == _NO_VERSION or (found[1] == _FIRST_VERSION and found[5] is not None):
        return None
    state = headers.get(b"tracestate", b"").strip()
    return CallersTrace(
        found[2].decode("ascii"),
        found[3].decode("ascii"),
        bool(int(found[4], 16) & _SAMPLED),
        state.decode("ascii") if _TRACESTATE.fullmatch(state) else "",
    )


def trace_id_of(scope: Scope) -> str | None:
    """The id of the caller's trace, in hexadecimal digits; None without a valid header."""
    found = callers_trace(scope)
    return None if found is None else found.trace_id
