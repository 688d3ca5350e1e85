"""Reading HTTP requests: headers, and bodies up to a limit."""

import asyncio
from collections.abc import Mapping
from typing import Final

from starlette.types import Receive, Scope

from gateway.edge.slices import in_slices
from gateway.edge.unpacking import ACCEPTED, is_known, unpacked_in_steps
from gateway.http.body import body_pace
from gateway.http.errors import ClientGoneError, NoRoomError
from gateway.http.request import ServedRequest, served_request
from translators.errors import ErrorKind, FailedError, Failure


def headers_of(scope: Scope) -> Mapping[bytes, bytes]:
    """The headers by lower-case name; of several with the same name, the first."""
    headers: dict[bytes, bytes] | None = scope.get(_HEADERS)
    if headers is None:
        # Reversed, so that the first of several replaces the others.
        headers = scope[_HEADERS] = dict(reversed(scope["headers"]))
    return headers


def header(scope: Scope, name: bytes) -> str | None:
    """The value of the first header with this lower-case name."""
    value = headers_of(scope).get(name)
    return None if value is None else value.decode("latin-1")


_HEADERS: Final = "dragoman.headers"
_BOM: Final = b"\xef\xbb\xbf"
_IDENTITY: Final = ("", "identity")
_ENCODING: Final = b"content-encoding"
# By then most bodies in memory have been read, and make room for others.
_RETRY_SECONDS: Final = 2.0


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body, decompressed; one above `limit` bytes, compressed or not, is refused as soon as that is known.

    Raises `ClientGoneError` if the client disconnects before the end.
    """
    headers = headers_of(scope)
    coding = _coding(scope) if _ENCODING in headers else None
    announced = headers.get(b"content-length")
    if announced is not None and announced.isdigit() and int(announced) > limit:
        raise _too_large(limit)
    served = served_request(scope)
    try:
        if served is not None:
            body = await served.body(limit)
        else:
            body = await _received(receive, limit)
        if coding is not None and len(body) <= limit:
            body = await _unpacked(coding, body, limit, served)
    except TimeoutError:
        raise FailedError(Failure(ErrorKind.TOO_SLOW, "The request body did not arrive in time.")) from None
    except NoRoomError:
        message = "The gateway has as many request bodies in memory as it takes. Please try again."
        raise FailedError(Failure(ErrorKind.GATEWAY_BUSY, message, retry_after_seconds=_RETRY_SECONDS)) from None
    if len(body) > limit:
        raise _too_large(limit)
    # Some editors and shells put a byte order mark in front of the JSON they write.
    return body.removeprefix(_BOM)


def _coding(scope: Scope) -> str | None:
    """The coding of a compressed body. More than one is refused: each multiplies the possible size of the output."""
    listed = b",".join(value for name, value in scope["headers"] if name == _ENCODING).decode("latin-1").lower()
    codings = [coding for coding in map(str.strip, listed.split(",")) if coding not in _IDENTITY]
    if not codings:
        return None
    if len(codings) > 1:
        message = f"Send the body with one content-encoding, not with {len(codings)}: one of {ACCEPTED}, or none."
        raise FailedError(Failure(ErrorKind.UNSUPPORTED_ENCODING, message))
    if not is_known(codings[0]):
        message = f"This content-encoding is not understood. Use one of {ACCEPTED}, or none."
        raise FailedError(Failure(ErrorKind.UNSUPPORTED_ENCODING, message))
    return codings[0]


async def _unpacked(coding: str, body: bytes, limit: int, served: ServedRequest | None) -> bytes:
    hold = served.hold if served is not None else _uncounted
    compressed = len(body)
    try:
        hold(compressed)
        return await in_slices(unpacked_in_steps(coding, body, limit, lambda size: hold(compressed + size)))
    finally:
        hold(0)


def _uncounted(_size: int) -> None:
    return


async def _received(receive: Receive, limit: int) -> bytes:
    """The body, received by plain ASGI; it ends early as soon as it is above the limit."""
    body = bytearray()
    pace = body_pace(limit)
    # One timer for both limits: it fires at the end of the window, or of the total time if that comes first.
    ends_at = asyncio.get_running_loop().time() + pace.total_seconds
    async with asyncio.timeout(pace.window_seconds) as window:
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            body += message.get("body", b"")
            if len(body) > limit or not message.get("more_body", False):
                return bytes(body)
            if len(body) - size >= pace.least_bytes:
                size = len(body)
                window.reschedule(min(ends_at, asyncio.get_running_loop().time() + pace.window_seconds))


def _too_large(limit: int) -> FailedError:
    message = f"The request body is larger than {limit} bytes ({limit / 2**20:g} MiB)."
    return FailedError(Failure(ErrorKind.TOO_LARGE, message))
