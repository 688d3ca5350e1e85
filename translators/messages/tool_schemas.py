"""Schemas of tools: a plain object at the root, whatever clients send."""

from typing import Final

import orjson
from msgspec import Raw
from orjson import Fragment

from translators.answers.shape import INPUT_PROPERTY, VALUE_PROPERTY
from translators.messages.blocks import Block
from translators.reading import decode, is_null
from translators.wire.raw import NULL, OBJECT_DECODER

_NO_ARGUMENTS: Final = b'{"type":"object","properties":{}}'
# The same where the model is held to it.
NO_ARGUMENTS_AT_ALL: Final = b'{"type":"object","properties":{},"additionalProperties":false}'
FREE_TEXT: Final = orjson.dumps(
    {
        "type": "object",
        "properties": {INPUT_PROPERTY: {"type": "string"}},
        "required": [INPUT_PROPERTY],
        "additionalProperties": False,
    }
)
_UNIONS: Final = ("anyOf", "oneOf", "allOf")
_DEFINITIONS: Final = ("$defs", "definitions")


def object_schema(parameters: Raw, path: str) -> tuple[bytes, bool]:
    """A schema whose root is a plain object, and whether it had to be put into a property for that."""
    if is_null(parameters):
        return _NO_ARGUMENTS, False
    fields = decode(OBJECT_DECODER, parameters, path)
    kind = bytes(fields.get("type", NULL))
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
