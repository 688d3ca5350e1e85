"""Thinking in the history of a native body: its places and signatures, and the body without it."""

import re
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from msgspec import Raw

from translators.errors import TranslationError, json_problem
from translators.reading import Decoder
from translators.steps import in_one_go
from translators.structure import Members

# A body with signed thinking contains one of these.
_SIGNED: Final = b'"signature"'
_REDACTED: Final = b'"redacted_thinking"'
_THINKING: Final = ("thinking", "redacted_thinking")
_WORD: Final = b"thinking"
_DIGEST_BYTES: Final = 16
# No real history has more thoughts; such a body is sent unchanged.
MOST_THOUGHTS: Final = 10_000
# This many take a tenth of a millisecond.
_ITEMS_A_STEP: Final = 100
# The bytes between two items of a list, and before the first.
_GAP: Final = re.compile(rb"[\s,]*+")
_BRACKET: Final = ord("[")
_NULL: Final = Raw(b"null")
_OFF: Final = b'{"type":"disabled"}'
# Upstream accepts this edit of the history only if the model thinks.
_CLEARS_THINKING: Final = "clear_thinking"
# At most this many messages follow an open answer: results, and system messages after them.
_TAIL: Final = 8

_T = TypeVar("_T")
_Span = tuple[int, int]
_Edit = tuple[int, int, bytes]


class _Message(msgspec.Struct):
    role: Raw = _NULL
    content: Raw = _NULL


class _Block(msgspec.Struct):
    type: str = ""
    signature: str | None = None
    data: str | None = None


class _Typed(msgspec.Struct):
    type: str = ""


_LIST_DECODER: Final = msgspec.json.Decoder(list[Raw])
_MESSAGE_DECODER: Final = msgspec.json.Decoder(_Message)
_BLOCK_DECODER: Final = msgspec.json.Decoder(_Block)
_TYPED_DECODER: Final = msgspec.json.Decoder(_Typed)
_TYPES_DECODER: Final = msgspec.json.Decoder(list[_Typed])
_FIELDS_DECODER: Final = msgspec.json.Decoder(dict[str, Raw])


class _Turn(NamedTuple):
    """An assistant message with thinking: its place, its blocks, and which of them are thoughts."""

    place: int
    blocks: list[_Span]
    thoughts: list[int]


@dataclass(frozen=True, slots=True)
class Thinking:
    """The thoughts of a body in order: `digests` of their signatures, b"" for a thought without one."""

    digests: tuple[bytes, ...]
    _messages: list[_Span]
    _turns: list[_Turn]
    # The answer whose calls are still open: the body ends with their results.
    _open: int | None = None

    def without(self, body: bytes, count: int) -> tuple[bytes, bool]:
        """The body without its first `count` thoughts, and whether thinking had to be turned off for that.

        A message without other content is removed. A model with a thinking budget requires a thought before calls that
        are still open; without one, thinking is turned off.
        """
        edits: list[_Edit] = []
        gone: list[int] = []
        is_off = self._open is not None
        for turn in self._turns:
            removed, count = turn.thoughts[:count], max(0, count - len(turn.thoughts))
            if turn.place == self._open and turn.thoughts[0] == 0 and 0 not in removed:
                is_off = False
            if len(removed) == len(turn.blocks):
                gone.append(turn.place)
            else:
                edits += _deletions(turn.blocks, removed)
        edits += _deletions(self._messages, gone)
        off = _turned_off(body) if is_off else []
        return _spliced(body, edits + off), bool(off)


def may_hold_thinking(body: bytes) -> bool:
    """Whether a body can contain signed thinking; a quick check."""
    return _SIGNED in body or _REDACTED in body


def find_thinking(body: bytes) -> Thinking | None:
    """The thoughts in a body that `read_native` has accepted, or None."""
    return in_one_go(find_thinking_in_steps(body))


def find_thinking_in_steps(body: bytes) -> Generator[None, None, Thinking | None]:
    """The same, in steps."""
    outer = Members(body)
    raw = outer.values.get("messages")
    if raw is None or (listed := _read(_LIST_DECODER, raw)) is None:
        return None
    yield
    messages = yield from _spans(body, outer.span("messages")[0], listed)
    turns: list[_Turn] = []
    digests: list[bytes] = []
    for place, (begin, end) in enumerate(messages):
        if place % _ITEMS_A_STEP == 0:
            yield
        if body.find(_WORD, begin, end) < 0:
            continue
        yield
        if (turn := (yield from _turn_at(body, place, begin, listed[place], digests))) is not None:
            turns.append(turn)
        if len(digests) > MOST_THOUGHTS:
            return None
    if not turns:
        return None
    yield
    return Thinking(tuple(digests), messages, turns, _open_answer(listed))


