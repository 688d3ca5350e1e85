"""The errors that the server reports by itself, for requests that never reach the application."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final, NamedTuple, TypeAlias

# Connections and memory are usually free again soon.
_RETRY_SECONDS: Final = 2.0


class Refusal(NamedTuple):
    """A status and a message for the client."""

    status: HTTPStatus
    message: str
    retry_after_seconds: float | None = None


Refuse: TypeAlias = Callable[[Refusal, bytes, Sequence[tuple[bytes, bytes]]], bytes]
"""Writes a refusal as a complete response, the last one of its connection.

It gets the request target and the headers as far as they have arrived, because the application's error format can
depend on them.
"""


class RefusedError(Exception):
    """The request is refused, and its connection closed."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class TooManyWaitingError(Exception):
    """Too many pipelined requests: those before this one are served, then the connection is closed."""


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

NOT_ENCRYPTED: Final = Refusal(
    HTTPStatus.BAD_REQUEST, "This port speaks HTTPS, and the request was not encrypted: begin the URL with https://."
)


def bad_request(message: str) -> Refusal:
    """A refusal for bytes that are not HTTP, or are ambiguous."""
    return Refusal(HTTPStatus.BAD_REQUEST, message)
