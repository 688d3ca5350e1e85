"""The part of JSON Schema that structured outputs and strict tools accept."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from gateway.demo.errors import invalid

_COMMON = {"type", "title", "description", "default", "enum", "const", "$ref", "$defs", "definitions", "anyOf", "allOf"}
_BY_TYPE = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "minItems"},
    "string": {"format", "pattern"},
    "integer": set[str](),
    "number": set[str](),
    "boolean": set[str](),
    "null": set[str](),
}
_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
_Type = Literal["object", "array", "string", "integer", "number", "boolean", "null"]
_COMBINERS = ("oneOf", "not", "if", "then", "else")


class _Keywords(msgspec.Struct):
    """The keywords that are checked, with their types in draft 2020-12."""

    type: _Type | list[_Type] = "object"
    # The API permits null for these two.
    properties: dict[str, bool | dict[str, Any]] | None = None
    required: list[str] | None = None
    items: bool | dict[str, Any] = True
    defs: dict[str, bool | dict[str, Any]] = msgspec.field(name="$defs", default={})
    definitions: dict[str, bool | dict[str, Any]] = {}
    any_of: list[bool | dict[str, Any]] = msgspec.field(name="anyOf", default=[])
    one_of: list[bool | dict[str, Any]] = msgspec.field(name="oneOf", default=[])
    all_of: list[bool | dict[str, Any]] = msgspec.field(name="allOf", default=[])
    ref: str = msgspec.field(name="$ref", default="")
    enum: list[Any] = []
    format: str = ""
    minimum: float = 0
    maximum: float = 0
    min_items: Annotated[int, msgspec.Meta(ge=0)] = msgspec.field(name="minItems", default=0)

    def inner(self) -> list[bool | dict[str, Any]]:
        """The nested schemas."""
        named = [*(self.properties or {}).values(), *self.defs.values(), *self.definitions.values()]
        return [*named, *self.any_of, *self.one_of, *self.all_of, self.items]


def check_well_formed(schema: bool | dict[str, Any], path: str) -> None:
    """Refuse what is not a JSON Schema."""
    if isinstance(schema, bool):
        return
    try:
        keywords = msgspec.convert(schema, _Keywords)
    except msgspec.ValidationError:
        raise invalid(f"{path}: JSON schema is invalid. It must match JSON Schema draft 2020-12.") from None
    for inner in keywords.inner():
        check_well_formed(inner, path)


def check_schema(schema: bool | dict[str, Any], path: str) -> None:
    """Refuse a well-formed schema that cannot become a grammar; the message begins with `path`."""
    if isinstance(schema, bool):
        raise invalid(f"{path}: Boolean schemas are not supported")
    for name in _COMBINERS:
        if name in schema:
            raise invalid(f"{path}: Schema type '{name}' is not supported")
    kinds = schema.get("type")
    names = kinds if isinstance(kinds, list) else [kinds] if kinds is not None else []
    _check_keywords(schema, names, path)
    _check_values(schema, names, path)
    for inner in _inner_schemas(schema):
        check_schema(inner, path)


def _check_keywords(schema: dict[str, Any], names: list[str], path: str) -> None:
    allowed = _COMMON.union(*(_BY_TYPE[name] for name in names))
    if unknown := sorted(set(schema) - allowed):
        kind = names[0] if names else "any"
        raise invalid(f"{path}: For '{kind}' type, properties {', '.join(unknown)} are not supported")


def _check_values(schema: dict[str, Any], names: list[str], path: str) -> None:
    if "object" in names and schema.get("additionalProperties") is not False:
        raise invalid(f"{path}: For 'object' type, 'additionalProperties' must be explicitly set to false")
    if schema.get("minItems", 0) not in (0, 1):
        raise invalid(f"{path}: For 'array' type, 'minItems' values other than 0 or 1 are not supported")
    if "format" in schema and schema["format"] not in _FORMATS:
        raise invalid(f"{path}: For 'string' type, format '{schema['format']}' is not supported")
    if any(isinstance(value, dict | list) for value in schema.get("enum", [])):
        raise invalid(f"{path}: Enum values must be strings, numbers, booleans or null")
    reference = schema.get("$ref")
    if reference is not None and not str(reference).startswith("#"):
        raise invalid(f"{path}: External $ref '{reference}' is not supported")


def _inner_schemas(schema: dict[str, Any]) -> list[bool | dict[str, Any]]:
    inner = msgspec.convert(schema, _Keywords).inner()
    return inner if "items" in schema else inner[:-1]
