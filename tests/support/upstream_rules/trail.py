"""Everything before a thinking block, as one digest: tools, system prompt, and the conversation block by block."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec

_SIZE: Final = 16
# Values that mean the same as a missing field.
_USUAL: Final[dict[str, Any]] = {"type": "custom", "caller": {"type": "direct"}, "description": ""}

JSONObject = Mapping[str, Any]


class Trail:
    """A running digest, which does not depend on the spelling of JSON.

    A text equals one text block, consecutive messages of one role equal one message, and cache marks do not count.
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
        """Begin a turn of this role, unless it is the current role already."""
        if role != self._role:
            self._role = role
            self._take(role)

    def add(self, block: JSONObject) -> None:
        """Add a block of the current role."""
        self._take(_plain(block))

    def digest(self) -> bytes:
        """The digest so far."""
        return self._hash.copy().digest()

    def _take(self, value: Any) -> None:
        # Encoded JSON contains no line breaks, so different sequences of values have different bytes.
        self._hash.update(msgspec.json.encode(value, order="sorted") + b"\n")


def _plain(block: JSONObject) -> dict[str, Any]:
    """A block or tool without the fields that do not count."""
    kept = {
        name: value
        for name, value in block.items()
        if name != "cache_control" and value is not None and value != _USUAL.get(name, ...)
    }
    if block.get("type") == "thinking":
        # The signature identifies the thought; the text of one that was not shown is ignored.
        del kept["thinking"]
    if block.get("type") == "tool_result":
        kept["content"] = [_plain(inner) for inner in _as_blocks(block.get("content") or "")]
    return kept


def _as_blocks(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return content
