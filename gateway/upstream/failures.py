"""What can go wrong on the way to upstream, in the words that every client of it uses."""

from translators.errors import ErrorKind, Failure


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
