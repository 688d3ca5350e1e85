"""Blocks of a Messages body, as the writer has them, and those of plain texts."""

from typing import Final, TypeAlias

import msgspec
from msgspec import Raw
from orjson import Fragment

from translators.limits import MAX_PARTS
from translators.reading import is_text, spoken_text
from translators.wire.chat_parts import TEXT_PARTS_DECODER

Block: TypeAlias = dict[str, object]
# A JSON string as the caller wrote it, or blocks; either is empty when nothing is left of it.
Content: TypeAlias = bytes | list[Block]
_LONG_BYTES: Final = 2**20


def plain_texts(content: Raw) -> list[Block]:
    """The blocks of parts that are texts and nothing else; empty where one holds more, or could be blank."""
    if len(content) > _LONG_BYTES and is_text(content):
        # The decoder would go through it to say so.
        return []
    try:
        parts = TEXT_PARTS_DECODER.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    if len(parts) > MAX_PARTS:
        return []
    blocks: list[Block] = []
    for part in parts:
        if not (text := spoken_text(part.text)):
            return []
        blocks.append({"type": "text", "text": Fragment(text)})
    return blocks


def as_blocks(content: Content) -> list[Block]:
    """The same content as blocks."""
    if isinstance(content, bytes):
        return [text_block(content)] if content else []
    return content


def text_block(text: bytes) -> Block:
    """A text block around a JSON string."""
    return {"type": "text", "text": Fragment(text)}
