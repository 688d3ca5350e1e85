"""Tools in all their forms, and calls of them in the history."""

import re
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec
import orjson
from msgspec import Raw
from orjson import Fragment

from translators.adjustments import Adjustments
from translators.chat.caching import MARK, mark_of
from translators.chat.content import Block
from translators.chat.hosted import HOSTED_TYPES, WEB_SEARCH, hosted_name, hosted_tool, location
from translators.chat.names import upstream_tool_name
from translators.chat.properties import Names, with_legal_names, with_names
from translators.chat.shape import INPUT_PROPERTY, VALUE_PROPERTY
from translators.chat.unknown import read_counted
from translators.errors import TranslationError
from translators.limits import (
    MAX_ARGUMENTS,
    MAX_NAME,
    MAX_STRICT_VALUES,
    MAX_TOOL_VALUES,
    check_text,
    too_many_values,
)
from translators.models import STRICT
from translators.reading import decode, is_null
from translators.remembered import Remembered
from translators.schema import OutsideSubsetError, Structured, schema_hash, structured
from translators.server_tools import MCP_TOOLSET, SERVER_TOOLS, may_use
from translators.weight import count_values, has_more_values
from translators.wire.chat import (
    CUSTOM_DECODER,
    CUSTOM_FORMAT,
    FUNCTION_DECODER,
    OBJECT_DECODER,
    RAW_LIST_DECODER,
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
from translators.wire.known import field_names

# Section 12 of the Messages reference.
MAX_STRICT_TOOLS: Final = 20

# Anthropic's own fields of a tool that the caller runs (section 3.6), each with the beta that it needs.
BETA_OF_TOOL_FIELD: Final[dict[str, str | None]] = {
    "eager_input_streaming": None,
    "input_examples": None,
    "defer_loading": None,
    "allowed_callers": None,
}
_EXAMPLES: Final = "input_examples"
# Of a flat tool, a function's fields stand among its own.
_TOOL_FIELDS: Final = field_names(ToolDefinition) | BETA_OF_TOOL_FIELD.keys()
_FUNCTION_FIELDS: Final = field_names(FunctionDefinition) | BETA_OF_TOOL_FIELD.keys()
_CUSTOM_FIELDS: Final = field_names(CustomDefinition) | BETA_OF_TOOL_FIELD.keys()
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
# The same where the model is held to it.
_NO_ARGUMENTS_AT_ALL: Final = b'{"type":"object","properties":{},"additionalProperties":false}'
_FREE_TEXT: Final = orjson.dumps(
    {
        "type": "object",
        "properties": {INPUT_PROPERTY: {"type": "string"}},
        "required": [INPUT_PROPERTY],
        "additionalProperties": False,
    }
)
# How clients write down that there are no arguments: a map that is missing, or empty in a language that has no maps.
NOTHING: Final = re.compile(rb"null|\[[ \t\r\n]*+\]|\"\"")
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
    names) have their schema inside one property; `properties` (by upstream's name) has upstream's names of a tool's
    properties by the caller's, where they differ; `schemas` are those of the caller's functions, by upstream's name;
    `strict_schemas` are those that upstream makes a grammar of, by the place among `definitions`.

    They are shared by all requests with the same tools, which have to `own` what they change. `json` are the
    definitions as they are sent, where nothing was changed since.
    """

    definitions: list[Block] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    custom: set[str] = field(default_factory=set)
    wrapped: set[str] = field(default_factory=set)
    schemas: dict[str, bytes] = field(default_factory=dict)
    properties: dict[str, Names] = field(default_factory=dict)
    strict_schemas: dict[int, Structured] = field(default_factory=dict)
    betas: list[str] = field(default_factory=list)
    has_server_tools: bool = False
    has_marks: bool = False
    is_legacy: bool = False
    json: bytes = b""

    @property
    def size(self) -> int:
        """How many bytes the definitions have as they are sent."""
        if not self.definitions:
            return 0
        return len(self.json or orjson.dumps(self.definitions))

    def own(self) -> "Tools":
        """The same tools, to which others can be added and whose marks can be changed."""
        return replace(
            self,
            json=b"",
            definitions=[dict(item) for item in self.definitions],
            names=dict(self.names),
            strict_schemas=dict(self.strict_schemas),
        )

    def marked(self, mark: Mapping[str, str]) -> "Tools":
        """The same tools, which are not marked yet, with a mark on the last."""
        *others, last = self.definitions
        # The last that stands in the last definition.
        json = b'%b,"%b":%b}]' % (self.json[:-2], MARK.encode(), orjson.dumps(mark)) if self.json else b""
        return replace(self, json=json, definitions=[*others, {**last, MARK: mark}], has_marks=True)

    def make_room(self, form: Structured, adjustments: Adjustments) -> None:
        """Take `strict` from the tools that do not fit beside the form of the answer; all share the limits."""
        optional, unions = form.optional_parameters, form.unions
        for place, schema in list(self.strict_schemas.items()):
            if schema.fits(optional, unions):
                optional, unions = optional + schema.optional_parameters, unions + schema.unions
                continue
            definition = self.definitions[place]
            definition["input_schema"] = Fragment(self.schemas[str(definition["name"])])
            del definition["strict"], self.strict_schemas[place]
            adjustments.add("tools.strict", "dropped", "limit")


# Of a request that has none; there is nothing in it to be changed.
NO_TOOLS: Final = Tools()

# Read anew, tools cost as much as all the rest of a request. What is kept of them: their text as the key, the schemas,
# the descriptions (as Python texts), all as it is sent, and some objects however short the text is.
_COPIES: Final = 4
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

    `refused_schemas` (hashes, or `STRICT` for all) are refused by upstream, so tools with them are not strict. `native`
    names those of Anthropic's own that may be used, beside those that the caller runs.
    """
    tools = NO_TOOLS
    if request.tools:
        tools = yield from _listed_tools(request, adjustments, refused_schemas, native)
    if not request.functions and request.web_search_options is None:
        return tools
    writer = _ToolWriter(tools.own() if request.tools else Tools(), adjustments, refused_schemas, native)
    if request.functions:
        if request.tools:
            adjustments.add("functions", "dropped", "tools")
        else:
            writer.tools.is_legacy = True
            for index, function in enumerate(request.functions):
                writer.add_function(function, f"functions[{index}]", {})
                yield
    if request.web_search_options is not None:
        writer.add_web_search(request.web_search_options)
    return writer.tools


def _listed_tools(
    request: ChatRequest, adjustments: Adjustments, refused_schemas: frozenset[str], native: frozenset[str]
) -> Generator[None, None, Tools]:
    """The entries of `tools`, which are the same in every turn: what became of them the last time is remembered."""
    entries = request.tools_text()
    key = (entries, refused_schemas, native, adjustments.rejects)
    found = _REMEMBERED.get(key)
    if found is None:
        notes = adjustments.branch()
        writer = _ToolWriter(Tools(), notes, refused_schemas, native)
        for index, raw in enumerate(request.tools or ()):
            writer.add(raw, f"tools[{index}]")
            yield
        writer.tools.json = orjson.dumps(writer.tools.definitions)
        found = (writer.tools, notes)
        _REMEMBERED.put(key, found, _COPIES * len(entries) + _OBJECT_BYTES)
    tools, notes = found
    adjustments.merge(notes)
    return tools


def tool_places(
    request: ChatRequest, native: frozenset[str] = SERVER_TOOLS
) -> Generator[None, None, list[tuple[str, str]]]:
    """Where each written tool comes from, and where its schema stands; in the order in which they are sent."""
    writer = _ToolWriter(Tools(), Adjustments(), frozenset(), native)
    definitions, places = writer.tools.definitions, list[tuple[str, str]]()
    for index, raw in enumerate(request.tools or ()):
        writer.add(raw, f"tools[{index}]")
        # One that may not be used has left nothing.
        places += [_places_of(raw, f"tools[{index}]")] * (len(definitions) - len(places))
        yield
    if not request.tools:
        places += [(f"functions[{at}]", f"functions[{at}].parameters") for at in range(len(request.functions or ()))]
    if request.web_search_options is not None:
        places.append(("web_search_options", "web_search_options"))
    return places


def _places_of(raw: Raw, path: str) -> tuple[str, str]:
    fields = OBJECT_DECODER.decode(raw)
    names = ("function", "custom", "input_schema")
    inner = next((name for name in names if not is_null(fields.get(name, NULL_MARK))), "parameters")
    return path, f"{path}.function.parameters" if inner == "function" else f"{path}.{inner}"


def answer_tool(name: str, description: str | None, schema: bytes, path: str) -> Tools:
    """The tool, the only one, whose arguments are the answer."""
    writer = _ToolWriter(Tools(), Adjustments(), frozenset(), frozenset())
    function = {"name": name, "description": description, "parameters": Fragment(schema)}
    writer.add_function(Raw(orjson.dumps(function)), path, {})
    return writer.tools


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
        tool, fields = decode(TOOL_DECODER, raw, path), decode(OBJECT_DECODER, raw, path)
        is_anthropics = tool.type == "custom" and not is_null(tool.input_schema)
        if tool.type == "function" or is_anthropics:
            self._add_listed_function(tool, raw, fields, path)
        elif tool.type == "custom" and not is_null(tool.custom):
            self._adjustments.count_unknown(len(fields.keys() - _TOOL_FIELDS))
            self._add_custom(tool.custom, f"{path}.custom", fields)
        elif tool.type in HOSTED_TYPES:
            self._add_hosted(HOSTED_TYPES[tool.type], fields, path)
        elif _NATIVE_TYPE.fullmatch(tool.type):
            self._add_native(tool, fields, path)
        else:
            message = f"Tools of type '{tool.type}' are not known here; 'function', 'custom' and Anthropic's own are."
            raise TranslationError(message, param=f"{path}.type", code="invalid_value")

    def _add_listed_function(self, tool: ToolDefinition, raw: Raw, fields: dict[str, Raw], path: str) -> None:
        """A function in its field, or flat: as Responses has it, or Messages."""
        if not is_null(tool.function):
            self._adjustments.count_unknown(len(fields.keys() - _TOOL_FIELDS))
            self.add_function(tool.function, f"{path}.function", fields, is_strict=bool(tool.strict))
        elif tool.name is not None:
            self.add_function(raw, path, {"type": fields.pop("type", NULL_MARK)})
        else:
            raise _missing(f"{path}.function")

    def add_function(self, raw: Raw, path: str, outer: dict[str, Raw], *, is_strict: bool = False) -> None:
        """Add a function; `outer` are the fields of the tool that it stands in."""
        if has_more_values(raw, MAX_TOOL_VALUES):
            raise too_many_values(path, MAX_TOOL_VALUES)
        function, fields = decode(FUNCTION_DECODER, raw, path), decode(OBJECT_DECODER, raw, path)
        self._adjustments.count_unknown(len(fields.keys() - _FUNCTION_FIELDS - outer.keys()))
        name = self._name(function.name, path)
        is_anthropics = is_null(function.parameters)
        parameters = function.input_schema if is_anthropics else function.parameters
        place = f"{path}.{'input_schema' if is_anthropics else 'parameters'}"
        schema, is_wrapped = _object_schema(parameters, place)
        if is_wrapped:
            self.tools.wrapped.add(name)
        else:
            schema, renamed = with_legal_names(schema, place)
            if renamed:
                self.tools.properties[name] = renamed
        definition: Block = {"name": name}
        if function.description:
            definition["description"] = function.description
        closed = _NO_ARGUMENTS_AT_ALL if is_null(parameters) else schema
        if (function.strict or is_strict) and (strict := self._strict(closed)) is not None:
            definition |= {"input_schema": Fragment(strict), "strict": True}
        else:
            definition["input_schema"] = Fragment(schema)
        self.tools.schemas[name] = closed
        self._finish(definition, (outer, fields), path)

    def _finish(self, definition: Block, levels: Iterable[dict[str, Raw]], path: str) -> None:
        """Give a tool Anthropic's own fields and its mark, from both of the levels where clients put them."""
        for fields in levels:
            for field_name, beta in BETA_OF_TOOL_FIELD.items():
                if not is_null(value := fields.get(field_name, NULL_MARK)):
                    is_example = field_name == _EXAMPLES
                    written = self._examples(value, str(definition["name"]), path) if is_example else bytes(value)
                    definition[field_name] = Fragment(written)
                    self.tools.betas += [beta] if beta else []
            if (mark := mark_of(fields.get(MARK, NULL_MARK), None, path, self._adjustments)) is not None:
                definition[MARK] = mark
                self.tools.has_marks = True
        self.tools.definitions.append(definition)

    def _examples(self, examples: Raw, name: str, path: str) -> bytes:
        """Examples of a tool's arguments, in the form that its schema has upstream."""
        names, is_free = self.tools.properties.get(name), self.tools.schemas[name] is _FREE_TEXT
        if not (names or is_free or name in self.tools.wrapped):
            return bytes(examples)
        listed = decode(RAW_LIST_DECODER, examples, f"{path}.{_EXAMPLES}")
        if names:
            return orjson.dumps([Fragment(with_names(item, names)) for item in listed])
        within = INPUT_PROPERTY if is_free else VALUE_PROPERTY
        return orjson.dumps([{within: Fragment(bytes(item))} for item in listed])

    def add_web_search(self, options: WebSearchOptions) -> None:
        """OpenAI's web search as Anthropic's newest, with plain calls: its results are not filtered by code."""
        if not may_use(WEB_SEARCH, self._native):
            self._adjustments.add("web_search_options", "dropped", "not-allowed")
            return
        name = hosted_name(WEB_SEARCH)
        if name in self.tools.names:
            # A tool of the caller's own has the name, or the search is there already.
            self._adjustments.add("web_search_options", "dropped", "name-taken")
            return
        self.tools.names[name] = name
        search: Block = {"type": WEB_SEARCH, "name": name, "allowed_callers": ["direct"]}
        if options.user_location and (place := location(options.user_location)) is not None:
            search["user_location"] = place
        if options.search_context_size not in (None, "medium"):
            self._adjustments.add("web_search_options.search_context_size", "dropped", "unsupported")
        self.tools.definitions.append(search)
        self.tools.has_server_tools = True

    def _add_custom(self, raw: Raw, path: str, outer: dict[str, Raw]) -> None:
        """A tool for free text is one with a single text property."""
        custom, fields = decode(CUSTOM_DECODER, raw, path), decode(OBJECT_DECODER, raw, path)
        self._adjustments.count_unknown(len(fields.keys() - _CUSTOM_FIELDS))
        name = self._name(custom.name, path)
        definition: Block = {"name": name, "input_schema": Fragment(_FREE_TEXT)}
        if description := _custom_description(custom, f"{path}.format", self._adjustments):
            definition["description"] = description
        self.tools.custom.add(custom.name)
        self.tools.schemas[name] = _FREE_TEXT
        self._finish(definition, (outer, fields), path)

    def _add_hosted(self, kind: str, fields: dict[str, Raw], path: str) -> None:
        """A tool of Anthropic's by a plain name."""
        if not may_use(kind, self._native):
            self._adjustments.add("tools.type", "dropped", "not-allowed")
            return
        name = hosted_name(kind)
        if name in self.tools.names:
            self._adjustments.add("tools.type", "dropped", "name-taken")
            return
        self.tools.names[name] = name
        definition = hosted_tool(fields, kind, path, self._adjustments)
        if (mark := mark_of(fields.get(MARK, NULL_MARK), None, path, self._adjustments)) is not None:
            definition[MARK] = mark
            self.tools.has_marks = True
        self.tools.definitions.append(definition)
        self.tools.has_server_tools = True

    def _add_native(self, tool: ToolDefinition, fields: dict[str, Raw], path: str) -> None:
        if not may_use(tool.type, self._native):
            if tool.type == MCP_TOOLSET:
                self._adjustments.add("tools.mcp_toolset", "dropped", "not-allowed")
            else:
                self._adjustments.add("tools.type", "dropped", "not-allowed")
            return
        if tool.name is not None:
            self._name(tool.name, path)
        definition: Block = {key: Fragment(bytes(value)) for key, value in fields.items() if key != MARK}
        if (mark := mark_of(tool.cache_control, None, path, self._adjustments)) is not None:
            definition[MARK] = mark
            self.tools.has_marks = True
        self.tools.definitions.append(definition)
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
        if STRICT in self._refused_schemas:
            self._adjustments.add("tools.strict", "dropped", "model")
            return None
        # Schemas that turn out not to fit are work as well.
        self._strict_values += count_values(schema)
        if self._strict_values > MAX_STRICT_VALUES:
            self._adjustments.add("tools.strict", "dropped", "limit")
            return None
        try:
            found = structured(schema)
            if schema_hash(found.json) in self._refused_schemas:
                raise OutsideSubsetError("upstream has refused it")
            if found.json.startswith(b'{"$ref"'):
                raise OutsideSubsetError("a reference at the root, where Messages insists on an object")
        except OutsideSubsetError:
            self._adjustments.add("tools.strict", "dropped", "schema")
            return None
        if self._strict_tools == MAX_STRICT_TOOLS or not found.fits(self._optional, self._unions):
            self._adjustments.add("tools.strict", "dropped", "limit")
            return None
        self._strict_tools += 1
        self._optional += found.optional_parameters
        self._unions += found.unions
        self.tools.strict_schemas[len(self.tools.definitions)] = found
        return found.json


def plain_input(arguments: Raw) -> bytes | None:
    """The arguments of an earlier call where they are the text of an object, as they nearly always are; else None."""
    if len(arguments) > MAX_ARGUMENTS:
        return None
    try:
        text = TEXT_DECODER.decode(arguments).encode().strip()
        if text[:1] != b"{":
            return None
        _ANY_OBJECT_DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return text


def call_input(
    call: FunctionCall, path: str, adjustments: Adjustments, *, wraps: bool = False, names: Names | None = None
) -> Fragment:
    """The arguments of an earlier call as an object: spliced where they are one, wrapped where they are not.

    `names` are those of its properties that are other ones upstream.
    """
    text = _arguments_text(call.arguments, path).strip() or b"{}"
    if wraps and _is_json(text):
        return Fragment(b'{"%b":%b}' % (VALUE_PROPERTY.encode(), text))
    if NOTHING.fullmatch(text):
        return Fragment(b"{}")
    try:
        _ANY_OBJECT_DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        adjustments.add("arguments", "wrapped", "not-an-object")
        return Fragment(orjson.dumps({"_arguments": text.decode()}))
    return Fragment(with_names(text, names) if names else text)


def custom_input(call: CustomCall, path: str) -> Fragment:
    """The free text of an earlier call, in the property that it came in."""
    check_text(call.input, MAX_ARGUMENTS, path)
    text = b'""' if NOTHING.fullmatch(call.input) else orjson.dumps(decode(TEXT_DECODER, call.input, path))
    return Fragment(b'{"%b":%b}' % (INPUT_PROPERTY.encode(), text))


def _arguments_text(arguments: Raw, path: str) -> bytes:
    if is_null(arguments):
        return b""
    check_text(arguments, MAX_ARGUMENTS, path)
    data = bytes(arguments)
    if data[:1] == b"[" and NOTHING.fullmatch(data):
        return b""
    # Some clients send the object itself where its text belongs.
    return data if data[:1] == b"{" else decode(TEXT_DECODER, arguments, path).encode()


def _is_json(text: bytes) -> bool:
    try:
        _ANY_DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


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


def _custom_description(custom: CustomDefinition, path: str, adjustments: Adjustments) -> str:
    """A grammar cannot be enforced; the model is told of it."""
    parts = [custom.description or ""]
    if not is_null(custom.format):
        form = read_counted(CUSTOM_FORMAT, custom.format, path, adjustments)
        grammar = form.grammar or form
        if grammar.definition:
            syntax = grammar.syntax or "given"
            parts.append(f"The input has to follow this {syntax} grammar:\n{grammar.definition}")
    return "\n\n".join(part for part in parts if part)


def _missing(path: str) -> TranslationError:
    return TranslationError(f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter")
