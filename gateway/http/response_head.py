"""Writes the heads of responses, and chunks (RFC 9112)."""

import re
from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus
from typing import Final, NamedTuple

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE: Final = b"connection: close\r\n"
CHUNKED: Final = b"transfer-encoding: chunked\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"
# The first bytes of every response; the size of a chunk may have leading zeros.
BEGINNING: Final = b"HTTP/1.1 "
LEADING_ZERO: Final = b"0"
# Responses with these statuses have no body.
BODILESS: Final = frozenset({204, 304})

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
STATUS_LINES: Final = {
    status: f"HTTP/1.1 {status} {_PHRASES.get(status, '')}\r\n".encode() for status in range(200, 600)
}
# Any other byte could end the line and let a caller inject headers.
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")


class Fields(NamedTuple):
    """Encoded header lines, and what they mean for the body and the connection."""

    lines: bytes
    length: int | None
    is_chunked: bool
    closes: bool


def fields(headers: Iterable[tuple[bytes, bytes]]) -> Fields:
    """Encode headers; raises `ValueError` for an invalid name or value."""
    lines: list[bytes] = []
    length: int | None = None
    is_chunked = closes = False
    for given, value in headers:
        name = given.lower()
        if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)):
            raise ValueError(f"{name!r} is no header, or has a value that is none.")
        if name == b"content-length":
            length = int(value)
        elif name == b"transfer-encoding":
            is_chunked = value.lower() == b"chunked"
        elif name == b"connection":
            closes = b"close" in [token.strip() for token in value.lower().split(b",")]
        lines += (name, b": ", value, b"\r\n")
    return Fields(b"".join(lines), length, is_chunked, closes)


# The headers of every response change once a second, with the date.
standing_fields: Final = lru_cache(maxsize=4)(fields)


def chunk(data: bytes) -> bytes:
    """A chunk of a body; `data` must not be empty, because an empty chunk ends the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)
