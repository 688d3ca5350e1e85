"""All content blocks of the API, and the roles that may send them."""

from __future__ import annotations

from typing import Any

from gateway.demo.blocks import (
    Block,
    Document,
    Image,
    Marked,
    RedactedThought,
    SearchResult,
    Text,
    Thought,
    ToolResult,
    ToolUse,
)
from gateway.demo.errors import invalid
from gateway.demo.wire import convert


class ServerToolUse(ToolUse, kw_only=True):
    """A call of a server tool."""


class ServerToolResult(Marked, kw_only=True):
    """A server tool's result that the client sent back."""

    tool_use_id: str
    content: list[dict[str, Any]] | dict[str, Any]
    caller: dict[str, Any] | None = None


class McpToolUse(ServerToolUse, kw_only=True):
    """A call of a tool of an MCP server's, which the API makes."""

    server_name: str


class McpToolResult(ServerToolResult, kw_only=True):
    """What the MCP server has said."""

    content: str | list[dict[str, Any]] = ""  # type: ignore[assignment]
    is_error: bool = False


class Compaction(Marked, kw_only=True):
    """A `compaction` block, sent back."""

    content: str | None = None
    encrypted_content: str | None = None
    signature: str | None = None
    tool_changes: list[dict[str, Any]] | None = None


class Fallback(Block, kw_only=True):
    """Where another model has taken over, sent back."""

    to: dict[str, Any]
    trigger: Any = None


class ToolChange(Marked, kw_only=True):
    """A tool that comes or goes from here on."""

    tool: dict[str, Any]


class ContainerUpload(Marked, kw_only=True):
    """A `container_upload` block that the client sent back."""

    file_id: str


class ToolReference(Marked, kw_only=True):
    """A `tool_reference` block that the client sent back."""

    tool_name: str


_BY_ROLE: dict[str, dict[str, type[Block]]] = {
    "user": {
        "text": Text,
        "image": Image,
        "document": Document,
        "search_result": SearchResult,
        "tool_result": ToolResult,
        "container_upload": ContainerUpload,
    },
    "assistant": {
        "text": Text,
        "document": Document,
        "thinking": Thought,
        "redacted_thinking": RedactedThought,
        "tool_use": ToolUse,
        "server_tool_use": ServerToolUse,
        "web_search_tool_result": ServerToolResult,
        "web_fetch_tool_result": ServerToolResult,
        "code_execution_tool_result": ServerToolResult,
        "bash_code_execution_tool_result": ServerToolResult,
        "text_editor_code_execution_tool_result": ServerToolResult,
        "tool_search_tool_result": ServerToolResult,
        "advisor_tool_result": ServerToolResult,
        "mcp_tool_use": McpToolUse,
        "mcp_tool_result": McpToolResult,
        "container_upload": ContainerUpload,
        "compaction": Compaction,
        "fallback": Fallback,
    },
    "system": {"text": Text, "tool_addition": ToolChange, "tool_removal": ToolChange},
    "tool_result": {
        "text": Text,
        "image": Image,
        "document": Document,
        "search_result": SearchResult,
        "tool_reference": ToolReference,
    },
}
_ROLE_OF = {kind: role for role in ("assistant", "user") for kind in _BY_ROLE[role]}


def read_block(value: dict[str, Any], speaker: str, path: str) -> Block:
    """Read one block; refuses a block of another role's, and any unknown field."""
    kind = value.get("type")
    if not isinstance(kind, str):
        raise invalid(f"{path}.type: Field required")
    known = _BY_ROLE[speaker]
    if kind in known:
        return convert(value, known[kind], f"{path}.{kind}")
    if speaker != "tool_result" and kind in _ROLE_OF:
        raise invalid(f"{path}: `{kind}` blocks can only be in `{_ROLE_OF[kind]}` messages")
    tags = ", ".join(f"'{tag}'" for tag in sorted(known))
    raise invalid(f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {tags}")
