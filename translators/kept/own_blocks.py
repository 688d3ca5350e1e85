"""Blocks of upstream's making as the writer has them: kept here, or brought back by a caller under a seal."""

from typing import Final

import msgspec
from msgspec import Raw
from orjson import Fragment

from translators.intent import SealedTurn
from translators.messages.blocks import Block
from translators.messages.caching import MARK
from translators.wire.raw import OBJECT_DECODER, TEXT_DECODER

_NO_TYPE: Final = Raw(b"")
# A call is none of these: it stands among the calls of its turn, since a result answers it.
_CALL: Final = "tool_use"


def spliced_block(json: bytes) -> Block:
    """A block, its values as they stood; raises msgspec's errors."""
    given = OBJECT_DECODER.decode(json)
    # Marks are the request's own: of those, an answer has none to give back.
    fields: Block = {name: Fragment(bytes(raw)) for name, raw in given.items() if name != MARK}
    fields["type"] = TEXT_DECODER.decode(given.get("type", _NO_TYPE))
    return fields


def own_blocks(turn: SealedTurn) -> list[Block | None]:
    """What a turn brings back under its seal; None in place of what is no block, or a call."""
    return [_own_block(json) for json in turn.own_blocks]


def _own_block(json: bytes) -> Block | None:
    try:
        block = spliced_block(json)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if block["type"] == _CALL else block
