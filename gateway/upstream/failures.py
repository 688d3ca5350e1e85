"""What can go wrong on the way to upstream: exceptions in, failures and their words out, the same for every client."""

import errno
import os
import socket
import ssl
from collections.abc import Iterator
from typing import Final

from translators.errors import ErrorKind, Failure

# System errors that are this machine's own: no file descriptor in the process or in the system, no buffer, no memory.
_EXHAUSTION: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_RETRY_SECONDS: Final = 1.0


def unconnected(error: BaseException) -> Failure:
    """No connection: the host's failure, or the gateway's if this machine has run out of descriptors or memory."""
    detail = in_words(error)
    if not is_exhaustion(error):
        return unreachable(detail)
    message = "The gateway has too many connections to make another one. Please try again."
    return Failure(ErrorKind.GATEWAY_BUSY, message, retry_after_seconds=_RETRY_SECONDS, detail=detail)


def is_exhaustion(error: BaseException) -> bool:
    """Whether this machine ran out of something; looks behind the errors of libraries for the system's own."""
    for found in _causes(error):
        if isinstance(found, OSError) and found.errno in _EXHAUSTION:
            return True
        if isinstance(found, socket.gaierror) or (isinstance(found, OSError) and found.errno == errno.EINVAL):
            # A resolver without a descriptor reports some other error, or the system's "invalid argument".
            return _has_no_descriptor()
    return False


def in_words(error: BaseException) -> str:
    """The reason for an exception, as a log can quote it: "connection refused", no class name, no error number."""
    words = next(filter(None, map(_system_words, _causes(error))), "") or str(error).strip().rstrip(".")
    # Lower only the first letter of a word, not abbreviations like TLS.
    return words[:1].lower() + words[1:] if words[1:2].islower() else words or "the connection failed"


def _system_words(error: BaseException) -> str:
    """What the system says; "" for an error that is a library's own."""
    if isinstance(error, socket.gaierror):
        return "the host's name could not be resolved"
    if isinstance(error, UnicodeError):
        return "the host's name is not valid"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate was not accepted: {getattr(error, 'verify_message', '').rstrip('.')}"
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", None) or "no reason given"
        return f"TLS failed: {reason.replace('_', ' ').lower()}"
    if isinstance(error, OSError) and error.errno is not None:
        # Not `strerror`, in which asyncio puts texts of its own.
        return os.strerror(error.errno)
    if isinstance(error, TimeoutError):
        return "timed out"
    # asyncio raises one without a text when the peer leaves in the middle of the TLS handshake.
    return "the connection was closed" if isinstance(error, ConnectionError) and not str(error) else ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, then those behind it, the nearest first."""
    causes: list[BaseException] = [error]
    for found in causes:
        yield found
        nested = found.exceptions if isinstance(found, BaseExceptionGroup) else ()
        behind = (found.__cause__ or found.__context__, *nested)
        causes += [cause for cause in behind if cause is not None and cause not in causes]


def _has_no_descriptor() -> bool:
    try:
        socket.socket().close()
    except OSError as error:
        return error.errno in _EXHAUSTION
    return False


def unreachable(detail: str) -> Failure:
    """No connection could be made."""
    return Failure(ErrorKind.UNREACHABLE, "Upstream could not be reached.", detail=detail)


def unreachable_in_time(detail: str) -> Failure:
    """The connection was neither refused nor accepted within its time limit."""
    return Failure(ErrorKind.UNREACHABLE, "Upstream could not be reached in time.", detail=detail)


def unanswered(detail: str) -> Failure:
    """The connection ended before the head of the answer arrived."""
    return Failure(ErrorKind.UNREACHABLE, "Upstream closed the connection without an answer.", detail=detail)


def too_slow(detail: str) -> Failure:
    """Upstream was silent for too long, or the whole call took too long."""
    return Failure(ErrorKind.UPSTREAM_TIMEOUT, "Upstream did not answer in time.", detail=detail)


def unread(detail: str) -> Failure:
    """The caller did not read its answer before the time limit; upstream is not to blame."""
    return Failure(ErrorKind.TOO_SLOW, "The answer was not read in time.", detail=detail)


def cut_off(detail: str) -> Failure:
    """The connection ended inside the body of the answer."""
    return Failure(ErrorKind.CUT_OFF, "Upstream's connection broke before the answer was complete.", detail=detail)


def undecodable(detail: str) -> Failure:
    """The answer is not valid HTTP, or has a content encoding that was not asked for."""
    return Failure(ErrorKind.PROTOCOL_ERROR, "Upstream's answer could not be decoded.", detail=detail)


def unsendable_key() -> Failure:
    """The key cannot be put into a header; the failure does not quote it."""
    detail = "the key has characters that no header can carry"
    return Failure(ErrorKind.KEY_REJECTED, "The gateway's key cannot be sent.", detail=detail)
