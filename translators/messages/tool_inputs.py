"""The arguments of earlier calls, as the inputs of blocks."""

import re
from typing import Final

import msgspec
import orjson
from msgspec import Raw
from orjson import Fragment

from translators.adjustments import Adjustments
from translators.answers.shape import INPUT_PROPERTY, VALUE_PROPERTY
from translators.intent import CustomCall, FunctionCall
from translators.limits import (
    MAX_ARGUMENTS,
    check_text,
)
from translators.messages.properties import Names, with_names
from translators.reading import decode, is_null
from translators.wire.raw import TEXT_DECODER

# How clients write down that there are no arguments: a map that is missing, or empty in a language that has no maps.
NOTHING: Final = re.compile(rb"null|\[[ \t\r\n]*+\]|\"\"")


class _AnyObject(msgspec.Struct):
    """An object with whatever fields; none of them is kept."""


# These say whether a text is JSON; nothing is made of it.
_ANY_OBJECT_DECODER: Final = msgspec.json.Decoder(_AnyObject)
_ANY_DECODER: Final = msgspec.json.Decoder(Raw)


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
