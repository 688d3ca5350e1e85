"""What can go wrong on the way to upstream, in the words that every client of it uses."""

import errno
import socket
from typing import Final

from translators.errors import ErrorKind, Failure

# What of the system's errors is about this machine: no descriptor in this process or at all, no buffer, no memory.
_EXHAUSTION: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_RETRY_SECONDS: Final = 1.0


def unconnected(error: BaseException, detail: str) -> Failure:
    """There is no connection, for want of a host, or of something of our own: that is nobody's fault."""
    if not is_exhaustion(error):
        return unreachable(detail)
    message = "The gateway has too many connections to make another one. Please try again."
    return Failure(ErrorKind.GATEWAY_BUSY, message, retry_after_seconds=_RETRY_SECONDS, detail=detail)


def is_exhaustion(error: BaseException) -> bool:
    """Whether this machine could not do its part; also where a library has put its own error around the system's."""
    causes: list[BaseException] = [error]
    for found in causes:
        if isinstance(found, OSError) and found.errno in _EXHAUSTION:
            return True
        if isinstance(found, socket.gaierror):
            # Without a descriptor no name is looked up, and the resolver says anything but that.
            return _has_no_descriptor()
        nested = found.exceptions if isinstance(found, BaseExceptionGroup) else ()
        behind = (found.__cause__ or found.__context__, *nested)
        causes += [cause for cause in behind if cause is not None and cause not in causes]
    return False


def _has_no_descriptor() -> bool:
    try:
        socket.socket().close()
    except OSError as error:
        return error.errno in _EXHAUSTION
    return False


def unreachable(detail: str) -> Failure:
    """There is no connection, and none could be made."""
    return Failure(ErrorKind.UNREACHABLE, "Upstream could not be reached.", detail=detail)


def unreachable_in_time(detail: str) -> Failure:
    """Nobody refused the connection, and nobody took it."""
    return Failure(ErrorKind.UNREACHABLE, "Upstream could not be reached in time.", detail=detail)


def unanswered(detail: str) -> Failure:
    """The connection ended before the answer's head was there."""
    return Failure(ErrorKind.UNREACHABLE, "Upstream closed the connection without an answer.", detail=detail)


def too_slow(detail: str) -> Failure:
    """Upstream has kept silent, or has taken its time, beyond a limit."""
    return Failure(ErrorKind.UPSTREAM_TIMEOUT, "Upstream did not answer in time.", detail=detail)


def unread(detail: str) -> Failure:
    """The caller has not read its answer for so long that a limit is reached: nobody upstream is to blame."""
    return Failure(ErrorKind.TOO_SLOW, "The answer was not read in time.", detail=detail)


def cut_off(detail: str) -> Failure:
    """The connection ended inside the answer's body."""
    return Failure(ErrorKind.CUT_OFF, "Upstream's connection broke before the answer was complete.", detail=detail)


def undecodable(detail: str) -> Failure:
    """The answer is no HTTP, or in an encoding that was not asked for."""
    return Failure(ErrorKind.PROTOCOL_ERROR, "Upstream's answer could not be decoded.", detail=detail)


def unsendable_key() -> Failure:
    """The key cannot be put into a header; its text stays out of this."""
    detail = "the key has characters that no header can carry"
    return Failure(ErrorKind.KEY_REJECTED, "The gateway's key cannot be sent.", detail=detail)
