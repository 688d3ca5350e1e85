"""Tools in all their forms, and calls of them in the history."""

import re
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec
import orjson
from msgspec import Raw
from orjson import Fragment

from translators.adjustments import Adjustments
from translators.chat.caching import MARK, mark_of
from translators.chat.content import Block
from translators.chat.names import upstream_tool_name
from translators.chat.shape import INPUT_PROPERTY, VALUE_PROPERTY
from translators.errors import TranslationError
from translators.limits import (
    MAX_ARGUMENTS,
    MAX_NAME,
    MAX_STRICT_VALUES,
    MAX_TOOL_VALUES,
    check_text,
    too_many_values,
)
from translators.reading import decode, is_null
from translators.remembered import Remembered
from translators.schema import OutsideSubsetError, schema_hash, structured
from translators.server_tools import MCP_TOOLSET, SERVER_TOOLS, may_use
from translators.weight import count_values, has_more_values
from translators.wire.chat import (
    CUSTOM_FORMAT_DECODER,
    OBJECT_DECODER,
    TEXT_DECODER,
    TOOL_DECODER,
    ChatRequest,
    CustomCall,
    CustomDefinition,
    FunctionCall,
    FunctionDefinition,
    ToolDefinition,
    WebSearchOptions,
)

# Section 12 of the Messages reference.
MAX_STRICT_TOOLS: Final = 20
MAX_STRICT_OPTIONAL: Final = 24
MAX_STRICT_UNIONS: Final = 16

WEB_SEARCH: Final = "web_search_20260318"
_WEB_SEARCH_NAME: Final = "web_search"
# Anthropic's own tools are named by their type and its date; those in beta need a header.
_NATIVE_TYPE: Final = re.compile(r"[a-z_]+_20\d{6}|mcp_toolset")
_BETA_OF_TYPE: Final = {
    "computer_20241022": "computer-use-2024-10-22",
    "computer_20250124": "computer-use-2025-01-24",
    "computer_20251124": "computer-use-2025-11-24",
    "advisor_20260301": "advisor-tool-2026-03-01",
    "mcp_toolset": "mcp-client-2025-11-20",
}
_NO_ARGUMENTS: Final = b'{"type":"object","properties":{}}'
_FREE_TEXT: Final = orjson.dumps(
    {
        "type": "object",
        "properties": {INPUT_PROPERTY: {"type": "string"}},
        "required": [INPUT_PROPERTY],
        "additionalProperties": False,
    }
)
_UNIONS: Final = ("anyOf", "oneOf", "allOf")
_DEFINITIONS: Final = ("$defs", "definitions")


class _AnyObject(msgspec.Struct):
    """An object with whatever fields; none of them is kept."""


# These say whether a text is JSON; nothing is made of it.
_ANY_OBJECT_DECODER: Final = msgspec.json.Decoder(_AnyObject)
_ANY_DECODER: Final = msgspec.json.Decoder(Raw)


@dataclass(slots=True)
class Tools:
    """The tools of one request, as Messages takes them.

    `names` maps upstream's names to the caller's; `custom` (caller's names) take free text; `wrapped` (upstream's
    names) have their schema inside one property; `schemas` are those of the caller's functions, by upstream's name;
    `strict_schemas` the hashes of those that upstream makes a grammar of, by the place among `definitions`.
    """

    definitions: list[Block] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    custom: set[str] = field(default_factory=set)
    wrapped: set[str] = field(default_factory=set)
    schemas: dict[str, bytes] = field(default_factory=dict)
    strict_schemas: dict[int, str] = field(default_factory=dict)
    betas: list[str] = field(default_factory=list)
    has_server_tools: bool = False
    is_legacy: bool = False

    def upstream_name(self, name: str) -> str:
        """What upstream calls a tool of the caller's."""
        return upstream_tool_name(name)

    def copy(self) -> "Tools":
        """The same tools, to which others can be added and whose marks can be changed."""
        return replace(self, definitions=[dict(item) for item in self.definitions], names=dict(self.names))


# Read anew, tools cost as much as all the rest of a request. What is kept of them: their text as the key, the schemas,
# the descriptions (as Python texts), and some objects however short the text is.
_COPIES: Final = 3
_OBJECT_BYTES: Final = 2_000
_REMEMBERED: Final = Remembered[tuple[Tools, Adjustments]](8 * 2**20)


