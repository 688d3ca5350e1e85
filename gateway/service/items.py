"""Stored items of the Responses API, as JSON: their ids, and the complete form in which lists show them.

Items are stored as callers sent them, because the same bytes have to go upstream again.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import UNSET, Raw

from translators.errors import TranslationError
from translators.limits import check_length
from translators.reading import decode, is_text
from translators.responses.settings import ENCRYPTED_REASONING
from translators.wire.raw import NULL, OBJECT_DECODER, TEXT_DECODER

LONGEST_ITEM_ID: Final = 128
# The prefixes of OpenAI's item ids, by the type of the item.
_PREFIXES: Final = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "web_search_call": "ws",
    "compaction": "cmp",
}
_OTHER: Final = "item"
# The types of items that have a status in every list.
_WITH_STATUS: Final = frozenset(
    {"message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"}
)
_COMPLETED: Final = Raw(b'"completed"')
# What msgspec raises. Items were read before; lone surrogates are the one mistake that may have passed.
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_EMPTY: Final = Raw(b"[]")
_FIRST_FIELD: Final = b'{"'
_AUTO: Final = Raw(b'"auto"')
_INPUT_TEXT: Final = Raw(b'"input_text"')
_OUTPUT_TEXT: Final = Raw(b'"output_text"')


# That takes less than a millisecond.
_NAMED_AT_ONCE: Final = 500


class _Head(msgspec.Struct):
    """The fields of an item that are read here."""

    id: object = UNSET
    type: object = UNSET


_HEAD_DECODER: Final = msgspec.json.Decoder(_Head)
_PARTS_DECODER: Final = msgspec.json.Decoder(list[dict[str, Raw]])
_ENCODER: Final = msgspec.json.Encoder()


def id_of(item: bytes) -> str | None:
    """The item's id, if it has one."""
    found = _head(item).id
    return found if isinstance(found, str) and found else None


def has_seal(item: bytes) -> bool:
    """Whether the item has `encrypted_content`."""
    try:
        return is_text(OBJECT_DECODER.decode(item).get("encrypted_content", NULL))
    except _UNREADABLE:
        return False


def named(item: bytes, digits: str) -> bytes:
    """The item with an id: its own, or one with the prefix of its kind and these digits (ASCII)."""
    head = _head(item)
    if isinstance(head.id, str) and head.id:
        return item
    new_id = f"{_prefix(head)}_{digits}"
    if head.id is UNSET and item.startswith(_FIRST_FIELD):
        return b'{"id":"%b",%b' % (new_id.encode(), item[1:])
    return with_id(item, new_id)


async def all_named(items: Sequence[bytes], digits: Callable[[int], str]) -> list[bytes]:
    """The items with ids, given the digits by index; of many items, other requests are served in between."""
    found: list[bytes] = []
    for begin in range(0, len(items), _NAMED_AT_ONCE):
        if begin:
            await asyncio.sleep(0)
        some = items[begin : begin + _NAMED_AT_ONCE]
        found += [named(item, digits(index)) for index, item in enumerate(some, begin)]
    return found


def with_id(item: bytes, new_id: str) -> bytes:
    """The item with this id, which replaces its own; other fields stay as they were written."""
    try:
        fields = OBJECT_DECODER.decode(item)
    except _UNREADABLE:
        return item
    return _ENCODER.encode({"id": new_id, **{name: value for name, value in fields.items() if name != "id"}})


def read_items(raws: Sequence[Raw], path: str, most: int) -> list[bytes]:
    """A caller's items, each checked to be an object whose id, if any, is a text; raises `TranslationError`."""
    check_length(raws, most, path)
    items = []
    for index, raw in enumerate(raws):
        place = f"{path}[{index}]"
        given = decode(_HEAD_DECODER, raw, place).id
        if given in (None, UNSET):
            pass
        elif not isinstance(given, str) or not 1 <= len(given) <= LONGEST_ITEM_ID:
            message = f"Invalid '{place}.id': expected a string of 1 to {LONGEST_ITEM_ID} characters."
            raise TranslationError(message, param=f"{place}.id", code="invalid_value")
        items.append(bytes(raw))
    return items


def shown(item: bytes, include: Collection[str] = ()) -> Raw:
    """The item as lists show it, with all fields that typed clients require."""
    try:
        fields = OBJECT_DECODER.decode(item)
    except _UNREADABLE:
        return Raw(item)
    kind = _text(fields.get("type")) or "message"
    fields["type"] = Raw(_ENCODER.encode(kind))
    if kind in _WITH_STATUS and fields.get("status", NULL) == NULL:
        fields["status"] = _COMPLETED
    if kind == "message":
        fields["content"] = _shown_content(fields)
    if kind == "reasoning":
        fields.setdefault("summary", _EMPTY)
        if ENCRYPTED_REASONING not in include:
            fields.pop("encrypted_content", None)
    return Raw(_ENCODER.encode(fields))


def _shown_content(fields: Mapping[str, Raw]) -> Raw:
    """A message's content as a list of parts."""
    content = fields.get("content", NULL)
    if is_text(content):
        is_answer = _text(fields.get("role")) == "assistant"
        parts = [{"type": _OUTPUT_TEXT if is_answer else _INPUT_TEXT, "text": content}]
    else:
        try:
            parts = _PARTS_DECODER.decode(content)
        except _UNREADABLE:
            return _EMPTY if content == NULL else content
    for part in parts:
        kind = _text(part.get("type"))
        if kind == "output_text":
            part.setdefault("annotations", _EMPTY)
            part.setdefault("logprobs", _EMPTY)
        elif kind == "input_image" and part.get("detail", NULL) == NULL:
            part["detail"] = _AUTO
    return Raw(_ENCODER.encode(parts))


def _prefix(head: _Head) -> str:
    """What an id of this kind of item begins with; a message may leave its type out."""
    return _PREFIXES.get(head.type, _OTHER) if isinstance(head.type, str) else _PREFIXES["message"]


def _head(item: bytes) -> _Head:
    try:
        return _HEAD_DECODER.decode(item)
    except _UNREADABLE:
        # Nothing can be said of its id, nor whether it has one.
        return _Head(None)


def _text(raw: Raw | None) -> str | None:
    """The text of a JSON string; None for other values."""
    if raw is None or not is_text(raw):
        return None
    try:
        return TEXT_DECODER.decode(raw)
    except _UNREADABLE:
        return None
