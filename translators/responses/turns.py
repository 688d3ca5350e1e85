"""An assistant's turn: the stretch of reasoning, messages and calls between what others say, as one message."""

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

# How the blocks of a turn stand among each other: a block of upstream's own, a part of the content, a call.
_OWN: Final = "o"
_PART: Final = "t"
_CALL: Final = "c"


class Turn:
    """Collects the items of one turn.

    Blocks of upstream's making go back only if all of the turn's are there: one that is missing makes those after it
    wrong.
    """

    __slots__ = ("_calls", "_contents", "_firm", "_is_torn", "_order", "_own", "place", "waiting")

    def __init__(self, place: str) -> None:
        # Where its first item stands; once there is a message, where that one's content does.
        self.place = place
        # Where the calls stand that wait for their results, by their ids.
        self.waiting: dict[str, str] = {}
        self._own: list[bytes] = []
        # The indices of those that go back whatever is lost besides.
        self._firm: tuple[int, ...] = ()
        self._contents: list[tuple[Raw, str]] = []
        self._calls: list[Call] = []
        self._order: list[str] = []
        self._is_torn = False

    def add_own(self, blocks: Sequence[bytes]) -> None:
        """Add blocks of upstream's making."""
        self._own += blocks
        self._order.append(_OWN * len(blocks))

    def add_summary(self, block: bytes) -> None:
        """Add upstream's summary of all that was said before, without which nobody would know of it."""
        self._firm += (len(self._own),)
        self.add_own([block])

    def tear(self) -> None:
        """Note that blocks of upstream's making have been lost."""
        self._is_torn = True

    def add_content(self, content: Raw, place: str) -> None:
        """Add what a message says; `place` is that of the content."""
        if not self._contents:
            self.place = place
        elif len(self._contents) == MAX_PARTS:
            check_length(range(MAX_PARTS + 1), MAX_PARTS, "input")
        self._contents.append((content, place))
        self._order.append(_PART)

    def add_call(self, call: PlacedCall) -> None:
        """Add a call, which waits for its result from now on."""
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
        """Whether blocks of upstream's making go back."""
        return bool(self._own) and not self._is_torn

    def message(self) -> Message | None:
        """The turn as one message; None where nothing is left of it."""
        calls = self._calls or None
        if self._is_torn and self._firm:
            self._mend()
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

    def _mend(self) -> None:
        """Leave out the blocks that do not go back, so that the others do."""
        firm, numbers = set(self._firm), count()
        letters = [letter for letter in "".join(self._order) if letter != _OWN or next(numbers) in firm]
        self._own, self._order = [self._own[index] for index in self._firm], letters
        self._firm, self._is_torn = (), False

    def _parts(self) -> list[Raw]:
        parts = [part for content, place in self._contents for part in _parts_of(content, place)]
        check_length(parts, MAX_PARTS, "input")
        return parts


def _listed(parts: Sequence[Raw]) -> Raw:
    return Raw(b"[%b]" % b",".join(parts)) if parts else NULL


def _parts_of(content: Raw, place: str) -> list[Raw]:
    """A message's parts; a text is one, and nothing is left of blank ones."""
    if is_text(content):
        return [] if is_blank(bytes(content)) else [Raw(b'{"type":"output_text","text":%b}' % content)]
    parts = decode(RAW_LIST_DECODER, content, place)
    check_length(parts, MAX_PARTS, place)
    words = decode(WORDS_DECODER, content, place)
    return [part for part, said in zip(parts, words, strict=True) if not _is_blank(said)]


def _is_blank(words: Words) -> bool:
    """Whether a part is a text or a refusal that says nothing."""
    said = words.refusal if words.type == "refusal" else words.text
    return is_text(said) and is_blank(bytes(said))
