"""Tools, the choice among them, and calls in the history."""

from dataclasses import dataclass, field
from typing import Final

import msgspec
import orjson
from msgspec import Raw
from orjson import Fragment

from translators.adjustments import Adjustments
from translators.chat.content import Block
from translators.chat.names import upstream_tool_name
from translators.errors import TranslationError
from translators.models import ModelRow
from translators.reading import decode, is_null
from translators.wire.chat import (
    OBJECT_DECODER,
    TOOL_CHOICE_DECODER,
    ChatRequest,
    FunctionCall,
    FunctionDefinition,
    ToolChoice,
    ToolDefinition,
)

_NO_ARGUMENTS: Final = Fragment(b'{"type":"object","properties":{}}')
_MUST_CALL: Final = "In this turn, answer by calling {tools}, not with text alone."


@dataclass(slots=True)
class Tools:
    """The tools of one request, as Messages takes them.

    `names` maps rewritten names back to the caller's; `turn_words` has to be said at the end of the conversation,
    where a choice can only be asked for; `is_forced` says that the choice was sent as a forced one.
    """

    definitions: list[Block] = field(default_factory=list)
    choice: Block | None = None
    names: dict[str, str] = field(default_factory=dict)
    turn_words: str | None = None
    is_forced: bool = False


def write_tools(request: ChatRequest, row: ModelRow, adjustments: Adjustments) -> Tools:
    """The tools and the choice for one model."""
    tools = Tools()
    for index, definition in enumerate(request.tools or ()):
        tools.definitions.append(_definition(definition, f"tools[{index}]", tools.names, adjustments))
    choice = _read_choice(request.tool_choice)
    if tools.definitions:
        _write_choice(tools, choice, request.parallel_tool_calls, row, adjustments)
    elif choice not in (None, "auto", "none"):
        adjustments.add("tool_choice", "dropped", "no-tools")
    return tools


def call_input(call: FunctionCall, path: str, adjustments: Adjustments) -> Fragment:
    """The arguments of an earlier call as an object: spliced where they are one, wrapped where they are not."""
    text = _arguments_text(call.arguments, path)
    if not text.strip():
        return Fragment(b"{}")
    try:
        OBJECT_DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        adjustments.add("arguments", "wrapped", "not-an-object")
        return Fragment(orjson.dumps({"_arguments": text.decode()}))
    return Fragment(text)


def _arguments_text(arguments: Raw, path: str) -> bytes:
    if is_null(arguments):
        return b""
    data = bytes(arguments)
    # Some clients send the object itself where its text belongs.
    if data[:1] == b"{":
        return data
    return decode(msgspec.json.Decoder(str), arguments, path).encode()


def _definition(definition: ToolDefinition, path: str, names: dict[str, str], adjustments: Adjustments) -> Block:
    function = definition.function
    if definition.type != "function" or function is None:
        raise TranslationError(
            f"Tools of type '{definition.type}' cannot be sent to this gateway; functions can.",
            param=f"{path}.type",
            code="invalid_value",
        )
    if not function.name:
        raise TranslationError("A function needs a name.", param=f"{path}.function.name", code="invalid_value")
    name = upstream_tool_name(function.name)
    if name in names:
        raise TranslationError(
            f"There are two tools with the name '{function.name}'.", param=f"{path}.function.name", code="invalid_value"
        )
    names[name] = function.name
    if function.strict:
        adjustments.add("tools.strict", "dropped", "gateway")
    tool: Block = {"name": name, "input_schema": _schema(function, f"{path}.function.parameters")}
    if function.description:
        tool["description"] = function.description
    return tool


def _schema(function: FunctionDefinition, path: str) -> Fragment:
    if is_null(function.parameters):
        return _NO_ARGUMENTS
    schema = bytes(function.parameters)
    fields = decode(OBJECT_DECODER, function.parameters, path)
    if "type" in fields:
        return Fragment(schema)
    # Messages insists on it; what else is there stays as it was written.
    inner = schema.strip()[1:].lstrip()
    return Fragment(b'{"type":"object"' + (b"" if inner == b"}" else b",") + inner)


def _read_choice(value: Raw) -> str | ToolChoice | None:
    if is_null(value):
        return None
    choice = decode(TOOL_CHOICE_DECODER, value, "tool_choice")
    if isinstance(choice, str):
        choice = "required" if choice == "any" else choice
        if choice not in ("none", "auto", "required"):
            raise TranslationError(
                f"Invalid value: '{choice}'. Supported values are: 'none', 'auto', and 'required'.",
                param="tool_choice",
                code="invalid_value",
            )
    elif choice.type != "function" or choice.function is None:
        raise TranslationError(
            "tool_choice has to be 'none', 'auto', 'required', or name one function.",
            param="tool_choice",
            code="invalid_value",
        )
    return choice


def _write_choice(
    tools: Tools, choice: str | ToolChoice | None, parallel: bool | None, row: ModelRow, adjustments: Adjustments
) -> None:
    if choice == "none":
        tools.choice = {"type": "none"}
        return
    one_call = {"disable_parallel_tool_use": True} if parallel is False else {}
    name = _chosen_name(choice, tools) if isinstance(choice, ToolChoice) else None
    is_forced = name is not None or choice == "required"
    if is_forced and not row.forced_tools:
        asked = "function" if name is not None else "required"
        adjustments.add("tool_choice", f"{asked}->auto", "model")
        wanted = f"the tool `{name}`" if name is not None else "at least one of the tools"
        tools.turn_words = _MUST_CALL.format(tools=wanted)
        is_forced = False
    tools.is_forced = is_forced
    if not is_forced:
        tools.choice = {"type": "auto", **one_call} if one_call or choice is not None else None
    elif name is not None:
        tools.choice = {"type": "tool", "name": name, **one_call}
    else:
        tools.choice = {"type": "any", **one_call}


def _chosen_name(choice: ToolChoice, tools: Tools) -> str:
    wanted = choice.function.name if choice.function else ""
    name = upstream_tool_name(wanted)
    if name not in tools.names:
        raise TranslationError(
            f"Invalid value for 'tool_choice': there is no function with the name '{wanted}' in 'tools'.",
            param="tool_choice",
            code="invalid_value",
        )
    return name
