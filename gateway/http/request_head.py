"""Which request heads are valid (RFC 9112)."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

import httptools

from gateway.http.refusals import Refusal, RefusedError, bad_request

# nginx allows 32 KB; keys, cookies and tracing headers of real clients stay far below.
MAX_HEAD_BYTES: Final = 64 * 1024
# SDKs behind several proxies send some forty; each costs far more memory than its bytes.
MAX_HEADERS: Final = 128

_VERSIONS: Final = ("1.1", "1.0")
# Only these headers are checked.
_DECISIVE: Final = frozenset({b"host", b"transfer-encoding", b"expect"})
# A name (of at most 253 characters), an IPv4 address or an IPv6 address in brackets, and a port (RFC 3986, 3.2.2).
_HOST: Final = re.compile(rb"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9\-._~%!$&'()*+,;=]{0,253})(:[0-9]{0,5})?[\t ]*")
# The parser's messages for an unknown version and for the preface of HTTP/2.
_VERSION_ERRORS: Final = ("Invalid HTTP version", "Pause on PRI/Upgrade")

HEAD_TOO_LARGE: Final = Refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"The request's headers are larger than {MAX_HEAD_BYTES} bytes."
)
TOO_MANY_HEADERS: Final = Refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"The request has more than {MAX_HEADERS} headers."
)
_UNKNOWN_VERSION: Final = Refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "This server speaks HTTP/1.1 and HTTP/1.0.")
_CONNECT: Final = Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "CONNECT is not possible here: this is no proxy.")


def check_head(method: bytes, version: str, headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Returns whether the client expects `100 Continue`; raises `RefusedError` for a head that must not be served.

    The names are in lower case. What two servers could read differently is refused here or by the parser.
    """
    if version not in _VERSIONS:
        raise RefusedError(_UNKNOWN_VERSION)
    if method == b"CONNECT":
        raise RefusedError(_CONNECT)
    if len(headers) > MAX_HEADERS:
        raise RefusedError(TOO_MANY_HEADERS)
    hosts, expects = 0, False
    for name, value in headers:
        if name not in _DECISIVE:
            continue
        if name == b"host":
            hosts += 1
            if not _HOST.fullmatch(value):
                raise RefusedError(bad_request("The Host header is not valid."))
        elif name == b"expect":
            expects = expects or value.lower() == b"100-continue"
        else:
            _check_coding(version, value)
    if hosts > 1 or (not hosts and version == "1.1"):
        raise RefusedError(bad_request(f"A request has exactly one Host header, this one has {hosts}."))
    return expects and version == "1.1"


def refusal_of(error: Exception) -> Refusal:
    """The refusal for an error of the parser."""
    # The parser sets an exception of a callback as the context of its own.
    if isinstance(error.__context__, RefusedError):
        return error.__context__.refusal
    if str(error) in _VERSION_ERRORS:
        return _UNKNOWN_VERSION
    return bad_request("Invalid HTTP request received.")


def target_parts(url: bytes) -> tuple[str, bytes]:
    """Path and query of a request target; raises if it has no path or is not ASCII."""
    if url.startswith(b"/") and b"#" not in url:
        path, _, query = url.partition(b"?")
        return path.decode("ascii"), query
    parsed = httptools.parse_url(url)
    return parsed.path.decode("ascii"), parsed.query or b""


def _check_coding(version: str, value: bytes) -> None:
    # A coding in HTTP/1.0 is ambiguous (RFC 9112, 6.1). The parser refuses a repeated `chunked`, and one with a
    # content-length, but accepts other codings before it, which we would have to decode.
    if version == "1.0" or value.strip().lower() != b"chunked":
        raise RefusedError(bad_request("Of transfer codings only chunked is understood, in HTTP/1.1."))
