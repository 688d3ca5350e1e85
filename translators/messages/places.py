"""Where a written request has each of its parts from: upstream's places are told in the caller's terms.

Upstream counts what it was sent: turns whose messages it joins, results that were gathered, tools without those that
were left out. None of that is noted while a request is written; it is written once more where an error asks for it.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from translators.errors import ErrorKind, Failure

# Upstream's messages quote callers: places count where they begin a message, and in the list that was added behind it.
_MESSAGE: Final = re.compile(
    r"messages\.(?P<turn>\d{1,9})(?:\.content\.(?P<block>\d{1,9})(?:\.(?:tool_result\.)?content\.(?P<inner>\d{1,9}))?)?"
    r"(?![\w])"
)
_SYSTEM: Final = re.compile(r"system\.(?P<block>\d{1,9})(?![\w])")
_TOOL: Final = re.compile(r"tools\.(?P<tool>\d{1,9})(?:\.custom)?(?P<schema>\.input_schema)?(?![\w])")
_ANY: Final = (_MESSAGE, _SYSTEM, _TOOL)
_ADDED: Final = re.compile(r" \(at (?P<paths>[^()]*) of the request as it was sent upstream\)\Z")


class Places:
    """The places in a caller's body, by what was written of it."""

    def __init__(self) -> None:
        # With what was written itself: as long as it is there, nothing else has its id.
        self._of: dict[int, tuple[object, str]] = {}
        self._turns: list[list[tuple[dict[str, Any], Any]]] = []
        self._system: Sequence[object] = ()
        self._tools: Sequence[tuple[str, str]] = ()

    def note(self, written: object, place: str) -> None:
        """Where a message, a block or a text comes from; what is known already stays."""
        self._of.setdefault(id(written), (written, place))

    def move(self, old: object, new: object) -> None:
        """What was written is another object now."""
        if (place := self._place(old)) is not None:
            self.note(new, place)

    def complete(
        self, system: Sequence[object], messages: Iterable[dict[str, Any]], tools: Sequence[tuple[str, str]]
    ) -> None:
        """Take in the request as a whole; of each tool its place and that of its schema."""
        self._system, self._tools = system, tools
        before = None
        for message in messages:
            if message["role"] != before:
                self._turns.append([])
            before = message["role"]
            content = message["content"]
            blocks = content if isinstance(content, list) else [None]
            self._turns[-1] += [(message, block) for block in blocks]

    def callers(self, path: str) -> tuple[str, int] | None:
        """The caller's place for one of upstream's at the beginning of a text, and how much of the text names it."""
        for pattern, find in ((_MESSAGE, self._in_messages), (_SYSTEM, self._in_system), (_TOOL, self._in_tools)):
            if (found := pattern.match(path)) is not None:
                place = find(found)
                return None if place is None else (place, found.end())
        return None

    def _place(self, written: object) -> str | None:
        noted = self._of.get(id(written))
        return None if noted is None else noted[1]

    def _in_messages(self, found: re.Match[str]) -> str | None:
        turn = _item(self._turns, found["turn"])
        if turn is None:
            return None
        if found["block"] is None:
            place = self._place(turn[0][0])
            return None if place is None else place.removesuffix(".content")
        entry = _item(turn, found["block"])
        if entry is None:
            return None
        message, block = entry
        place = self._place(block) or self._place(message)
        if found["inner"] is None or place is None:
            return place
        inner = block.get("content") if block is not None else None
        known = self._place(_item(inner, found["inner"])) if isinstance(inner, list) else None
        return known or f"{place}.content"

    def _in_system(self, found: re.Match[str]) -> str | None:
        return self._place(_item(self._system, found["block"]))

    def _in_tools(self, found: re.Match[str]) -> str | None:
        tool = _item(self._tools, found["tool"])
        return None if tool is None else tool[1 if found["schema"] else 0]


def names_places(failure: Failure) -> bool:
    """Whether a failure tells of places in the request as it was sent."""
    if failure.kind is not ErrorKind.INVALID_REQUEST:
        return False
    return any(pattern.match(failure.message) for pattern in _ANY) or _ADDED.search(failure.message) is not None


def located(failure: Failure, places: Places) -> Failure:
    """The failure with the caller's places in its `param` and its words."""
    message, param = failure.message, failure.param
    if (found := places.callers(message)) is not None:
        param, end = found
        message = param + message[end:]
    if (added := _ADDED.search(message)) is not None:
        listed = [_told(path, places) for path in added["paths"].split(", ")]
        if all(listed):
            param = listed[0]
            message = f"{message[: added.start()]} (at {', '.join(filter(None, listed))})"
    return replace(failure, message=message, param=param)


def _told(path: str, places: Places) -> str | None:
    found = places.callers(path)
    return None if found is None else found[0] + path[found[1] :]


def _item(items: Sequence[Any], index: str) -> Any:
    return items[int(index)] if int(index) < len(items) else None
