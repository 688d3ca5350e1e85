"""Converts one place of a JSON Schema, as far as a grammar can enforce it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

Schema: TypeAlias = dict[str, Any]
_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
_ANNOTATIONS: Final = ("title", "description", "default")
DEFINITIONS: Final = ("$defs", "definitions")
# Keywords without a meaning for the value.
_MEANINGLESS: Final = frozenset({"$schema", "$id", "$comment", "$anchor", "id"})
# Backreferences, look-around, word boundaries and large repetitions are rejected.
_HARD_PATTERN: Final = re.compile(r"\\[1-9bBkAZ]|\(\?|\{\d{3,}|\{\d*,\d{3,}")


class OutsideSubsetError(ValueError):
    """The schema contains something that the grammar cannot enforce; the text says what."""


@dataclass(frozen=True, slots=True)
class Body:
    """The converted schema of a place, and the keywords that it covers."""

    schema: Schema
    used: set[str]


def described(schema: Schema, body: Body) -> Schema:
    """The place with its annotations; constraints that the grammar does not cover are described in words."""
    told = {
        key: value
        for key, value in schema.items()
        if key not in body.used and key not in _ANNOTATIONS and key not in DEFINITIONS and key not in _MEANINGLESS
    }
    annotations: Schema = {
        key: schema[key] for key in _ANNOTATIONS if key in schema and (key == "default" or isinstance(schema[key], str))
    }
    if told:
        words = "{" + ", ".join(f"{key}: {_json(value)}" for key, value in told.items()) + "}"
        before = annotations.get("description")
        annotations["description"] = f"{before}\n\n{words}" if before else words
    return {**annotations, **body.schema}


def values(schema: Schema) -> Body:
    """Enumerated values, which determine the type by themselves."""
    converted: Schema = {key: schema[key] for key in ("enum", "const") if key in schema}
    if not isinstance(converted.get("enum", []), list):
        raise OutsideSubsetError("'enum' is no list")
    values = [*(converted.get("enum") or ()), *([converted["const"]] if "const" in converted else ())]
    if not values or any(isinstance(value, dict | list) for value in values):
        raise OutsideSubsetError("listed values that are objects or lists")
    return Body(converted, {"enum", "const", "type"})


def string(schema: Schema) -> Body:
    converted: Schema = {"type": "string"}
    if isinstance(schema.get("pattern"), str) and not _HARD_PATTERN.search(schema["pattern"]):
        converted["pattern"] = schema["pattern"]
    if isinstance(schema.get("format"), str) and schema["format"] in _FORMATS:
        converted["format"] = schema["format"]
    return Body(converted, set(converted))


def references(schema: Any) -> Iterator[str]:
    """Every reference in a schema except those in its own definitions, which are visited by reference."""
    stack = [schema]
    while stack:
        found = stack.pop()
        if isinstance(found, dict):
            if isinstance(found.get("$ref"), str):
                yield found["$ref"]
            for key, value in found.items():
                if key == "properties" and isinstance(value, dict):
                    # These names are the caller's, and may be keywords of JSON Schema.
                    stack += value.values()
                elif key not in DEFINITIONS and key not in ("enum", "const"):
                    stack.append(value)
        elif isinstance(found, list):
            stack += found


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
