"""Cache marks: the caller's in any of their spellings, at most four, in an order that Messages accepts."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, TypeAlias

from msgspec import Raw, Struct
from orjson import Fragment

from translators.adjustments import Adjustments
from translators.errors import TranslationError
from translators.models import CACHE_LIFETIME, CACHE_MARKS
from translators.reading import is_null
from translators.unknown import read_counted
from translators.wire.chat_parts import CacheBreakpoint
from translators.wire.known import Counted

Block: TypeAlias = dict[str, Any]

MARK: Final = "cache_control"
MAX_MARKS: Final = 4
# So many messages are looked through at a time.
MESSAGES_A_STEP: Final = 4_096
SHORT: Final = {"type": "ephemeral"}
LONG: Final = {"type": "ephemeral", "ttl": "1h"}
# The same marks where they came in OpenAI's spelling: told apart, so that changes are named in the caller's.
_BREAKPOINT: Final = "prompt_cache_breakpoint"
_SHORT_BREAKPOINT: Final = dict(SHORT)
_LONG_BREAKPOINT: Final = dict(LONG)
# Section 13.1 of the Messages reference: marks on these are refused.
UNMARKABLE: Final = frozenset({"thinking", "redacted_thinking"})
# What OpenAI's lifetimes come closest to; all are above five minutes.
_LONG_LIFETIMES: Final = frozenset({"30m", "1h", "12h", "24h"})


class _Mark(Struct):
    type: str = "ephemeral"
    ttl: str | None = None


_MARK: Final[Counted[_Mark]] = Counted(_Mark)


def mark_of(
    cache_control: Raw, breakpoint: CacheBreakpoint | None, path: str, adjustments: Adjustments | None = None
) -> Block | None:
    """The mark that a part, message or tool carries, in Anthropic's spelling or in OpenAI's; None for no mark."""
    if not is_null(cache_control):
        mark = read_counted(_MARK, cache_control, f"{path}.{MARK}", adjustments)
        if mark.type != "ephemeral" or mark.ttl not in (None, "5m", "1h"):
            raise TranslationError(
                "A cache mark is {'type': 'ephemeral'}, with a 'ttl' of '5m' or '1h'.",
                param=f"{path}.{MARK}",
                code="invalid_value",
            )
        return LONG if mark.ttl == "1h" else SHORT
    if breakpoint is not None and breakpoint.mode in (None, "explicit"):
        return lifetime(breakpoint.ttl)
    return None


def lifetime(ttl: str | None) -> Block:
    """The mark for one of OpenAI's lifetimes."""
    return _LONG_BREAKPOINT if ttl in _LONG_LIFETIMES else _SHORT_BREAKPOINT


def last_markable(messages: list[Block]) -> Block | None:
    """The last block of these messages that can carry a mark."""
    for message in reversed(messages):
        for block in reversed(blocks_of(message)):
            if block["type"] not in UNMARKABLE:
                return block
    return None


def newest_mark(blocks: Sequence[Block]) -> Block | None:
    """The mark that covers most of these blocks, if one does."""
    return next((block[MARK] for block in reversed(blocks) if MARK in block), None)


def blocks_of(message: Block) -> list[Block]:
    """A message's blocks; a content that is a string becomes one, which means the same."""
    content = message["content"]
    if isinstance(content, Fragment | str):
        content = message["content"] = [{"type": "text", "text": content}]
    blocks: list[Block] = content
    return blocks


def limit_marks(tools: list[Block], system: list[Block], in_messages: list[Block], adjustments: Adjustments) -> None:
    """Keep at most four marks: the last on tools, the last on system, the newest on messages; no long after a short.

    `in_messages` are the marked blocks of the messages.
    """
    kept = [*_marked(tools)[-1:], *_marked(system)[-1:]]
    kept += in_messages[-(MAX_MARKS - len(kept)) :]
    keep = {id(block) for block in kept}
    dropped = [block for block in (*_marked(tools), *_marked(system), *in_messages) if id(block) not in keep]
    for block in dropped:
        adjustments.add(_spelling(block), "dropped", "limit")
        del block[MARK]
    has_short = False
    for block in kept:
        is_long = "ttl" in block[MARK]
        if is_long and has_short:
            adjustments.add(_spelling(block), "1h->5m", "order")
            block[MARK] = SHORT
        has_short = has_short or not is_long


def without_refused(marked: Iterable[Block], refused: Collection[str], adjustments: Adjustments) -> None:
    """Take off these blocks what a model does not take: their marks, or lifetimes of an hour."""
    for block in marked:
        if CACHE_MARKS in refused:
            adjustments.add(_spelling(block), "dropped", "model")
            del block[MARK]
        elif CACHE_LIFETIME in refused and "ttl" in block[MARK]:
            adjustments.add(_spelling(block), "1h->5m", "model")
            block[MARK] = SHORT


def has_marks(*groups: Iterable[Block]) -> bool:
    """Whether the caller has marked anything."""
    return any(MARK in block for group in groups for block in group)


def marked_blocks(messages: list[Block]) -> list[Block]:
    """All blocks of all messages that are marked, those inside of results before them."""
    marked: list[Block] = []
    for content in [content for message in messages if isinstance(content := message["content"], list)]:
        for block in content:
            if isinstance(inner := block.get("content"), list):
                marked += _marked(inner)
            if MARK in block:
                marked.append(block)
    return marked


def _spelling(block: Block) -> str:
    """What the caller calls the mark on a block."""
    return _BREAKPOINT if block[MARK] is _SHORT_BREAKPOINT or block[MARK] is _LONG_BREAKPOINT else MARK


def _marked(blocks: Iterable[Block]) -> list[Block]:
    return [block for block in blocks if MARK in block]
