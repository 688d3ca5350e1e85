"""Reading HTTP requests: headers, and bodies up to a limit."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol

from starlette.types import Receive, Scope, Send

from gateway.api.turns import in_turns
from gateway.api.unpacking import ACCEPTED, is_known, unpacked_in_steps
from translators.errors import ErrorKind, FailedError, Failure

# In so much time so many bytes of a body have to come; an uplink of 1 Mbit/s brings fifteen times as many.
BODY_WINDOW_SECONDS: Final = 30.0
_LEAST_BYTES_A_SECOND: Final = 8 * 1024
# All of it has so much time and, for each byte that it may have, what 0.5 Mbit/s take: 572 s for 32 MiB.
_BODY_SECONDS: Final = 60.0
_SLOWEST_BYTES_A_SECOND: Final = 64 * 1024


class ClientGoneError(Exception):
    """The client has hung up; there is nobody left to answer."""


class BodyPace(NamedTuple):
    """How slow a body may be: so many bytes in each window, and so much time for all of it."""

    window_seconds: float
    least_bytes: float
    total_seconds: float


def body_pace(limit: int) -> BodyPace:
    """The pace for bodies up to a limit in bytes."""
    window = BODY_WINDOW_SECONDS
    return BodyPace(window, window * _LEAST_BYTES_A_SECOND, _BODY_SECONDS + limit / _SLOWEST_BYTES_A_SECOND)


class ClientConnection(Protocol):
    """What the gateway's own server knows of a client beyond ASGI; under another server there is none."""

    async def body(self, limit: int) -> bytes:
        """The whole body, or so much of it that it is above the limit.

        Raises `ClientGoneError` if it never ends, `TimeoutError` if it is slower than its `body_pace`, `FailedError`
        where there is no room for it.
        """
        ...

    def hold(self, size: int) -> None:
        """Have the process count so many bytes as held for the request, in place of what it was told before.

        To hold more raises `ClientGoneError` after the client has left, `FailedError` where there is no room.
        """
        ...

    def takes_answer(self, send: Send) -> bool:
        """Whether `answer` does what `send` would: nobody stands between who adds headers, and the client keeps up."""
        ...

    def answer(self, status: int, lines: bytes, body: bytes) -> None:
        """Send a whole answer at once; `lines` are its headers, the content-length among them."""
        ...

    @property
    def takes_pushes(self) -> bool:
        """Whether the head of a chunked answer has left and the client takes what it is sent."""
        ...

    def push(self, data: bytes) -> None:
        """Send a piece of a chunked answer at once."""
        ...

    @property
    def is_full(self) -> bool:
        """Whether the client does not take more for now."""
        ...

    async def drained(self) -> None:
        """Until the client takes more, or has gone."""
        ...

    is_patient: bool
    """Whether the `send` of ASGI waits while the client does not read."""

    def watch(self, on_gone: Callable[[], None]) -> None:
        """Have a function called when the client leaves, at once if it has left."""
        ...

    def unwatch(self, on_gone: Callable[[], None]) -> None:
        """Call that off."""
        ...


def attach_connection(scope: Scope, connection: ClientConnection) -> None:
    """Put the request's connection where the endpoints find it."""
    scope[_CONNECTION] = connection


def detach_connection(scope: Scope) -> None:
    """Take it away again."""
    scope.pop(_CONNECTION, None)


def connection_of(scope: Scope) -> ClientConnection | None:
    """The request's connection, if the server tells."""
    return scope.get(_CONNECTION)


def headers_of(scope: Scope) -> Mapping[bytes, bytes]:
    """The headers by their (lower case) names, of several with the same name the first."""
    headers: dict[bytes, bytes] | None = scope.get(_HEADERS)
    if headers is None:
        # Read backwards, so that the first of several stays.
        headers = scope[_HEADERS] = dict(reversed(scope["headers"]))
    return headers


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of that (lower case) name."""
    value = headers_of(scope).get(name)
    return None if value is None else value.decode("latin-1")


_CONNECTION: Final = "dragoman.connection"
_HEADERS: Final = "dragoman.headers"
_BOM: Final = b"\xef\xbb\xbf"
_IDENTITY: Final = ("", "identity")
_ENCODING: Final = b"content-encoding"


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body, unpacked; refuses one above `limit` bytes, compressed or not, as soon as that is known.

    Raises `ClientGoneError` if it never ends.
    """
    headers = headers_of(scope)
    coding = _coding(scope) if _ENCODING in headers else None
    announced = headers.get(b"content-length")
    if announced is not None and announced.isdigit() and int(announced) > limit:
        raise _too_large(limit)
    connection = connection_of(scope)
    try:
        if connection is not None:
            body = await connection.body(limit)
        else:
            body = await _received(receive, limit)
    except TimeoutError:
        raise FailedError(Failure(ErrorKind.TOO_SLOW, "The request body did not arrive in time.")) from None
    if coding is not None and len(body) <= limit:
        body = await _unpacked(coding, body, limit, connection)
    if len(body) > limit:
        raise _too_large(limit)
    # Some editors and shells put a byte order mark in front of the JSON they write.
    return body.removeprefix(_BOM)


def _coding(scope: Scope) -> str | None:
    """How the body is compressed, if it is; one coding at most, since each further one multiplies what comes out."""
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


async def _unpacked(coding: str, body: bytes, limit: int, connection: ClientConnection | None) -> bytes:
    hold = connection.hold if connection is not None else _uncounted
    compressed = len(body)
    try:
        hold(compressed)
        return await in_turns(unpacked_in_steps(coding, body, limit, lambda size: hold(compressed + size)))
    finally:
        hold(0)


def _uncounted(_size: int) -> None:
    return


async def _received(receive: Receive, limit: int) -> bytes:
    """The body by ASGI alone, or so much of it that it is above the limit."""
    body = bytearray()
    pace = body_pace(limit)
    # One timer for both limits: the end of a window comes before the end of all, but for the last one.
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
