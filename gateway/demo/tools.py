"""Tool definitions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.demo.errors import invalid
from gateway.demo.wire import CacheControl, CustomTool, convert

_ANTHROPIC_TYPE = re.compile(r"[a-z0-9_]+_\d{8}|mcp_toolset")


class AnthropicTool(msgspec.Struct, kw_only=True):
    """A tool that Anthropic defines; the simulated model never calls one."""

    type: str
    name: str = ""
    cache_control: CacheControl | None = None


AnyTool = CustomTool | AnthropicTool


def read_tools(definitions: Sequence[dict[str, Any]]) -> list[AnyTool]:
    """Read the tools of a request."""
    return [_read_tool(definition, f"tools.{place}") for place, definition in enumerate(definitions)]


def _read_tool(definition: dict[str, Any], path: str) -> AnyTool:
    kind = definition.get("type")
    if kind in (None, "custom"):
        return convert(definition, CustomTool, f"{path}.custom")
    if isinstance(kind, str) and _ANTHROPIC_TYPE.fullmatch(kind):
        return convert(definition, AnthropicTool, f"{path}.{kind}")
    raise invalid(
        f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags:"
        " 'bash_20250124', 'custom', 'text_editor_20250728', 'web_search_20260318', ..."
    )
