"""The items of an output while they are written, one class for each type: their events, and the finished item."""

import json
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import orjson

from translators.answers.answer_types import Call
from translators.responses.frame import OutputItem, ResponsesFrame
from translators.responses.kinds import Kind, ToolKind

# Writes one event, given its type and its members after `type` and `sequence_number`.
Say: TypeAlias = Callable[[bytes, bytes], None]

COMPLETED: Final = b"completed"
INCOMPLETE: Final = b"incomplete"
COMMENTARY: Final = b"commentary"
FINAL: Final = b"final_answer"

ADDED: Final = b"response.output_item.added"
DONE: Final = b"response.output_item.done"
_PART_ADDED: Final = b"response.content_part.added"
_PART_DONE: Final = b"response.content_part.done"
_EMPTY_TEXT: Final = b'{"type":"output_text","text":"","annotations":[],"logprobs":[]}'
_TEXT_PART: Final = b'{"type":"output_text","text":%b,"annotations":[%b],"logprobs":[]%b}'
_SUMMARY: Final = b'{"type":"summary_text","text":%b}'
_REFUSAL: Final = b'{"type":"refusal","refusal":%b}'
_MESSAGE: Final = b'{"id":"%b","type":"message","status":"%b","role":"assistant","phase":"%b","content":[%b]'
# Templates of the most frequent events, which lack the number and the JSON string.
_TEXT_DELTA: Final = (
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":%%d,'
    b'%b,"content_index":0,"delta":%%b,"logprobs":[]}\n\n'
)
_DELTA: Final = b'event: %b\ndata: {"type":"%b","sequence_number":%%d,%b,"delta":%%b}\n\n'


def joined(raws: Sequence[bytes]) -> bytes:
    """Several JSON strings joined to one."""
    return raws[0] if len(raws) == 1 else b'"%b"' % b"".join([raw[1:-1] for raw in raws])


def read_text(raw: bytes) -> str:
    """The text of a JSON string, which may hold lone surrogates."""
    text: str
    try:
        text = orjson.loads(raw)
    except orjson.JSONDecodeError:
        text = json.loads(raw)
    return text


class Item:
    """An item that has begun: its id, and its place in events.

    The methods that take a `say` write events: they are called only where somebody reads those.
    """

    __slots__ = ("form", "id", "index", "pieces", "place")

    def __init__(self, frame: ResponsesFrame, prefix: str, index: int) -> None:
        self.id = frame.item_id(prefix, index)
        self.index = index
        self.place = b""
        self.pieces: list[bytes] = []
        # The template of the event for a piece, which lacks the number and the JSON string.
        self.form = b""

    def begin(self, say: Say) -> None:
        """Write the event for its beginning."""
        raise NotImplementedError

    def tell_end(self, say: Say, item: OutputItem) -> None:
        """Write the events for its end; `item` is the finished item."""
        self.done(say, item)

    def add(self, say: Say, item: bytes) -> None:
        """Write `response.output_item.added`, its first event."""
        self.place = b'"item_id":"%b","output_index":%d' % (self.id, self.index)
        say(ADDED, b'"output_index":%d,"item":%b' % (self.index, item))

    def done(self, say: Say, item: OutputItem) -> None:
        """Write `response.output_item.done`, its last event."""
        say(DONE, b'"output_index":%d,"item":%b' % (self.index, item.as_json()))


