"""Tool definitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.demo.wire import CacheControl, CustomTool, convert


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
    return convert(definition, AnthropicTool, f"{path}.{kind}")
