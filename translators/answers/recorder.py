"""The content blocks of an answer in the form for sending them back: complete, in order, every field unchanged."""

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw, Struct

from translators.answers.events import MalformedEventError

# Far more fields than any block has.
MAX_FIELDS: Final = 1_000
# The types of thinking blocks, readable or encrypted.
THINKING: Final = ("thinking", "redacted_thinking")
# Upstream's summary of all that was said before it.
COMPACTION: Final = "compaction"
# Those that the client gets as they are; all others are upstream's own.
SPOKEN: Final = ("text", "tool_use")
# Which field each delta extends (section 6.3 of the Messages reference); the deltas of an input are fragments of its
# JSON text.
_FIELD_OF: Final = {b"text_delta": "text", b"thinking_delta": "thinking", b"input_json_delta": "input"}
_PIECE_OF: Final = {b"text_delta": "text", b"thinking_delta": "thinking", b"input_json_delta": "partial_json"}
# A delta counts only in a block of its type; in blocks of types that are not listed (server tools, future types) the
# first delta decides.
_PIECES_OF: Final = {"text": "text", "thinking": "thinking", "redacted_thinking": "", "tool_use": "input"}
# Deltas that replace a field.
_REPLACED: Final = {b"signature_delta": ("signature",), b"compaction_delta": ("content", "encrypted_content")}
_NOTHING: Final = Raw(b"null")
_EMPTY: Final = b'""'


class Block(NamedTuple):
    """One block: its type, and its JSON."""

    type: str
    json: bytes


class _Event(Struct):
    """An event, as far as it concerns blocks."""

    type: str
    index: int = 0
    content_block: dict[str, Raw] = {}
    delta: dict[str, Raw] = {}


class _Typed(Struct):
    type: str


class _Words(Struct):
    text: str = ""


class _Content(Struct):
    content: list[Raw]


_EVENT_DECODER: Final = msgspec.json.Decoder(_Event)
_TYPE_DECODER: Final = msgspec.json.Decoder(_Typed)
_WORDS_DECODER: Final = msgspec.json.Decoder(_Words)
_CONTENT_DECODER: Final = msgspec.json.Decoder(_Content)
_LIST_DECODER: Final = msgspec.json.Decoder(list[Raw])
_TEXT_DECODER: Final = msgspec.json.Decoder(str)


class _Open:
    """A block that is being recorded."""

    __slots__ = ("citations", "fields", "pieces", "pieces_of", "type")

    def __init__(self, fields: dict[str, Raw]) -> None:
        self.fields = fields
        self.type = _TEXT_DECODER.decode(fields["type"])
        self.pieces: list[bytes] = []
        # The field that its deltas extend.
        self.pieces_of = _PIECES_OF.get(self.type)
        self.citations: list[bytes] = []

    def whole(self) -> Block:
        fields = dict(self.fields)
        if not self.pieces:
            pass
        elif self.pieces_of == "input":
            text = _TEXT_DECODER.decode(_joined(self.pieces))
            if text:
                fields["input"] = Raw(text.encode())
        elif self.pieces_of:
            fields[self.pieces_of] = Raw(_joined([_text(fields.get(self.pieces_of, _NOTHING)), *self.pieces]))
        if self.citations:
            fields["citations"] = Raw(b"[%b]" % b",".join(self.citations))
        return Block(self.type, msgspec.json.encode(fields))


