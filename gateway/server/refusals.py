"""What this server tells clients by itself, whose requests reach no endpoint."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final, NamedTuple, TypeAlias

# A client that finds no place may find one soon.
_RETRY_SECONDS: Final = 2.0


class Refusal(NamedTuple):
    """One of these: a status with a message for the client."""

    status: HTTPStatus
    message: str
    retry_after_seconds: float | None = None


Refuse: TypeAlias = Callable[[Refusal, bytes, Sequence[tuple[bytes, bytes]]], bytes]
"""Writes a refusal as a whole answer, the last one of its connection.

It gets the request's target and headers, as far as they have arrived: only the application knows in what form its
clients expect an error.
"""


class RefusedError(Exception):
    """A request that reaches no endpoint, and is the last one of its connection."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class TooManyWaitingError(Exception):
    """More requests than may wait have come at once; those before them are served, and nobody is told."""


FAILED: Final = Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "The gateway has failed.")
TOO_SLOW: Final = Refusal(HTTPStatus.REQUEST_TIMEOUT, "The request did not arrive in time.")
NO_PLACE: Final = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "The gateway has as many connections as it takes. Please try again.",
    _RETRY_SECONDS,
)
NO_ROOM_FOR_HEAD: Final = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "The gateway has as many unfinished requests in memory as it takes. Please try again.",
    _RETRY_SECONDS,
)


def bad_request(message: str) -> Refusal:
    """What came is no request, or could be read in two ways."""
    return Refusal(HTTPStatus.BAD_REQUEST, message)
