"""Writes tool after tool, in all their forms."""

import re
from collections.abc import Iterable
from typing import Final

import orjson
from msgspec import Raw
from orjson import Fragment

from translators.adjustments import Adjustments
from translators.answers.shape import INPUT_PROPERTY, VALUE_PROPERTY
from translators.errors import TranslationError
from translators.limits import (
    MAX_NAME,
    MAX_STRICT_VALUES,
    MAX_TOOL_VALUES,
    check_text,
    too_many_values,
)
from translators.messages.blocks import Block
from translators.messages.caching import MARK, mark_of
from translators.messages.hosted import HOSTED_TYPES, WEB_SEARCH, hosted_name, hosted_tool, location
from translators.messages.names import upstream_tool_name
from translators.messages.properties import with_legal_names, with_names
from translators.messages.tool_schemas import FREE_TEXT, NO_ARGUMENTS_AT_ALL, object_schema
from translators.messages.tool_set import Tools
from translators.models import STRICT
from translators.reading import decode, is_null
from translators.schema import schema_hash, structured
from translators.schema_places import OutsideSubsetError
from translators.server_tools import MCP_TOOLSET, may_use
from translators.unknown import read_counted
from translators.weight import count_values, has_more_values
from translators.wire.chat_tools import (
    CUSTOM_DECODER,
    CUSTOM_FORMAT,
    FUNCTION_DECODER,
    TOOL_DECODER,
    CustomDefinition,
    FunctionDefinition,
    ToolDefinition,
    WebSearchOptions,
)
from translators.wire.known import field_names
from translators.wire.raw import NULL, OBJECT_DECODER, RAW_LIST_DECODER

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
_GRAMMAR: Final = b'"grammar"'
_SYNTAXES: Final = ("lark", "regex")
_OBJECT: Final = Raw(b'"object"')
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


class ToolWriter:
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
        elif tool.type == "custom" and tool.name is not None:
            # Flat, as Responses has it.
            self._add_custom(raw, path, {"type": fields["type"]})
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
            self.add_function(raw, path, {"type": fields.pop("type", NULL)})
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
        schema, is_wrapped = object_schema(parameters, place)
        if is_wrapped:
            self.tools.wrapped.add(name)
        else:
            schema, renamed = with_legal_names(schema, place)
            if renamed:
                self.tools.properties[name] = renamed
        definition: Block = {"name": name}
        if function.description:
            definition["description"] = function.description
        closed = NO_ARGUMENTS_AT_ALL if is_null(parameters) else schema
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
                if not is_null(value := fields.get(field_name, NULL)):
                    is_example = field_name == _EXAMPLES
                    written = self._examples(value, str(definition["name"]), path) if is_example else bytes(value)
                    definition[field_name] = Fragment(written)
                    self.tools.betas += [beta] if beta else []
            if (mark := mark_of(fields.get(MARK, NULL), None, path, self._adjustments)) is not None:
                definition[MARK] = mark
                self.tools.has_marks = True
        self.tools.definitions.append(definition)

    def _examples(self, examples: Raw, name: str, path: str) -> bytes:
        """Examples of a tool's arguments, in the form that its schema has upstream."""
        names, is_free = self.tools.properties.get(name), self.tools.schemas[name] is FREE_TEXT
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
        self._adjustments.count_unknown(len(fields.keys() - _CUSTOM_FIELDS - outer.keys()))
        name = self._name(custom.name, path)
        definition: Block = {"name": name, "input_schema": Fragment(FREE_TEXT)}
        if description := _custom_description(custom, f"{path}.format", self._adjustments):
            definition["description"] = description
        self.tools.custom.add(custom.name)
        self.tools.schemas[name] = FREE_TEXT
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
        if (mark := mark_of(fields.get(MARK, NULL), None, path, self._adjustments)) is not None:
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
            if OBJECT_DECODER.decode(found.json).get("type") != _OBJECT:
                raise OutsideSubsetError("a reference or a value at the root, where Messages insists on an object")
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


def _custom_description(custom: CustomDefinition, path: str, adjustments: Adjustments) -> str:
    """A grammar cannot be enforced; the model is told of it."""
    parts = [custom.description or ""]
    if not is_null(custom.format):
        form = read_counted(CUSTOM_FORMAT, custom.format, path, adjustments)
        grammar, within = (form, path) if form.grammar is None else (form.grammar, f"{path}.grammar")
        if grammar.syntax not in (None, *_SYNTAXES):
            message = f"Invalid value: '{grammar.syntax}'. Supported values are: 'lark' and 'regex'."
            raise TranslationError(message, param=f"{within}.syntax", code="invalid_value")
        if grammar.definition:
            syntax = grammar.syntax or "given"
            parts.append(f"The input has to follow this {syntax} grammar:\n{grammar.definition}")
        elif bytes(form.type) == _GRAMMAR:
            raise _missing(f"{within}.definition")
    return "\n\n".join(part for part in parts if part)


def _missing(path: str) -> TranslationError:
    return TranslationError(f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter")
