"""What an answer contains that clients send back and that is valid only with the account or workspace that made it."""

from dataclasses import dataclass, field
from typing import Final

import msgspec
from msgspec import Raw

from translators.native.thinking import signature_digest

# An answer has a handful of thoughts; no host of Anthropic's sends more than this.
MOST_THOUGHTS: Final = 1_000
_WORD: Final = b"thinking"
_SIGNATURE: Final = b'"signature_delta"'
_NULL: Final = Raw(b"null")


class _Block(msgspec.Struct):
    type: str = ""
    signature: str = ""
    data: str = ""


class _Delta(msgspec.Struct):
    signature: str = ""


class _DeltaEvent(msgspec.Struct):
    delta: _Delta | None = None


class _Answer(msgspec.Struct):
    id: Raw = _NULL
    content: Raw = _NULL


_BLOCK_DECODER: Final = msgspec.json.Decoder(_Block)
_BLOCKS_DECODER: Final = msgspec.json.Decoder(list[_Block])
_EVENT_DECODER: Final = msgspec.json.Decoder(_DeltaEvent)
_ANSWER_DECODER: Final = msgspec.json.Decoder(_Answer)
_TEXT_DECODER: Final = msgspec.json.Decoder(str)


@dataclass(slots=True)
class Made:
    """The answer's id, and the digests of its thoughts' signatures in order.

    `is_thinking` is true during a thought whose signature has not arrived yet.
    """

    id: str | None = None
    digests: list[bytes] = field(default_factory=list)
    is_thinking: bool = False

    def begin(self, message_id: Raw) -> None:
        self.id = _text(message_id)

    def begin_block(self, block: Raw) -> None:
        """A block begins, possibly with its signature or data."""
        self.is_thinking = False
        if _WORD in bytes(block):
            try:
                self.take(_BLOCK_DECODER.decode(block))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return

    def take_delta(self, data: bytes) -> None:
        """A delta of a thought."""
        if _SIGNATURE not in data:
            return
        try:
            delta = _EVENT_DECODER.decode(data).delta
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if delta is not None:
            self._add(delta.signature)

    def take(self, block: _Block) -> None:
        """Take a block, whole or at its start."""
        if block.type == "thinking":
            self.is_thinking = True
            self._add(block.signature)
        elif block.type == "redacted_thinking":
            self._add(block.data)

    def _add(self, seal: str) -> None:
        if seal and len(self.digests) < MOST_THOUGHTS:
            self.digests.append(signature_digest(seal))


def made_in(body: bytes) -> Made:
    """The same for an unstreamed answer."""
    made = Made()
    try:
        answer = _ANSWER_DECODER.decode(body)
        made.begin(answer.id)
        blocks = _BLOCKS_DECODER.decode(answer.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return made
    for block in blocks:
        made.take(block)
    return made


def _text(raw: Raw) -> str | None:
    try:
        return _TEXT_DECODER.decode(raw)
    except msgspec.DecodeError:
        return None