def tools_in_steps(
    request: ChatRequest,
    adjustments: Adjustments,
    refused_schemas: frozenset[str] = frozenset(),
    *,
    native: frozenset[str] = SERVER_TOOLS,
) -> Generator[None, None, Tools]:
    """All tools of a request: functions, custom tools, Anthropic's own, web search, and the legacy functions.

    `refused_schemas` (hashes) are known to be too much for upstream, so tools with them are not strict. `native` names
    those of Anthropic's own that may be used, beside those that the caller runs.
    """
    tools = Tools()
    if request.tools:
        tools = yield from _listed_tools(request.tools, adjustments, refused_schemas, native)
    writer = _ToolWriter(tools, adjustments, refused_schemas, native)
    if request.functions:
        if request.tools:
            adjustments.add("functions", "dropped", "tools")
        else:
            writer.tools.is_legacy = True
            for index, function in enumerate(request.functions):
                writer.add_function(function, f"functions[{index}]", NULL_MARK)
                yield
    if request.web_search_options is not None:
        writer.add_web_search(request.web_search_options)
    return writer.tools


def _listed_tools(
    listed: list[Raw], adjustments: Adjustments, refused_schemas: frozenset[str], native: frozenset[str]
) -> Generator[None, None, Tools]:
    """The entries of `tools`, which are the same in every turn: what became of them the last time is remembered."""
    entries = b",".join(listed)
    key = (entries, refused_schemas, native, adjustments.rejects)
    found = _REMEMBERED.get(key)
    if found is None:
        notes = adjustments.branch()
        writer = _ToolWriter(Tools(), notes, refused_schemas, native)
        for index, raw in enumerate(listed):
            writer.add(raw, f"tools[{index}]")
            yield
        found = (writer.tools, notes)
        _REMEMBERED.put(key, found, _COPIES * len(entries) + _OBJECT_BYTES)
    tools, notes = found
    adjustments.merge(notes)
    return tools.copy()


NULL_MARK: Final = Raw(b"null")


