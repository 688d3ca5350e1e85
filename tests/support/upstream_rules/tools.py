"""The rules for tool definitions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from gateway.demo.errors import invalid
from gateway.demo.tools import read_tools
from gateway.demo.wire import CustomTool
from tests.support.upstream_rules.schemas import check_schema, check_well_formed

MAX_STRICT_TOOLS = 20

# The API's error message says 128 characters; its documentation, which is stricter, says 64.
TOOL_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
_PROPERTY = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_ANTHROPIC_TYPE = re.compile(
    r"(web_search|web_fetch|code_execution|tool_search_tool_regex|tool_search_tool_bm25|memory|bash|text_editor"
    r"|computer|computer_toolset|browser_toolset|advisor)_\d{8}|mcp_toolset"
)


def check_tools(definitions: Sequence[dict[str, Any]]) -> None:
    """The rules of each kind of tool; names are unique, and only so many tools are strict."""
    for place, definition in enumerate(definitions):
        _check_kind(definition.get("type"), f"tools.{place}")
    tools = read_tools(definitions)
    for place, tool in enumerate(tools):
        if isinstance(tool, CustomTool):
            _check_custom_tool(tool, f"tools.{place}.custom")
    names = [tool.name for tool in tools if tool.name]
    if len(set(names)) < len(names):
        raise invalid("tools: Tool names must be unique.")
    strict = sum(isinstance(tool, CustomTool) and tool.strict for tool in tools)
    if strict > MAX_STRICT_TOOLS:
        raise invalid(
            f"Too many strict tools ({strict}). The maximum number of strict tools supported is {MAX_STRICT_TOOLS}."
        )


def _check_kind(kind: object, path: str) -> None:
    if kind in (None, "custom") or (isinstance(kind, str) and _ANTHROPIC_TYPE.fullmatch(kind)):
        return
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