class MessageItem(Item):
    """A message of one part: a text, or the refusal with which the model ends.

    Its phase is known only at its end, since what follows decides whether it was commentary. Until then it has none,
    which clients treat as an answer.
    """

    __slots__ = ("_annotations", "_block", "_citations", "_counted", "_length", "_part", "_refusal", "_text")

    def __init__(self, frame: ResponsesFrame, index: int) -> None:
        super().__init__(frame, "msg", index)
        self._annotations: list[bytes] = []
        self._citations: list[bytes] = []
        # The index of the first piece of the current block; how many pieces and characters `_characters` has counted.
        self._block = 0
        self._counted = 0
        self._length = 0
        self._refusal: bytes | None = None
        # What it says, and its only part, once it is finished.
        self._text = self._part = b""

    def begin(self, say: Say) -> None:
        self.add(say, b'{"id":"%b","type":"message","status":"in_progress","role":"assistant","content":[]}' % self.id)
        self.form = _TEXT_DELTA % self.place

    def begin_text(self, say: Say) -> None:
        """Write the event before the first piece."""
        say(_PART_ADDED, b'%b,"content_index":0,"part":%b' % (self.place, _EMPTY_TEXT))

    def begin_block(self) -> None:
        """Another block of text begins, and continues the message."""
        self._block = len(self.pieces)

    def cite(self, say: Say | None, pages: Sequence[tuple[str, str]], others: Sequence[bytes]) -> None:
        """Add citations of the current block: `pages` by address and title, and `others` without address, unchanged."""
        self._citations += others
        start = self._characters(self._block)
        end = self._characters(len(self.pieces))
        for url, title in pages:
            cited = {"type": "url_citation", "start_index": start, "end_index": end, "url": url, "title": title}
            annotation = orjson.dumps(cited)
            if say is not None:
                place = b'%b,"content_index":0,"annotation_index":%d' % (self.place, len(self._annotations))
                say(b"response.output_text.annotation.added", b'%b,"annotation":%b' % (place, annotation))
            self._annotations.append(annotation)

    def refuse(self, text: str) -> None:
        """Make this message a refusal with this text."""
        self._refusal = orjson.dumps(text)

    def end(self, status: bytes, phase: bytes) -> OutputItem:
        """The message."""
        if self._refusal is not None:
            self._part = _REFUSAL % self._refusal
        else:
            self._text = joined(self.pieces)
            citations = b',"citations":[%b]' % b",".join(self._citations) if self._citations else b""
            self._part = _TEXT_PART % (self._text, b",".join(self._annotations), citations)
        return OutputItem(_MESSAGE % (self.id, status, phase, self._part))

    def tell_end(self, say: Say, item: OutputItem) -> None:
        place = b'%b,"content_index":0' % self.place
        if (refusal := self._refusal) is not None:
            say(_PART_ADDED, b'%b,"part":%b' % (place, _REFUSAL % b'""'))
            say(b"response.refusal.delta", b'%b,"delta":%b' % (place, refusal))
            say(b"response.refusal.done", b'%b,"refusal":%b' % (place, refusal))
        else:
            say(b"response.output_text.done", b'%b,"text":%b,"logprobs":[]' % (place, self._text))
        say(_PART_DONE, b'%b,"part":%b' % (place, self._part))
        self.done(say, item)

    def _characters(self, pieces: int) -> int:
        """The number of characters of the first pieces; each piece is counted once."""
        if pieces > self._counted:
            self._length += len(read_text(joined(self.pieces[self._counted : pieces])))
            self._counted = pieces
        return self._length


class ReasoningItem(Item):
    """Thinking: its text, if it may be shown, and the own blocks that the seal carries back to upstream."""

    __slots__ = ("_text", "blocks")

    def __init__(self, frame: ResponsesFrame, index: int, blocks: Sequence[bytes] = ()) -> None:
        super().__init__(frame, "rs", index)
        self.blocks = list(blocks)
        # What it says, once it is finished.
        self._text = b""

    def begin(self, say: Say) -> None:
        self.add(say, b'{"id":"%b","type":"reasoning","summary":[],"status":"in_progress"}' % self.id)
        kind = b"response.reasoning_summary_text.delta"
        self.form = _DELTA % (kind, kind, self.place + b',"summary_index":0')

    def begin_text(self, say: Say) -> None:
        """Write the event before the first piece."""
        self._say_part(say, b"response.reasoning_summary_part.added", b'""')

    def end(self, frame: ResponsesFrame, status: bytes) -> OutputItem:
        """The finished item, with its seal."""
        summary = b""
        if self.pieces:
            self._text = joined(self.pieces)
            summary = _SUMMARY % self._text
        members = b'{"id":"%b","type":"reasoning","summary":[%b],"status":"%b"' % (self.id, summary, status)
        return OutputItem(members, tuple(self.blocks), frame.seal(self.blocks))

    def tell_end(self, say: Say, item: OutputItem) -> None:
        if text := self._text:
            say(b"response.reasoning_summary_text.done", b'%b,"summary_index":0,"text":%b' % (self.place, text))
            self._say_part(say, b"response.reasoning_summary_part.done", text)
        self.done(say, item)

    def _say_part(self, say: Say, kind: bytes, text: bytes) -> None:
        say(kind, b'%b,"summary_index":0,"part":%b' % (self.place, _SUMMARY % text))


