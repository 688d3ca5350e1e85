"""Fields that nobody here knows: counted at the top of a request, in its messages and calls, and in contents."""

from collections.abc import Generator, Iterable, Mapping
from typing import Final

from msgspec import Raw

from translators.limits import MAX_UNKNOWN_FIELDS, too_many_fields
from translators.reading import is_null
from translators.weight import fields_in_steps
from translators.wire.chat import (
    CALL_FIELDS,
    CUSTOM_CALL_FIELDS,
    FILE_FIELDS,
    FUNCTION_CALL_FIELDS,
    IMAGE_FIELDS,
    KNOWN_FIELDS,
    MESSAGE_FIELDS,
    OBJECT_DECODER,
    PART_FIELDS,
    RAW_LIST_DECODER,
)

# What is no larger cannot hold so many fields that reading it takes long.
_WEIGHED_BYTES: Final = 2**20
_BYTES_A_STEP: Final = 32 * 1024
_BYTES_A_MESSAGE: Final = 256
_OBJECT: Final = ord("{")
# The objects inside of others that have fields of their own.
_OF_CALLS: Final = {"function": FUNCTION_CALL_FIELDS, "custom": CUSTOM_CALL_FIELDS}
_OF_MESSAGES: Final = {"function_call": FUNCTION_CALL_FIELDS}
_OF_PARTS: Final = {"image_url": IMAGE_FIELDS, "file": FILE_FIELDS}


def unknown_in_steps(body: bytes) -> Generator[None, None, int]:
    """How many fields of a body (that has been read) nobody knows; too many in one object are refused."""
    fields = yield from _fields(body)
    count = _unknown(fields, KNOWN_FIELDS)
    work = 0
    for message in RAW_LIST_DECODER.decode(fields["messages"]):
        members = yield from _fields(message)
        count += _unknown(members, MESSAGE_FIELDS) + _inside(members, _OF_MESSAGES)
        calls = members.get("tool_calls")
        if calls is not None and not is_null(calls):
            count += _in_list(RAW_LIST_DECODER.decode(calls), CALL_FIELDS, _OF_CALLS)
        work += len(message) + _BYTES_A_MESSAGE
        if work > _BYTES_A_STEP:
            work = 0
            yield
    return count


def unknown_of_parts(content: Raw) -> int:
    """The same for the parts of a content that has been read."""
    return _in_list(RAW_LIST_DECODER.decode(content), PART_FIELDS, _OF_PARTS)


def _fields(value: bytes | Raw) -> Generator[None, None, dict[str, Raw]]:
    is_heavy = len(value) > _WEIGHED_BYTES
    if is_heavy and (yield from fields_in_steps(bytes(value), MAX_UNKNOWN_FIELDS)) > MAX_UNKNOWN_FIELDS:
        raise too_many_fields(MAX_UNKNOWN_FIELDS)
    return OBJECT_DECODER.decode(value)


def _in_list(items: Iterable[Raw], known: frozenset[str], inner: Mapping[str, frozenset[str]]) -> int:
    count = 0
    for item in items:
        members = OBJECT_DECODER.decode(item)
        count += _unknown(members, known) + _inside(members, inner)
    return count


def _unknown(members: Mapping[str, Raw], known: frozenset[str]) -> int:
    unknown = len(members.keys() - known)
    if unknown > MAX_UNKNOWN_FIELDS:
        raise too_many_fields(MAX_UNKNOWN_FIELDS)
    return unknown


def _inside(members: Mapping[str, Raw], inner: Mapping[str, frozenset[str]]) -> int:
    """The unknown fields of the objects that stand in another one's fields."""
    count = 0
    for name, known in inner.items():
        value = members.get(name)
        if value is not None and memoryview(value)[0] == _OBJECT:
            count += _unknown(OBJECT_DECODER.decode(value), known)
    return count
