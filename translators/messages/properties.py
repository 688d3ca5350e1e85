"""Names of properties that Messages refuses: rewritten in a tool's schema and in earlier calls, restored in answers.

Messages looks at the outermost properties of a tool's schema, and at no others.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias
from urllib.parse import unquote

import orjson
from msgspec import Raw
from orjson import Fragment

from translators.errors import TranslationError
from translators.messages.blocks import Block
from translators.messages.names import is_legal_property, upstream_property_name
from translators.reading import decode
from translators.wire.raw import OBJECT_DECODER, RAW_LIST_DECODER, TEXT_DECODER

# New names by the caller's.
Names: TypeAlias = Mapping[str, str]

# How deep conditions about the same object are followed, each of which may hold others.
_MAX_DEPTH: Final = 8
# A reference to one of the outermost properties, as JSON.
_REFERENCE: Final = re.compile(rb'("\$ref"[ \t\r\n]*+:[ \t\r\n]*+)("#/properties/(?:[^"\\]++|\\.)*+")', re.DOTALL)


def with_legal_names(schema: bytes, path: str) -> tuple[bytes, dict[str, str]]:
    """A tool's schema as Messages takes it, and the new names in it; none where all names are legal."""
    properties = decode(OBJECT_DECODER, schema, path).get("properties")
    if properties is None or not _is_object(properties):
        return schema, {}
    given = decode(OBJECT_DECODER, properties, f"{path}.properties")
    names = {name: upstream_property_name(name) for name in given if not is_legal_property(name)}
    if not names:
        return schema, names
    if len({names.get(name, name) for name in given}) < len(given):
        message = f"Invalid '{path}.properties': two properties cannot be told apart where their names are rewritten."
        raise TranslationError(message, param=f"{path}.properties", code="invalid_value")
    written = orjson.dumps(_schema(Raw(schema), names, 0))
    return _REFERENCE.sub(lambda found: found[1] + _reference(found[2], names), written), names


def with_names(value: bytes | Raw, names: Names) -> bytes:
    """An object (JSON) whose outermost names are replaced; anything else as it is."""
    fields = OBJECT_DECODER.decode(value) if _begins(value, b"{") else {}
    if names.keys().isdisjoint(fields):
        return bytes(value)
    return orjson.dumps({names.get(name, name): Fragment(bytes(item)) for name, item in fields.items()})


def _schema(raw: Raw, names: Names, depth: int) -> Block | Fragment:
    """A schema of the object whose properties are renamed."""
    if not _is_object(raw) or depth > _MAX_DEPTH:
        return Fragment(bytes(raw))
    fields = OBJECT_DECODER.decode(raw)
    return {key: _WRITERS.get(key, _same)(value, names, depth) for key, value in fields.items()}


def _same(raw: Raw, _names: Names, _depth: int) -> Fragment:
    return Fragment(bytes(raw))


def _instance(raw: Raw, names: Names, _depth: int) -> Fragment:
    return Fragment(with_names(raw, names))


def _instances(raw: Raw, names: Names, _depth: int) -> list[Fragment] | Fragment:
    if not _is_list(raw):
        return Fragment(bytes(raw))
    return [Fragment(with_names(item, names)) for item in RAW_LIST_DECODER.decode(raw)]


def _listed(raw: Raw, names: Names, _depth: int) -> list[object] | Fragment:
    """A list of names."""
    if not _is_list(raw):
        return Fragment(bytes(raw))
    return [_name(item, names) for item in RAW_LIST_DECODER.decode(raw)]


def _name(raw: Raw, names: Names) -> object:
    name = TEXT_DECODER.decode(raw) if _begins(raw, b'"') else None
    return names[name] if name is not None and name in names else Fragment(bytes(raw))


def _schemas(raw: Raw, names: Names, depth: int) -> object:
    if not _is_list(raw):
        return Fragment(bytes(raw))
    return [_schema(item, names, depth + 1) for item in RAW_LIST_DECODER.decode(raw)]


def _condition(raw: Raw, names: Names, depth: int) -> object:
    return _schema(raw, names, depth + 1)


def _dependents(raw: Raw, names: Names, depth: int) -> object:
    """What properties bring along: names of others, or a schema of the whole."""
    if not _is_object(raw):
        return Fragment(bytes(raw))
    return {
        names.get(name, name): (_listed if _is_list(value) else _condition)(value, names, depth)
        for name, value in OBJECT_DECODER.decode(raw).items()
    }


_WRITERS: Final[dict[str, Callable[[Raw, Names, int], object]]] = {
    "properties": _instance,
    "required": _listed,
    "dependentRequired": _dependents,
    "dependentSchemas": _dependents,
    "dependencies": _dependents,
    "if": _condition,
    "then": _condition,
    "else": _condition,
    "not": _condition,
    "allOf": _schemas,
    "anyOf": _schemas,
    "oneOf": _schemas,
    "default": _instance,
    "const": _instance,
    "examples": _instances,
    "enum": _instances,
}


def _reference(text: bytes, names: Names) -> bytes:
    """A reference (JSON) to a property, by its new name."""
    start, _, rest = TEXT_DECODER.decode(text).removeprefix("#/properties/").partition("/")
    name = names.get(unquote(start).replace("~1", "/").replace("~0", "~"))
    if name is None:
        return text
    return orjson.dumps(f"#/properties/{name}/{rest}" if rest else f"#/properties/{name}")


def _is_object(raw: Raw) -> bool:
    return _begins(raw, b"{")


def _is_list(raw: Raw) -> bool:
    return _begins(raw, b"[")


def _begins(raw: bytes | Raw, sign: bytes) -> bool:
    return memoryview(raw)[:1] == sign
