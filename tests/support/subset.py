"""The subset of JSON Schema that Claude's grammars take, written down once more from section 13.2 of the reference.

Only words that the reference names as supported may occur; it shares no code with the conversion that it judges.
"""

import re
from collections.abc import Iterator
from typing import Any

FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
TYPES = {"object", "array", "string", "integer", "number", "boolean", "null"}
ANYWHERE = {"type", "enum", "const", "anyOf", "allOf", "$ref", "default", "description", "title"}
OF_TYPE = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "minItems"},
    "string": {"format", "pattern"},
}
_HARD = re.compile(r"\\[1-9bB]|\(\?[=!<]|\{\d{3,}")


def outside_subset(schema: Any) -> list[str]:
    """Everything in a schema that would be refused with a 400, each in a few words."""
    definitions = {
        f"#/{key}/{name.replace('~', '~0').replace('/', '~1')}": definition
        for key in ("$defs", "definitions")
        for name, definition in schema.get(key, {}).items()
    }
    root = {key: value for key, value in schema.items() if key not in ("$defs", "definitions")}
    return [
        *_place(root, "$", definitions),
        *(found for name, definition in definitions.items() for found in _place(definition, name, definitions)),
        *(f"{name}: recursive" for name in definitions if name in _reachable(definitions[name], definitions)),
    ]


def _place(schema: Any, path: str, definitions: dict[str, Any]) -> Iterator[str]:
    if not isinstance(schema, dict):
        yield f"{path}: not an object"
        return
    kind = schema.get("type")
    if kind is not None and (not isinstance(kind, str) or kind not in TYPES):
        yield f"{path}: type {kind!r}"
    allowed = ANYWHERE | OF_TYPE.get(kind if isinstance(kind, str) else "", set())
    for word in schema.keys() - allowed:
        yield f"{path}: {word} is not supported for {kind}"
    if not schema.keys() & {"type", "enum", "const", "anyOf", "allOf", "$ref"}:
        yield f"{path}: says nothing about the value"
    for value in [*schema.get("enum", ()), schema.get("const")]:
        if isinstance(value, dict | list):
            yield f"{path}: enum of objects or arrays"
    if "$ref" in schema and schema["$ref"] not in definitions:
        yield f"{path}: $ref {schema['$ref']!r} leads nowhere"
    if not isinstance(schema.get("description", ""), str):
        yield f"{path}: description is no text"
    yield from _of_type(schema, path, definitions)
    for word in ("anyOf", "allOf"):
        for number, member in enumerate(schema.get(word, ())):
            yield from _place(member, f"{path}/{word}/{number}", definitions)
            if word == "allOf" and "$ref" in member:
                yield f"{path}: allOf with $ref"
        if word in schema and not schema[word]:
            yield f"{path}: {word} is empty"


def _of_type(schema: dict[str, Any], path: str, definitions: dict[str, Any]) -> Iterator[str]:
    kind = schema.get("type")
    if kind == "object":
        if schema.get("additionalProperties") is not False:
            yield f"{path}: additionalProperties must be false"
        for name in schema.get("required", ()):
            if name not in schema.get("properties", {}):
                yield f"{path}: required {name!r} is no property"
        for name, inner in schema.get("properties", {}).items():
            yield from _place(inner, f"{path}.{name}", definitions)
    if kind == "array":
        yield from _place(schema.get("items"), f"{path}[]", definitions)
        if schema.get("minItems", 0) not in (0, 1):
            yield f"{path}: minItems {schema['minItems']}"
    if kind == "string":
        if schema.get("format", "uri") not in FORMATS:
            yield f"{path}: format {schema['format']!r}"
        if _HARD.search(schema.get("pattern", "")):
            yield f"{path}: pattern {schema['pattern']!r}"


def _reachable(schema: Any, definitions: dict[str, Any]) -> set[str]:
    """The definitions that a schema leads to, through others as well."""
    found: set[str] = set()
    waiting = [schema]
    while waiting:
        for reference in _references(waiting.pop()):
            if reference in definitions and reference not in found:
                found.add(reference)
                waiting.append(definitions[reference])
    return found


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
    elif isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from _references(item)