def signature_digest(signature: str) -> bytes:
    """The digest of a signature, or of redacted thinking's data."""
    return blake2b(signature.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()


def _turn_at(
    body: bytes, place: int, begin: int, raw: Raw, digests: list[bytes]
) -> Generator[None, None, _Turn | None]:
    """The message as a turn, or None if it has no thinking; appends the digests to `digests`."""
    message = _read(_MESSAGE_DECODER, raw)
    if message is None or not _is(message.role, "assistant"):
        return None
    members = Members(bytes(raw))
    if members.names.count("content") != 1 or memoryview(message.content)[0] != _BRACKET:
        return None
    blocks = _LIST_DECODER.decode(message.content)
    spans = yield from _spans(body, begin + members.span("content")[0], blocks)
    thoughts = []
    for number, (at, end) in enumerate(spans):
        if number % _ITEMS_A_STEP == 0:
            yield
        if body.find(_WORD, at, end) >= 0 and (digest := _thought(blocks[number])) is not None:
            thoughts.append(number)
            digests.append(digest)
    return _Turn(place, spans, thoughts) if thoughts else None


def _thought(raw: Raw) -> bytes | None:
    """The digest of a thought, or None for any other block."""
    typed = _read(_TYPED_DECODER, raw)
    if typed is None or typed.type not in _THINKING:
        return None
    block = _read(_BLOCK_DECODER, raw)
    seal = block and (block.signature if block.type == _THINKING[0] else block.data)
    return signature_digest(seal) if seal else b""


def _open_answer(messages: Sequence[Raw]) -> int | None:
    """The place of the last answer, if results of its calls follow it."""
    has_results = False
    for place in range(len(messages) - 1, max(-1, len(messages) - 1 - _TAIL), -1):
        message = _read(_MESSAGE_DECODER, messages[place])
        if message is None:
            return None
        if _is(message.role, "assistant"):
            return place if has_results else None
        blocks = _read(_TYPES_DECODER, message.content) or []
        has_results = has_results or any(block.type == "tool_result" for block in blocks)
    return None


def _turned_off(body: bytes) -> list[_Edit]:
    """The changes that turn off a thinking budget, and what is only allowed with it; none if there is no budget."""
    members = Members(body)
    thinking = _read(_TYPED_DECODER, members.values.get("thinking", _NULL))
    if thinking is None or thinking.type != "enabled":
        return []
    edits = [(*members.span("thinking"), _OFF)]
    management = members.values.get("context_management", _NULL)
    if _CLEARS_THINKING.encode() in bytes(management) and (kept := _without_clearing(management)) is not None:
        edits.append((*members.span("context_management"), kept))
    return edits


def _without_clearing(management: Raw) -> bytes | None:
    fields = _read(_FIELDS_DECODER, management)
    listed = _read(_LIST_DECODER, fields.get("edits", _NULL)) if fields else None
    if fields is None or listed is None:
        return None
    kept = []
    for edit in listed:
        typed = _read(_TYPED_DECODER, edit)
        if typed is None or not typed.type.startswith(_CLEARS_THINKING):
            kept.append(edit)
    changed: dict[str, Any] = {**fields, "edits": kept}
    return msgspec.json.encode(changed)


def _spans(body: bytes, bracket: int, items: Sequence[Raw]) -> Generator[None, None, list[_Span]]:
    """The positions of a list's items; `bracket` is the position of the list."""
    spans: list[_Span] = []
    at = bracket + 1
    for item in items:
        gap = _GAP.match(body, at)
        assert gap is not None, "it may be empty"
        at = gap.end() + len(item)
        spans.append((gap.end(), at))
        if len(spans) % _ITEMS_A_STEP == 0:
            yield
    return spans


def _deletions(spans: Sequence[_Span], removed: Sequence[int]) -> Iterator[_Edit]:
    """The ranges to cut for these items of a list, in order: each run of them with an adjacent comma."""
    runs: list[tuple[int, int]] = []
    for number in removed:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    for first, last in runs:
        if last + 1 < len(spans):
            yield spans[first][0], spans[last + 1][0], b""
        else:
            yield spans[first - 1][1] if first else spans[first][0], spans[last][1], b""


def _spliced(body: bytes, edits: Collection[_Edit]) -> bytes:
    pieces: list[bytes | memoryview] = []
    at = 0
    view = memoryview(body)
    for begin, end, instead in sorted(edits):
        pieces += [view[at:begin], instead]
        at = end
    return b"".join([*pieces, view[at:]])


def _is(raw: Raw, text: str) -> bool:
    return bytes(raw) == b'"%b"' % text.encode()


def _read(decoder: Decoder[_T], raw: Raw) -> _T | None:
    """The value, or None if it has another type; upstream reports whether that is allowed."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TranslationError(f"The body is not valid JSON: {json_problem(error)}") from error
