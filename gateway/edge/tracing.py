"""The trace that a request belongs to, as the W3C names it in `traceparent`."""

import re
from typing import Final

from starlette.types import Scope

from gateway.edge.requests import headers_of

_TRACEPARENT: Final = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)


def trace_id_of(scope: Scope) -> str | None:
    """The id of the trace, in hexadecimal digits; None without a valid header."""
    header = headers_of(scope).get(b"traceparent")
    if header is None:
        return None
    found = _TRACEPARENT.fullmatch(header.strip())
    return found[1].decode("ascii") if found is not None else None
