"""How a request has ended, for those who count: by the exception that ended it."""

from typing import Final, NamedTuple

from gateway.http.errors import ClientGoneError
from translators.errors import RULES, ErrorKind, FailedError

CLIENT_GONE_STATUS: Final = 499
"""What nginx logs for a client that has disconnected; this status is never sent."""
CLIENT_GONE: Final = "client_gone"


class Outcome(NamedTuple):
    """`status` is what the caller is told, or would be if no stream had begun; `error` is None if all went well."""

    status: int = 200
    error: str | None = None


_INTERNAL: Final = Outcome(RULES[ErrorKind.INTERNAL].status, ErrorKind.INTERNAL.name.lower())


def outcome_of(error: BaseException) -> Outcome:
    """The outcome of a request that this exception ends."""
    if isinstance(error, FailedError):
        return Outcome(error.failure.rule.status, error.failure.kind.name.lower())
    if isinstance(error, ClientGoneError) or not isinstance(error, Exception):
        # Not an `Exception`: its task was cancelled, so nobody waits for it any more.
        return Outcome(CLIENT_GONE_STATUS, CLIENT_GONE)
    return _INTERNAL
