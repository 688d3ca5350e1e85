"""Turns that are kept: an answer's exact blocks, for the day when a client sends it back without what it cannot show.

Signed thinking holds only behind what stood before it, the thinking of earlier turns included. So a turn knows the turn
that it came after (`parent`), and goes back only together with all of these: what was sent once is sent again.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from translators.answers.recorder import THINKING, is_whole, sendable
from translators.answers.recorder import Block as RecordedBlock
from translators.intent import Message, SealedTurn
from translators.kept.echoes import signature_digest, signed_thinking
from translators.kept.history import place_key, turn_key
from translators.kept.own_blocks import own_blocks
from translators.messages.blocks import Block

# What a chat completion shows whole.
SHOWN: Final = ("text", "tool_use")
# Section 13.5 of the Messages reference: an answer that another model took over goes back without its first part.
_NEVER_KEPT: Final = "fallback"
# An answer that was cut off is not what the model meant to say, and its last call may be half of one. One that has
# paused for good ends with a server tool's call, whose result never comes.
_WHOLE: Final = frozenset({"end_turn", "stop_sequence", "tool_use"})
# Why thinking that was kept does not go back, as callers are told: another account answers, other tools or another
# system prompt, the client shows a turn otherwise than it was said, an earlier turn is not there any more, upstream has
# refused it, or a turn that was kept at a place is not the one that the client shows there.
LeftOut: TypeAlias = Literal["account", "changed", "edited", "missing", "refused", "unknown"]
FORM: Final = 1
# "Invalid `signature` in `thinking` block", "`thinking` or `redacted_thinking` blocks ... cannot be modified",
# "Expected `thinking` or `redacted_thinking`, but found ...": but nothing about the field of that name.
# In upstream's own words, before anything that it may have quoted.
_ABOUT_THINKING: Final = re.compile(
    r"(?:messages[\w.]{0,200}: )?(?:[^'\"`:]|`[a-z]+`){0,80}?"
    r"(?:`(?:redacted_)?thinking`|(?:redacted_)?thinking blocks?\b|`signature`)"
)


class KeptTurn(Struct, frozen=True, array_like=True):
    """An answer as it is kept, with what it was made on (`ground`) and after (`parent`, a link, empty for none).

    A link is the key of a turn and a digest of its value: another answer in its place may show the same words.
    `signer` is whose key it was: the organization's id and the mark of the key.
    """

    form: int
    ground: bytes
    parent: bytes
    signer: tuple[str, bytes]
    blocks: tuple[RecordedBlock, ...]


class Origin(Struct, frozen=True):
    """What a request is to the answer that will be kept: its place in a conversation, and what was sent before it.

    `parent` is the link to the latest turn that goes back as it was made. `is_gap` says that something was left out,
    which is a reason to keep an answer that hides nothing. `run` is the place of the run of turns that it belongs to,
    where none of these is kept yet.
    """

    before: bytes
    model: str
    ground: bytes
    parent: bytes = b""
    is_gap: bool = False
    run: bytes = b""


class Recalled(Struct, frozen=True):
    """Turns that go back as they were made: their contents by their place among the messages.

    `head` is the link to the latest, `signer` whose key all of them were made with; `keys` are those of all.
    `is_sealed` says that something in them holds only in the account it comes from.
    """

    head: bytes
    signer: tuple[str, bytes]
    keys: tuple[bytes, ...]
    contents: Mapping[int, tuple[Block, ...]]
    is_sealed: bool


class Past(Struct, frozen=True):
    """What is known of a conversation besides what the client sends.

    `contents` are the turns that go back as they were made; `is_bare` says that no thinking goes back at all, `refused`
    (digests of signatures) which of the client's own does not. `left_out` says why, where thinking that was kept stays
    out. `origin` is what the answer is kept with; None where it is not.
    """

    contents: Mapping[int, tuple[Block, ...]] = {}
    refused: frozenset[bytes] = frozenset()
    is_bare: bool = False
    left_out: LeftOut | None = None
    origin: Origin | None = None

    def thinking(self, message: Message, path: str | None = None) -> list[Block]:
        """The signed thinking that the client has sent back with a message, and that goes on."""
        if self.is_bare:
            return []
        sent = signed_thinking(message, path)
        return [block for block in sent if signature_digest(block) not in self.refused] if self.refused else sent

    def own_blocks(self, turn: SealedTurn) -> list[Block | None]:
        """The blocks that the client has brought back under a seal; None in place of thinking that does not go on."""
        if not (self.is_bare or self.refused):
            return own_blocks(turn)
        return [None if block is None or self._leaves_out(block) else block for block in own_blocks(turn)]

    def _leaves_out(self, block: Block) -> bool:
        return block["type"] in THINKING and (self.is_bare or signature_digest(block) in self.refused)


UNKNOWN_PAST: Final = Past()

_TURN_ENCODER: Final = msgspec.msgpack.Encoder()


# Keeping


def kept_turn(
    origin: Origin,
    blocks: Sequence[RecordedBlock],
    *,
    names: Sequence[str],
    stop_reason: str | None,
    signer: tuple[str, bytes],
) -> tuple[bytes, bytes] | None:
    """The key and the value under which an answer is kept; None for one that a client can send back by itself.

    `names` are what the client knows its calls by, as `names_of_calls` will have them.
    """
    blocks = sendable(blocks)
    types = [block.type for block in blocks]
    is_complete = stop_reason in _WHOLE and _NEVER_KEPT not in types and all(map(is_whole, blocks))
    if not is_complete or not (origin.is_gap or _hides_something(types)):
        return None
    turn = KeptTurn(FORM, origin.ground, origin.parent, signer, tuple(blocks))
    return turn_key(origin.before, origin.model, names), _TURN_ENCODER.encode(turn)


def _hides_something(types: Sequence[str]) -> bool:
    """Whether a chat completion of these blocks shows less than there is."""
    if any(kind not in (*SHOWN, *THINKING) for kind in types):
        return True
    if "tool_use" not in types:
        # Outside of tool use thinking may be dropped (section 13.3 of the Messages reference).
        return False
    return any(kind in THINKING for kind in types) or "text" in types[types.index("tool_use") :]


def kept_places(origin: Origin, names: Sequence[str]) -> list[bytes]:
    """The keys under which a turn's own key is kept, to be found by its place; none where it calls nothing.

    Clients that merge the turns of a run show all of them at the place of the first one.
    """
    if not names:
        return []
    return [place_key(place, origin.model) for place in (origin.before, origin.run) if place]


# Recalling


def refuses_thinking(message: str) -> bool:
    """Whether upstream's words for a 400 are about thinking that was sent back, or was not (sections 8 and 17)."""
    return _ABOUT_THINKING.match(message) is not None
