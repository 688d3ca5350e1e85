"""Content blocks: one struct for each type that the answer depends on, and reading them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from gateway.demo.errors import invalid
from gateway.demo.wire import CacheControl, Exact, convert


class Block(Exact):
    type: str


BlockReader = Callable[[dict[str, Any], str, str], Block]


class Marked(Block, kw_only=True):
    """A block that can carry a cache mark."""

    cache_control: CacheControl | None = None


class Text(Marked, kw_only=True):
    text: str
    citations: list[dict[str, Any]] | None = None


class Image(Marked, kw_only=True):
    """An `image` block."""

    source: dict[str, Any]
    transformations: dict[str, Any] | None = None


class Document(Marked, kw_only=True):
    """A `document` block."""

    source: dict[str, Any]
    title: str | None = None
    context: str | None = None
    citations: dict[str, Any] | None = None


class SearchResult(Marked, kw_only=True):
    """A `search_result` block."""

    source: str
    title: str
    content: list[dict[str, Any]]
    citations: dict[str, Any] | None = None


class Thought(Block, kw_only=True):
    """A `thinking` block that the client sent back."""

    thinking: str
    signature: str


class RedactedThought(Block, kw_only=True):
    """A `redacted_thinking` block that the client sent back."""

    data: str


class ToolUse(Marked, kw_only=True):
    """A `tool_use` block that the client sent back."""

    id: str
    name: str
    input: dict[str, Any]
    caller: dict[str, Any] | None = None
    toolset_name: str | None = None


class ToolResult(Marked, kw_only=True):
    """A `tool_result` block."""

    tool_use_id: str
    content: str | list[dict[str, Any]] = ""
    is_error: bool = False
    toolset_name: str | None = None


_KNOWN: dict[str, type[Block]] = {
    "text": Text,
    "image": Image,
    "document": Document,
    "search_result": SearchResult,
    "thinking": Thought,
    "redacted_thinking": RedactedThought,
    "tool_use": ToolUse,
    "tool_result": ToolResult,
}
# What Claude's own tools leave in a history: accepted, and not read.
_PASSED_OVER = re.compile(
    r"(server|mcp)_tool_use|\w+_tool_result|container_upload|compaction|fallback|tool_(addition|removal|reference)"
)


def read_block(value: dict[str, Any], speaker: str, path: str) -> Block:
    """Read one block. `speaker` is a role, or `tool_result` for the content of a result; any may send any block."""
    kind = value.get("type")
    if not isinstance(kind, str):
        raise invalid(f"{path}.type: Field required")
    if kind in _KNOWN:
        return convert(value, _KNOWN[kind], f"{path}.{kind}")
    if _PASSED_OVER.fullmatch(kind):
        return Block(type=kind)
    tags = ", ".join(f"'{tag}'" for tag in sorted(_KNOWN))
    raise invalid(f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {tags}")


def read_blocks(
    content: str | list[dict[str, Any]], speaker: str, path: str, *, first: int = 0, read: BlockReader = read_block
) -> list[Block]:
    """Read the blocks of a content field; `path` is its place in error messages."""
    if isinstance(content, str):
        return [Text(type="text", text=content)] if content else []
    return [read(value, speaker, f"{path}.{place}") for place, value in enumerate(content, first)]


def result_blocks(result: ToolResult, path: str = "tool_result", *, read: BlockReader = read_block) -> list[Block]:
    """The blocks in a tool_result."""
    return read_blocks(result.content, "tool_result", f"{path}.content", read=read)