class BlockRecorder:
    """Collects a stream's events into content that can be sent back to Anthropic.

    `only_own` says that it gets the deltas of upstream's own blocks alone, so that its other blocks are not complete;
    `awaited` is how many of those are open.
    """

    __slots__ = ("_open", "awaited", "only_own")

    def __init__(self, *, only_own: bool = False) -> None:
        self._open: dict[int, _Open] = {}
        self.only_own = only_own
        self.awaited = 0

    @property
    def blocks(self) -> list[Block]:
        """The blocks so far, in order; an input that was cut off is not valid JSON."""
        return [self._open[index].whole() for index in sorted(self._open)]

    def block(self, index: int) -> Block | None:
        """One of them; None where its beginning could not be read."""
        return self._open[index].whole() if index in self._open else None

    def add(self, index: int, delta_type: bytes, raw: bytes) -> None:
        """Append a piece of text, thinking or input, given as a JSON string."""
        if (block := self._open.get(index)) is None:
            return
        if block.pieces_of is None:
            block.pieces_of = _FIELD_OF[delta_type]
        if block.pieces_of == _FIELD_OF[delta_type]:
            block.pieces.append(raw)

    def observe(self, data: bytes) -> None:
        """Take in the data of one event; events that do not concern blocks, or are malformed, are ignored."""
        if self.only_own and not self.awaited and b"content_block_start" not in data:
            # Only the beginning of a block can matter.
            return
        try:
            event = _EVENT_DECODER.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if event.type == "content_block_start":
            self._begin(event.index, event.content_block)
        elif event.type == "content_block_delta" and event.index in self._open:
            self._apply(event.index, event.delta)

    def _begin(self, index: int, fields: dict[str, Raw]) -> None:
        if len(fields) > MAX_FIELDS:
            raise MalformedEventError(f"Upstream sent a content block with more than {MAX_FIELDS} fields.")
        block = self._open[index] = _Open(fields)
        citations = fields.get("citations", _NOTHING)
        if bytes(citations)[:1] == b"[":
            block.citations = [bytes(citation) for citation in _LIST_DECODER.decode(citations)]

    def _apply(self, index: int, delta: dict[str, Raw]) -> None:
        kind = bytes(delta.get("type", _NOTHING)).strip(b'"')
        if kind in _PIECE_OF:
            if (piece := _text(delta.get(_PIECE_OF[kind], _NOTHING))) != _EMPTY:
                self.add(index, kind, piece)
        elif kind in _REPLACED:
            self._open[index].fields |= {name: delta[name] for name in _REPLACED[kind] if name in delta}
        elif kind == b"citations_delta" and "citation" in delta:
            self._open[index].citations.append(bytes(delta["citation"]))


def blocks_of_message(body: bytes) -> list[Block]:
    """The blocks of an unstreamed message, unchanged."""
    return [Block(_TYPE_DECODER.decode(raw).type, bytes(raw)) for raw in _CONTENT_DECODER.decode(body).content]


def sendable(blocks: Iterable[Block]) -> list[Block]:
    """The blocks without empty and blank texts, which upstream produces but does not accept.

    Blank texts are accepted next to a call (section 17 of the Messages reference), and must be kept before thinking.
    """
    blocks = list(blocks)
    bound = max((index for index, block in enumerate(blocks) if block.type in THINKING), default=-1)
    if any(block.type == "tool_use" for block in blocks):
        bound = len(blocks)
    return [block for index, block in enumerate(blocks) if block.type != "text" or _says(block, is_bound=index < bound)]


def is_whole(block: Block) -> bool:
    """Whether a block is valid JSON of its type; one whose input was cut off is not."""
    try:
        # The JSON decoder does not validate what it skips.
        block.json.decode()
        return _TYPE_DECODER.decode(block.json).type == block.type
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def content_of(blocks: Iterable[Block]) -> bytes:
    """The blocks as the content of a message."""
    return b"[%b]" % b",".join([block.json for block in blocks])


def _says(block: Block, *, is_bound: bool) -> bool:
    """Whether a text is neither empty nor, unless signed content depends on it, blank."""
    try:
        text = _WORDS_DECODER.decode(block.json).text
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Not a text that can be decoded, so keep it.
        return True
    return bool(text if is_bound else text.strip())


def _text(raw: Raw) -> bytes:
    """A JSON string; an empty one if the value is not a string."""
    text = bytes(raw)
    return text if text[:1] == b'"' else _EMPTY


def _joined(pieces: Iterable[bytes]) -> bytes:
    """Several JSON strings joined into one."""
    return b'"%b"' % b"".join([piece[1:-1] for piece in pieces])
