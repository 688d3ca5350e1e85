"""Fields of a chat-completions request that nobody here knows, counted message by message."""

from collections.abc import Generator
from typing import Final

from msgspec import Raw

from translators.limits import MAX_UNKNOWN_FIELDS, too_many_fields
from translators.unknown import unknown_members
from translators.weight import fields_in_steps
from translators.wire.chat import MESSAGE, REQUEST
from translators.wire.known import Shape
from translators.wire.raw import OBJECT_DECODER, RAW_LIST_DECODER

# What is no larger cannot hold so many fields that reading it takes long.
_WEIGHED_BYTES: Final = 2**20
_BYTES_A_STEP: Final = 32 * 1024
_BYTES_A_MESSAGE: Final = 256
_MESSAGES: Final = "messages"
_OPTIONS: Final = Shape(REQUEST.fields, {name: inner for name, inner in REQUEST.inner.items() if name != _MESSAGES})


def unknown_in_steps(body: bytes) -> Generator[None, None, int]:
    """How many fields of a body (that has been read) nobody knows; too many in one object are refused."""
    fields = yield from _fields(body)
    count = unknown_members(fields, _OPTIONS)
    work = 0
    for message in RAW_LIST_DECODER.decode(fields[_MESSAGES]):
        members = yield from _fields(message)
        count += unknown_members(members, MESSAGE)
        work += len(message) + _BYTES_A_MESSAGE
        if work > _BYTES_A_STEP:
            work = 0
            yield
    return count


def _fields(value: bytes | Raw) -> Generator[None, None, dict[str, Raw]]:
    is_heavy = len(value) > _WEIGHED_BYTES
    if is_heavy and (yield from fields_in_steps(bytes(value), MAX_UNKNOWN_FIELDS)) > MAX_UNKNOWN_FIELDS:
        raise too_many_fields(MAX_UNKNOWN_FIELDS)
    return OBJECT_DECODER.decode(value)
