"""What stands before a thinking block, as one digest: tools, system, and the conversation block by block."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec

_SIZE: Final = 16
# What means the same as leaving the field out.
_USUAL: Final[dict[str, Any]] = {"type": "custom", "caller": {"type": "direct"}, "description": ""}

JSONObject = Mapping[str, Any]


class Trail:
    """A running digest; equal for two requests that say the same in other words of JSON.

    A text is the same as one text block, messages of one role in a row the same as one message, and cache marks count
    for nothing.
    """

    def __init__(self, tools: Iterable[JSONObject], system: str | list[dict[str, Any]]) -> None:
        self._hash = blake2b(digest_size=_SIZE)
        self._role = ""
        for tool in tools:
            self._take(_plain(tool))
        self.turn("instructions")
        for block in _as_blocks(system):
            self.add(block)

    def turn(self, role: str) -> None:
        """Go on to this role, which may have been speaking already."""
        if role != self._role:
            self._role = role
            self._take(role)

    def add(self, block: JSONObject) -> None:
        """Take in a block of the role that speaks."""
        self._take(_plain(block))

    def digest(self) -> bytes:
        """All that was taken in so far."""
        return self._hash.copy().digest()

    def _take(self, value: Any) -> None:
        # JSON has no line breaks outside of its texts' escapes, so no two rows of values read alike.
        self._hash.update(msgspec.json.encode(value, order="sorted") + b"\n")


def _plain(block: JSONObject) -> dict[str, Any]:
    """A block or tool without what does not count."""
    kept = {
        name: value
        for name, value in block.items()
        if name != "cache_control" and value is not None and value != _USUAL.get(name, ...)
    }
    if block.get("type") == "thinking":
        # Its signature says it all; text that is put into a kept-back thought is ignored.
        del kept["thinking"]
    if block.get("type") == "tool_result":
        kept["content"] = [_plain(inner) for inner in _as_blocks(block.get("content") or "")]
    return kept


def _as_blocks(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content
