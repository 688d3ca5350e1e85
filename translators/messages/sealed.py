"""How the blocks of a turn that comes back under a seal stand among its words and calls."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import orjson
from msgspec import Raw
from orjson import Fragment

from translators.answers.recorder import THINKING
from translators.messages.blocks import Block, text_block
from translators.reading import is_blank, is_text

_OWN: Final = "o"
_WORDS: Final = "t"
_CALL: Final = "c"
_EMPTY: Final = b'""'


def in_order(order: str, own: Sequence[Block | None], words: Sequence[Block], calls: Sequence[Block]) -> list[Block]:
    """All blocks of a turn, in the order that they were made in; None in place of an own one that does not go back.

    Where the order is not that of so many blocks: its own ones, the words, the calls.
    """
    numbers = {_OWN: len(own), _WORDS: len(words), _CALL: len(calls)}
    if len(order) != sum(numbers.values()) or any(order.count(kind) != number for kind, number in numbers.items()):
        order = "".join(kind * number for kind, number in numbers.items())
    rest: Mapping[str, Iterator[Block | None]] = {_OWN: iter(own), _WORDS: iter(words), _CALL: iter(calls)}
    blocks = [block for kind in order if (block := next(rest[kind])) is not None]
    # Blank texts are needed before thinking, and taken beside calls (section 17 of the Messages reference).
    thinking = (index for index, block in enumerate(blocks) if block["type"] in THINKING)
    bound = len(blocks) if calls else max(thinking, default=-1)
    return [block for index, block in enumerate(blocks) if _is_taken(block, is_bound=index < bound)]


def _is_taken(block: Block, *, is_bound: bool) -> bool:
    """Whether upstream takes a block back: no empty text, and a blank one only where something is bound to it."""
    text = block.get("text")
    if block["type"] != "text" or not isinstance(text, Fragment):
        return True
    written = orjson.dumps(text)
    return written != _EMPTY and (is_bound or not is_text(Raw(written)) or not is_blank(written))


def readable_summary(block: Block) -> Block | None:
    """What can be read of a summary of upstream's, for a model that does not take the block; None where nothing can."""
    content = orjson.dumps(block.get("content"))
    return text_block(content) if is_text(Raw(content)) and not is_blank(content) else None