class _ToolWriter:
    """Adds tool after tool; keeps count of what is limited."""

    def __init__(
        self, tools: Tools, adjustments: Adjustments, refused_schemas: frozenset[str], native: frozenset[str]
    ) -> None:
        self.tools = tools
        self._refused_schemas = refused_schemas
        self._native = native
        self._adjustments = adjustments
        self._strict_tools = 0
        self._optional = 0
        self._unions = 0
        self._strict_values = 0

    def add(self, raw: Raw, path: str) -> None:
        """Add one entry of `tools`."""
        if has_more_values(raw, MAX_TOOL_VALUES):
            raise too_many_values(path, MAX_TOOL_VALUES)
        tool = decode(TOOL_DECODER, raw, path)
        if tool.type == "function":
            function = tool.function or _flat_function(tool)
            if function is None:
                raise _missing(f"{path}.function")
            place = f"{path}.function" if tool.function else path
            self.add_function(function, place, tool.cache_control)
        elif tool.type == "custom" and tool.custom is not None:
            self._add_custom(tool.custom, path, tool.cache_control)
        elif _NATIVE_TYPE.fullmatch(tool.type) or (tool.type == "custom" and not is_null(tool.input_schema)):
            self._add_native(tool, raw, path)
        else:
            message = f"Tools of type '{tool.type}' are not known here; 'function', 'custom' and Anthropic's own are."
            raise TranslationError(message, param=f"{path}.type", code="invalid_value")

    def add_function(self, function: FunctionDefinition, path: str, cache_control: Raw) -> None:
        """Add a function."""
        name = self._name(function.name, path)
        if has_more_values(function.parameters, MAX_TOOL_VALUES):
            raise too_many_values(f"{path}.parameters", MAX_TOOL_VALUES)
        schema, is_wrapped = _object_schema(function.parameters, f"{path}.parameters")
        if is_wrapped:
            self.tools.wrapped.add(name)
        definition: Block = {"name": name}
        if function.description:
            definition["description"] = function.description
        if function.strict and (strict := self._strict(schema)) is not None:
            definition |= {"input_schema": Fragment(strict), "strict": True}
        else:
            definition["input_schema"] = Fragment(schema)
        self.tools.schemas[name] = schema
        for source in (cache_control, function.cache_control):
            if (mark := mark_of(source, None, path)) is not None:
                definition[MARK] = mark
        self.tools.definitions.append(definition)

    def add_web_search(self, options: WebSearchOptions) -> None:
        """OpenAI's web search as Anthropic's newest, with plain calls: its results are not filtered by code."""
        if not may_use(WEB_SEARCH, self._native):
            self._adjustments.add("web_search_options", "dropped", "not-allowed")
            return
        if _WEB_SEARCH_NAME in self.tools.names:
            # A tool of the caller's own has the name, or the search is there already.
            self._adjustments.add("web_search_options", "dropped", "name-taken")
            return
        self.tools.names[_WEB_SEARCH_NAME] = _WEB_SEARCH_NAME
        search: Block = {"type": WEB_SEARCH, "name": _WEB_SEARCH_NAME, "allowed_callers": ["direct"]}
        place = options.user_location.approximate if options.user_location else None
        if place is not None:
            given = {name: value for name, value in msgspec.structs.asdict(place).items() if value}
            if given:
                search["user_location"] = {"type": "approximate", **given}
        if options.search_context_size not in (None, "medium"):
            self._adjustments.add("web_search_options.search_context_size", "dropped", "unsupported")
        self.tools.definitions.append(search)
        self.tools.has_server_tools = True

    def _add_custom(self, custom: CustomDefinition, path: str, cache_control: Raw) -> None:
        """A tool for free text is one with a single text property."""
        name = self._name(custom.name, f"{path}.custom")
        definition: Block = {"name": name, "input_schema": Fragment(_FREE_TEXT)}
        if description := _custom_description(custom, f"{path}.custom.format"):
            definition["description"] = description
        if (mark := mark_of(cache_control, None, path)) is not None:
            definition[MARK] = mark
        self.tools.custom.add(custom.name)
        self.tools.schemas[name] = _FREE_TEXT
        self.tools.definitions.append(definition)

    def _add_native(self, tool: ToolDefinition, raw: Raw, path: str) -> None:
        if not may_use(tool.type, self._native):
            if tool.type == MCP_TOOLSET:
                self._adjustments.add("tools.mcp_toolset", "dropped", "not-allowed")
            else:
                self._adjustments.add("tools.type", "dropped", "not-allowed")
            return
        if tool.name is not None:
            self._name(tool.name, path)
        fields = decode(OBJECT_DECODER, raw, path)
        definition: Block = {key: Fragment(bytes(value)) for key, value in fields.items() if key != MARK}
        if (mark := mark_of(tool.cache_control, None, path)) is not None:
            definition[MARK] = mark
        self.tools.definitions.append(definition)
        if tool.type != "custom":
            self.tools.has_server_tools = True
        if (beta := _BETA_OF_TYPE.get(tool.type)) is not None:
            self.tools.betas.append(beta)

    def _name(self, wanted: str, path: str) -> str:
        if not wanted:
            raise TranslationError("A tool needs a name.", param=f"{path}.name", code="invalid_value")
        check_text(wanted, MAX_NAME, f"{path}.name")
        name = upstream_tool_name(wanted)
        if name in self.tools.names:
            raise TranslationError(
                f"There are two tools with the name '{wanted}'.", param=f"{path}.name", code="invalid_value"
            )
        self.tools.names[name] = wanted
        return name

    def _strict(self, schema: bytes) -> bytes | None:
        """The schema for a strict tool, or None where the subset or a limit does not allow one more."""
        # Schemas that turn out not to fit are work as well.
        self._strict_values += count_values(schema)
        if self._strict_values > MAX_STRICT_VALUES:
            self._adjustments.add("tools.strict", "dropped", "limit")
            return None
        try:
            found = structured(schema)
            digest = schema_hash(found.json)
            if digest in self._refused_schemas:
                raise OutsideSubsetError("upstream has refused it")
            if found.json.startswith(b'{"$ref"'):
                raise OutsideSubsetError("a reference at the root, where Messages insists on an object")
        except OutsideSubsetError:
            self._adjustments.add("tools.strict", "dropped", "schema")
            return None
        totals = (
            self._strict_tools + 1,
            self._optional + found.optional_parameters,
            self._unions + found.unions,
        )
        limits = (MAX_STRICT_TOOLS, MAX_STRICT_OPTIONAL, MAX_STRICT_UNIONS)
        if any(total > limit for total, limit in zip(totals, limits, strict=True)):
            self._adjustments.add("tools.strict", "dropped", "limit")
            return None
        self._strict_tools, self._optional, self._unions = totals
        self.tools.strict_schemas[len(self.tools.definitions)] = digest
        return found.json


