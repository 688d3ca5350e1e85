"""Reading HTTP requests: headers, and bodies up to a limit."""

import asyncio
from typing import Final

from starlette.types import Receive, Scope

from translators.errors import ErrorKind, FailedError, Failure

# The longest pause before a body, and inside of one.
BODY_IDLE_SECONDS: Final = 60.0


class ClientGoneError(Exception):
    """The client has hung up; there is nobody left to answer."""


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of that (lower case) name."""
    for key, value in scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return None


_BOM: Final = b"\xef\xbb\xbf"
_IDENTITY: Final = ("", "identity")


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body; refuses one above `limit` bytes as soon as that is known, `ClientGoneError` if it never ends."""
    if (header(scope, b"content-encoding") or "").strip().lower() not in _IDENTITY:
        raise FailedError(Failure(ErrorKind.UNSUPPORTED_ENCODING, "Send the body without a content-encoding."))
    announced = header(scope, b"content-length")
    if announced is not None and announced.isdecimal() and int(announced) > limit:
        raise _too_large(limit)
    try:
        return await _read(receive, limit)
    except TimeoutError:
        raise FailedError(Failure(ErrorKind.TOO_SLOW, "The request body did not arrive in time.")) from None


async def _read(receive: Receive, limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async with asyncio.timeout(BODY_IDLE_SECONDS) as pause:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            piece = message.get("body", b"")
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
            pieces.append(piece)
            if not message.get("more_body", False):
                # Some editors and shells put a byte order mark in front of the JSON they write.
                return (pieces[0] if len(pieces) == 1 else b"".join(pieces)).removeprefix(_BOM)
            pause.reschedule(asyncio.get_running_loop().time() + BODY_IDLE_SECONDS)


def _too_large(limit: int) -> FailedError:
    message = f"The request body is larger than {limit} bytes ({limit / 2**20:g} MiB)."
    return FailedError(Failure(ErrorKind.TOO_LARGE, message))
