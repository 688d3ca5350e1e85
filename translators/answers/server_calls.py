"""Calls of the client's tools that a server tool has made: they are the client's only while their results are due.

Code that runs upstream may call them (programmatic tool calling). Whether it waits for the client, or has ended by
itself, shows later in the answer: until then its calls are held.
"""

from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from translators.wire.messages import CALLER_DECODER

# What an answer ends with that waits for nothing; none where the gateway has ended it. One that upstream has cut off is
# told with its calls, as with those of the model.
_COMPLETE: Final = frozenset({"end_turn", "stop_sequence", None})


class HeldInput:
    """The input of a call that is held, as a filter that lets nothing through."""

    def __init__(self) -> None:
        self._pieces: list[str] = []

    def feed(self, text: str) -> str:
        """Nothing."""
        self._pieces.append(text)
        return ""

    def end(self) -> str:
        """All of it."""
        return "".join(self._pieces)


class HeldCall(NamedTuple):
    """A call as upstream has made it: `whole_input` is its JSON where no pieces come."""

    id: str
    name: str
    whole_input: bytes
    input: HeldInput


class ServerCalls:
    """The calls that are held, by the call of the server tool that has made them."""

    def __init__(self) -> None:
        self._held: dict[str, list[HeldCall]] = {}

    def hold(self, maker: str, call: HeldCall) -> None:
        """A call has begun."""
        self._held.setdefault(maker, []).append(call)

    def finish(self, maker: str) -> None:
        """The server tool has given its result: it has all that it asked for."""
        self._held.pop(maker, None)

    def due(self, stop_reason: str | None) -> list[HeldCall]:
        """The calls that upstream waits for at the end of an answer."""
        if stop_reason in _COMPLETE:
            return []
        return [call for calls in self._held.values() for call in calls]


def maker_of(caller: Raw) -> str:
    """The id of the server tool's call that has made another; empty where the model itself has."""
    if bytes(caller) == b"null":
        return ""
    try:
        known = CALLER_DECODER.decode(caller)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return known.tool_id if known.type != "direct" else ""