def call_input(call: FunctionCall, path: str, adjustments: Adjustments, *, wraps: bool = False) -> Fragment:
    """The arguments of an earlier call as an object: spliced where they are one, wrapped where they are not."""
    text = _arguments_text(call.arguments, path).strip() or b"{}"
    if wraps and _is_json(text):
        return Fragment(b'{"%b":%b}' % (VALUE_PROPERTY.encode(), text))
    try:
        _ANY_OBJECT_DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        adjustments.add("arguments", "wrapped", "not-an-object")
        return Fragment(orjson.dumps({"_arguments": text.decode()}))
    return Fragment(text)


def custom_input(call: CustomCall, path: str) -> Fragment:
    """The free text of an earlier call, in the property that it came in."""
    check_text(call.input, MAX_ARGUMENTS, path)
    text = b'""' if is_null(call.input) else orjson.dumps(decode(TEXT_DECODER, call.input, path))
    return Fragment(b'{"%b":%b}' % (INPUT_PROPERTY.encode(), text))


def _arguments_text(arguments: Raw, path: str) -> bytes:
    if is_null(arguments):
        return b""
    check_text(arguments, MAX_ARGUMENTS, path)
    data = bytes(arguments)
    # Some clients send the object itself where its text belongs.
    return data if data[:1] == b"{" else decode(TEXT_DECODER, arguments, path).encode()


def _is_json(text: bytes) -> bool:
    try:
        _ANY_DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _flat_function(tool: ToolDefinition) -> FunctionDefinition | None:
    if tool.name is None:
        return None
    return FunctionDefinition(tool.name, tool.description, tool.parameters, tool.strict)


def _object_schema(parameters: Raw, path: str) -> tuple[bytes, bool]:
    """A schema whose root is a plain object, and whether it had to be put into a property for that."""
    if is_null(parameters):
        return _NO_ARGUMENTS, False
    fields = decode(OBJECT_DECODER, parameters, path)
    kind = bytes(fields.get("type", NULL_MARK))
    if any(union in fields for union in _UNIONS) or kind not in (b'"object"', b"null"):
        return _wrapped(fields), True
    if kind == b'"object"':
        return bytes(parameters), False
    # Messages insists on the type; what else is there stays as it was written.
    if "type" not in fields:
        inner = bytes(parameters).strip()[1:].lstrip()
        return b'{"type":"object"' + (b"" if inner == b"}" else b",") + inner, False
    rest = {key: Fragment(bytes(value)) for key, value in fields.items() if key != "type"}
    return orjson.dumps({"type": "object", **rest}), False


def _wrapped(fields: dict[str, Raw]) -> bytes:
    """A schema whose root is something else, inside one property; definitions stay at the root."""
    spliced = {key: Fragment(bytes(value)) for key, value in fields.items()}
    outer: Block = {key: spliced.pop(key) for key in _DEFINITIONS if key in spliced}
    inner = {"type": "object", "properties": {VALUE_PROPERTY: spliced}, "required": [VALUE_PROPERTY], **outer}
    return orjson.dumps(inner)


def _custom_description(custom: CustomDefinition, path: str) -> str:
    """A grammar cannot be enforced; the model is told of it."""
    parts = [custom.description or ""]
    if not is_null(custom.format):
        form = decode(CUSTOM_FORMAT_DECODER, custom.format, path)
        grammar = form.grammar or form
        if grammar.definition:
            syntax = grammar.syntax or "given"
            parts.append(f"The input has to follow this {syntax} grammar:\n{grammar.definition}")
    return "\n\n".join(part for part in parts if part)


def _missing(path: str) -> TranslationError:
    return TranslationError(f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter")
