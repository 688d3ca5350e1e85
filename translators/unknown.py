"""Fields that nobody here knows: counted in a request, and in the objects inside it, however deep."""

from typing import Final, Protocol, TypeVar

import msgspec
from msgspec import Raw

from translators.limits import MAX_UNKNOWN_FIELDS, too_many_fields
from translators.reading import decode
from translators.wire.chat_parts import PART
from translators.wire.known import Counted, Shape
from translators.wire.raw import OBJECT_DECODER, RAW_LIST_DECODER

V = TypeVar("V")

_OBJECT: Final = ord("{")
_ARRAY: Final = ord("[")


class Count(Protocol):
    """Who is told of unknown fields."""

    def count_unknown(self, count: int, /) -> None:
        """Note so many more."""
        ...


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
        return unknown_members(OBJECT_DECODER.decode(value), shape)
    if kind == _ARRAY:
        return sum(unknown_in(item, shape) for item in RAW_LIST_DECODER.decode(value))
    return 0


def unknown_members(members: dict[str, Raw], shape: Shape) -> int:
    """The unknown fields among the members of an object, and in the objects inside it."""
    unknown = len(members.keys() - shape.fields)
    if unknown > MAX_UNKNOWN_FIELDS:
        raise too_many_fields(MAX_UNKNOWN_FIELDS)
    return unknown + sum(unknown_in(members[name], inner) for name, inner in shape.inner.items() if name in members)
