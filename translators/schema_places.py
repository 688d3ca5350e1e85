"""What a JSON Schema says of one place, as far as a grammar can hold the model to it."""

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
# What says nothing about the value.
_MEANINGLESS: Final = frozenset({"$schema", "$id", "$comment", "$anchor", "id"})
# Backreferences, look-around, word boundaries and large repetitions are refused.
_HARD_PATTERN: Final = re.compile(r"\\[1-9bBkAZ]|\(\?|\{\d{3,}|\{\d*,\d{3,}")


class OutsideSubsetError(ValueError):
    """The schema says something that the grammar cannot hold; the text says what."""


@dataclass(frozen=True, slots=True)
class Body:
    """What the grammar reads of a place, and which of the schema's keywords have gone into it."""

    schema: Schema
    used: set[str]


def described(schema: Schema, body: Body) -> Schema:
    """The place with its annotations; constraints that were not used are told in words."""
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
    """Listed values say their type themselves."""
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
    """Every reference in a schema, its own definitions left out: those are visited by reference."""
    stack = [schema]
    while stack:
        found = stack.pop()
        if isinstance(found, dict):
            if isinstance(found.get("$ref"), str):
                yield found["$ref"]
            for key, value in found.items():
                if key == "properties" and isinstance(value, dict):
                    # Their names are the caller's own, and may be words of JSON Schema.
                    stack += value.values()
                elif key not in DEFINITIONS and key not in ("enum", "const"):
                    stack.append(value)
        elif isinstance(found, list):
            stack += found


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
