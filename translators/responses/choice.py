"""Reads `tool_choice`, and writes it in the form that the writer for Messages reads."""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from msgspec import Raw

from translators.errors import TranslationError
from translators.limits import MAX_TOOLS, check_length
from translators.messages.hosted import HOSTED_TYPES, hosted_name
from translators.reading import is_null, is_text, missing_parameter
from translators.responses.client_functions import CLIENT_TOOLS
from translators.responses.tools import NOT_OFFERED, ReadTools
from translators.unknown import Count, read_counted
from translators.wire.raw import NULL
from translators.wire.responses import TOOL_CHOICE, AllowedTool, ToolChoice

_PATH: Final = "tool_choice"
_ALLOWED: Final = "allowed_tools"
_NONE: Final = Raw(b'"none"')


def read_choice(choice: Raw, tools: ReadTools, lose: Callable[[str], None], count: Count) -> Raw:
    """The choice, with the names that tools have in the intent; `lose` is called for a tool that is not offered."""
    if is_null(choice) or is_text(choice):
        return choice
    wanted = read_counted(TOOL_CHOICE, choice, _PATH, count)
    assert not isinstance(wanted, str)
    if wanted.type == _ALLOWED:
        return _allowed(wanted, tools, lose)
    if wanted.type in NOT_OFFERED:
        lose(_PATH)
        return NULL
    name = _name_of(wanted, tools, _PATH)
    if name is None:
        # A mode as an object, in Anthropic's form, or an unknown type, which the writer refuses.
        return choice
    return Raw(msgspec.json.encode(_by_name(wanted.type, name)))


def _allowed(wanted: ToolChoice, tools: ReadTools, lose: Callable[[str], None]) -> Raw:
    path = f"{_PATH}.tools"
    if wanted.tools is None:
        raise missing_parameter(path)
    if not wanted.tools:
        message = "Expected an array with minimum length 1, but got an empty array instead."
        raise TranslationError(f"Invalid '{path}': empty array. {message}", param=path, code="empty_array")
    check_length(wanted.tools, MAX_TOOLS, path)
    listed = []
    for index, tool in enumerate(wanted.tools):
        if tool.type in NOT_OFFERED:
            lose(_PATH)
            continue
        name = _name_of(tool, tools, f"{path}[{index}]")
        if name is None:
            raise missing_parameter(f"{path}[{index}].name")
        listed.append(_by_name(tool.type, name))
    if not listed:
        return _NONE
    return Raw(msgspec.json.encode({"type": _ALLOWED, "mode": wanted.mode, "tools": listed}))


def _name_of(tool: ToolChoice | AllowedTool, tools: ReadTools, path: str) -> str | None:
    """The name that a chosen tool has in the intent; None for an unknown type."""
    if tool.type in CLIENT_TOOLS:
        return tools.client_tool(tool.type)
    if tool.type in HOSTED_TYPES:
        return hosted_name(HOSTED_TYPES[tool.type])
    if tool.type not in ("function", "custom"):
        return None
    if not tool.name:
        raise missing_parameter(f"{path}.name")
    return tools.name_of(tool.namespace, tool.name)


def _by_name(kind: str, name: str) -> Mapping[str, str]:
    if kind in HOSTED_TYPES:
        return {"type": kind, "name": name}
    return {"type": "custom" if kind == "custom" else "function", "name": name}
