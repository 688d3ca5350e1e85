"""Fields that nobody here knows: counted in a request, and in the objects inside it, however deep."""

from collections.abc import Generator
from typing import Final, Protocol, TypeVar

import msgspec
from msgspec import Raw

from translators.limits import MAX_UNKNOWN_FIELDS, too_many_fields
from translators.reading import decode
from translators.weight import fields_in_steps
from translators.wire.chat import MESSAGE, REQUEST
from translators.wire.chat_parts import PART
from translators.wire.known import Counted, Shape
from translators.wire.raw import OBJECT_DECODER, RAW_LIST_DECODER

V = TypeVar("V")

# What is no larger cannot hold so many fields that reading it takes long.
_WEIGHED_BYTES: Final = 2**20
_BYTES_A_STEP: Final = 32 * 1024
_BYTES_A_MESSAGE: Final = 256
_OBJECT: Final = ord("{")
_ARRAY: Final = ord("[")
_MESSAGES: Final = "messages"
_OPTIONS: Final = Shape(REQUEST.fields, {name: inner for name, inner in REQUEST.inner.items() if name != _MESSAGES})


class Count(Protocol):
    """Who is told of unknown fields."""

    def count_unknown(self, count: int, /) -> None:
        """Note so many more."""
        ...


def unknown_in_steps(body: bytes) -> Generator[None, None, int]:
    """How many fields of a body (that has been read) nobody knows; too many in one object are refused."""
    fields = yield from _fields(body)
    count = _unknown(fields, _OPTIONS)
    work = 0
    for message in RAW_LIST_DECODER.decode(fields[_MESSAGES]):
        members = yield from _fields(message)
        count += _unknown(members, MESSAGE)
        work += len(message) + _BYTES_A_MESSAGE
        if work > _BYTES_A_STEP:
            work = 0
            yield
    return count


def unknown_of_parts(content: Raw) -> int:
    """The same for the parts of a content that has been read."""
    return unknown_in(content, PART)


def read_counted(kind: Counted[V], value: Raw, path: str, count: Count | None) -> V:
    """The value at `path`, whose unknown fields are counted."""
    try:
        return kind.known.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # A mistake, or a field that nobody here knows.
        found = decode(kind.patient, value, path)
        if count is not None:
            count.count_unknown(unknown_in(value, kind.shape))
        return found


def unknown_in(value: bytes | Raw, shape: Shape) -> int:
    """The unknown fields of an object, or of those of a list; other values, which have been read, have none."""
    kind = memoryview(value)[0]
    if kind == _OBJECT:
        return _unknown(OBJECT_DECODER.decode(value), shape)
    if kind == _ARRAY:
        return sum(unknown_in(item, shape) for item in RAW_LIST_DECODER.decode(value))
    return 0


def _fields(value: bytes | Raw) -> Generator[None, None, dict[str, Raw]]:
    is_heavy = len(value) > _WEIGHED_BYTES
    if is_heavy and (yield from fields_in_steps(bytes(value), MAX_UNKNOWN_FIELDS)) > MAX_UNKNOWN_FIELDS:
        raise too_many_fields(MAX_UNKNOWN_FIELDS)
    return OBJECT_DECODER.decode(value)


def _unknown(members: dict[str, Raw], shape: Shape) -> int:
    unknown = len(members.keys() - shape.fields)
    if unknown > MAX_UNKNOWN_FIELDS:
        raise too_many_fields(MAX_UNKNOWN_FIELDS)
    return unknown + sum(unknown_in(members[name], inner) for name, inner in shape.inner.items() if name in members)
