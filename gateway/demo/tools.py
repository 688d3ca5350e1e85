"""Tool definitions: reading them, and their rules."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.demo.errors import invalid
from gateway.demo.names import TOOL_NAME
from gateway.demo.rules.schemas import check_schema, check_well_formed
from gateway.demo.wire import CacheControl, CustomTool, convert

MAX_STRICT_TOOLS = 20

_PROPERTY = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_ANTHROPIC_TYPE = re.compile(
    r"(web_search|web_fetch|code_execution|tool_search_tool_regex|tool_search_tool_bm25|memory|bash|text_editor"
    r"|computer|computer_toolset|browser_toolset|advisor)_\d{8}|mcp_toolset"
)


class AnthropicTool(msgspec.Struct, kw_only=True):
    """A tool that Anthropic defines; the simulated model never calls one."""

    type: str
    name: str = ""
    cache_control: CacheControl | None = None


AnyTool = CustomTool | AnthropicTool


def read_tools(definitions: Sequence[dict[str, Any]]) -> list[AnyTool]:
    """Read the tools of a request; checks the rules of each kind, and that names are unique."""
    tools = [_read_tool(definition, f"tools.{place}") for place, definition in enumerate(definitions)]
    names = [tool.name for tool in tools if tool.name]
    if len(set(names)) < len(names):
        raise invalid("tools: Tool names must be unique.")
    strict = sum(isinstance(tool, CustomTool) and tool.strict for tool in tools)
    if strict > MAX_STRICT_TOOLS:
        raise invalid(
            f"Too many strict tools ({strict}). The maximum number of strict tools supported is {MAX_STRICT_TOOLS}."
        )
    return tools


def _read_tool(definition: dict[str, Any], path: str) -> AnyTool:
    kind = definition.get("type")
    if kind in (None, "custom"):
        tool = convert(definition, CustomTool, f"{path}.custom")
        _check_custom_tool(tool, f"{path}.custom")
        return tool
    if isinstance(kind, str) and _ANTHROPIC_TYPE.fullmatch(kind):
        return convert(definition, AnthropicTool, f"{path}.{kind}")
    raise invalid(
        f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags:"
        " 'bash_20250124', 'custom', 'text_editor_20250728', 'web_search_20260318', ..."
    )


def _check_custom_tool(tool: CustomTool, path: str) -> None:
    if not TOOL_NAME.fullmatch(tool.name):
        raise invalid(f"{path}.name: String should match pattern '{TOOL_NAME.pattern}'")
    schema = tool.input_schema
    if "type" not in schema:
        raise invalid(f"{path}.input_schema.type: Field required")
    if schema["type"] != "object":
        raise invalid(f"{path}.input_schema.type: Input should be 'object'")
    if any(name in schema for name in ("oneOf", "allOf", "anyOf")):
        raise invalid(f"{path}.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level")
    check_well_formed(schema, f"{path}.input_schema")
    if not all(map(_PROPERTY.fullmatch, schema.get("properties") or {})):
        raise invalid(f"{path}.input_schema.properties: Property keys should match pattern '^{_PROPERTY.pattern}$'")
    if tool.strict:
        check_schema(schema, path)