class CompactionItem(Item):
    """A summary of the conversation so far, written in one go: there is nothing to show before its end."""

    __slots__ = ()

    def __init__(self, frame: ResponsesFrame, index: int) -> None:
        super().__init__(frame, "cmp", index)

    def end(self, seal: str) -> OutputItem:
        """The item."""
        return OutputItem(b'{"id":"%b","type":"compaction"' % self.id, seal=seal)

    def tell_end(self, say: Say, item: OutputItem) -> None:
        self.add(say, item.as_json())
        say(b"response.compaction.compacting", self.place)
        self.done(say, item)


class CallItem(Item):
    """A call of a function or a custom tool."""

    __slots__ = ("_head", "_kind", "_text", "call", "is_ended")

    def __init__(self, frame: ResponsesFrame, index: int, call: Call, tool: ToolKind) -> None:
        super().__init__(frame, "ctc" if call.is_custom else "fc", index)
        self._kind = b"custom_tool_call" if call.is_custom else b"function_call"
        form = b'{"id":"%b","type":"%b","call_id":%b,"name":%b'
        self._head = form % (self.id, self._kind, orjson.dumps(call.id), orjson.dumps(tool.name))
        if tool.namespace is not None:
            self._head += b',"namespace":' + orjson.dumps(tool.namespace)
        self.call = call
        self.is_ended = False
        # Its arguments, once it is finished.
        self._text = b""

    def begin(self, say: Say) -> None:
        self.add(say, self._members(b'""', b"in_progress") + b"}")
        deltas = b"response.custom_tool_call_input" if self._is_custom else b"response.function_call_arguments"
        self.form = _DELTA % (deltas + b".delta", deltas + b".delta", self.place)

    def end(self, status: bytes) -> OutputItem:
        """The call."""
        self._text = joined(self.pieces)
        return OutputItem(self._members(self._text, status))

    def tell_end(self, say: Say, item: OutputItem) -> None:
        if self._is_custom:
            say(b"response.custom_tool_call_input.done", b'%b,"input":%b' % (self.place, self._text))
        else:
            say(b"response.function_call_arguments.done", b'%b,"arguments":%b' % (self.place, self._text))
        self.done(say, item)

    @property
    def _is_custom(self) -> bool:
        return self._kind == b"custom_tool_call"

    def _members(self, text: bytes, status: bytes) -> bytes:
        # Calls of custom tools have no status.
        if self._is_custom:
            return b'%b,"input":%b' % (self._head, text)
        return b'%b,"arguments":%b,"status":"%b"' % (self._head, text, status)


def message_of(frame: ResponsesFrame, text: bytes, status: bytes) -> OutputItem:
    """The finished message of an answer that is one text without citations."""
    return OutputItem(_MESSAGE % (frame.item_id("msg", 0), status, FINAL, _TEXT_PART % (text, b"", b"")))


def tool_of(frame: ResponsesFrame, call: Call) -> ToolKind:
    """The tool as the caller knows it."""
    return frame.kinds.get(call.name) or ToolKind(Kind.CUSTOM if call.is_custom else Kind.FUNCTION, call.name)
