"""Puts the items of one assistant's turn (reasoning, messages, calls) together as one message of the intent."""

from collections.abc import Sequence
from itertools import count
from typing import Final

from msgspec import Raw

from translators.errors import TranslationError
from translators.intent import Call, Message, PlacedCall, SealedTurn
from translators.limits import MAX_CALLS, MAX_PARTS, check_length
from translators.reading import decode, is_blank, is_text
from translators.wire.raw import NULL, RAW_LIST_DECODER
from translators.wire.responses import WORDS_DECODER, Words

# The letters of `SealedTurn.order`: an own block, a part of the content, a call.
_OWN: Final = "o"
_PART: Final = "t"
_CALL: Final = "c"


class Turn:
    """Collects the items of one turn.

    Own blocks (those that upstream made) go back only if none of the turn's is lost: without one, those after it are
    wrong. Upstream's summaries go back in any case, since nothing else tells what they hold.
    """

    __slots__ = ("_calls", "_contents", "_has_lost_blocks", "_order", "_own", "_summaries", "place", "waiting")

    def __init__(self, place: str) -> None:
        # The place of its first item; once it has a message, the place of that message's content.
        self.place = place
        # The places of the calls without results so far, by their ids.
        self.waiting: dict[str, str] = {}
        self._own: list[bytes] = []
        # The indices in `_own` of upstream's summaries.
        self._summaries: tuple[int, ...] = ()
        self._contents: list[tuple[Raw, str]] = []
        self._calls: list[Call] = []
        self._order: list[str] = []
        self._has_lost_blocks = False

    def add_own(self, blocks: Sequence[bytes]) -> None:
        """Add own blocks."""
        self._own += blocks
        self._order.append(_OWN * len(blocks))

    def add_summary(self, block: bytes) -> None:
        """Add upstream's summary of the conversation before it; it goes back even if other own blocks are lost."""
        self._summaries += (len(self._own),)
        self.add_own([block])

    def lose_blocks(self) -> None:
        """Note that own blocks of this turn are missing or cannot be opened."""
        self._has_lost_blocks = True

    def add_content(self, content: Raw, place: str) -> None:
        """Add the content of a message; `place` is where the content stands."""
        if not self._contents:
            self.place = place
        elif len(self._contents) == MAX_PARTS:
            check_length(range(MAX_PARTS + 1), MAX_PARTS, "input")
        self._contents.append((content, place))
        self._order.append(_PART)

    def add_call(self, call: PlacedCall) -> None:
        """Add a call, whose result has to follow."""
        if call.id in self.waiting:
            message = f"The calls of one turn must have different ids; '{call.id}' occurs twice."
            raise TranslationError(message, param=f"{call.place}.call_id", code="invalid_value")
        if len(self._calls) == MAX_CALLS:
            check_length(range(MAX_CALLS + 1), MAX_CALLS, "input")
        self.waiting[call.id] = call.place
        self._calls.append(call)
        self._order.append(_CALL)

    @property
    def is_sealed(self) -> bool:
        """Whether own blocks go back."""
        return bool(self._own) and not self._has_lost_blocks

    def message(self) -> Message | None:
        """The turn as one message; None where nothing is left of it."""
        calls = self._calls or None
        if self._has_lost_blocks and self._summaries:
            self._keep_summaries_only()
        if not self.is_sealed:
            if not self._contents and calls is None:
                return None
            content = self._contents[0][0] if len(self._contents) == 1 else _listed(self._parts())
            return Message("assistant", content, tool_calls=calls)
        parts, order = list[Raw](), list[str]()
        contents = iter(self._contents)
        for letter in self._order:
            if letter == _PART:
                added = _parts_of(*next(contents))
                parts += added
                letter = _PART * len(added)
            order.append(letter)
        check_length(parts, MAX_PARTS, "input")
        return SealedTurn(
            "assistant", _listed(parts), tool_calls=calls, own_blocks=tuple(self._own), order="".join(order)
        )

    def _keep_summaries_only(self) -> None:
        """Leave out all other own blocks."""
        kept, numbers = set(self._summaries), count()
        letters = [letter for letter in "".join(self._order) if letter != _OWN or next(numbers) in kept]
        self._own, self._order = [self._own[index] for index in self._summaries], letters
        self._summaries, self._has_lost_blocks = (), False

    def _parts(self) -> list[Raw]:
        parts = [part for content, place in self._contents for part in _parts_of(content, place)]
        check_length(parts, MAX_PARTS, "input")
        return parts


def _listed(parts: Sequence[Raw]) -> Raw:
    return Raw(b"[%b]" % b",".join(parts)) if parts else NULL


def _parts_of(content: Raw, place: str) -> list[Raw]:
    """A message's parts without blank ones; a text is one part."""
    if is_text(content):
        return [] if is_blank(bytes(content)) else [Raw(b'{"type":"output_text","text":%b}' % content)]
    parts = decode(RAW_LIST_DECODER, content, place)
    check_length(parts, MAX_PARTS, place)
    words = decode(WORDS_DECODER, content, place)
    return [part for part, said in zip(parts, words, strict=True) if not _is_blank(said)]


def _is_blank(words: Words) -> bool:
    """Whether a part is a blank text or a blank refusal."""
    said = words.refusal if words.type == "refusal" else words.text
    return is_text(said) and is_blank(bytes(said))
