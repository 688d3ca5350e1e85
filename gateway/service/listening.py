"""Hears what is said in a request whose client lets it be kept."""

from typing import Final

# Of a request and of an answer, each.
MOST_BYTES: Final = 64 * 1024


class Listener:
    """Takes the beginning of a request's body and of its answer, which are to be kept for so many seconds.

    With `is_traced`, they may be in a trace as well.
    """

    __slots__ = ("_answer", "is_traced", "keep_seconds", "request")

    def __init__(self, keep_seconds: float, *, is_traced: bool = False) -> None:
        self.is_traced = is_traced
        self.request = b""
        self.keep_seconds = keep_seconds
        self._answer = bytearray()

    def take(self, body: bytes) -> bytes:
        """Take the beginning of the request's body; returns the body."""
        self.request = body[:MOST_BYTES]
        return body

    def hear(self, data: bytes) -> None:
        """A piece of the answer."""
        if (room := MOST_BYTES - len(self._answer)) > 0:
            self._answer += data[:room]

    @property
    def answer(self) -> bytes:
        return bytes(self._answer)
