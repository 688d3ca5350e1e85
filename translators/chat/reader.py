"""Reads one answer, event by event or whole, and says what there is: text, reasoning, calls, an end.

What becomes of each is a subclass's own: `stream.py` writes chunks, `answer.py` collects. So a streamed and an
unstreamed answer to the same message cannot differ.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

import msgspec
import orjson
from msgspec import Raw, Struct, UnsetType
from orjson import Fragment

from translators.blocks import THINKING, Block, BlockRecorder, blocks_of_message, sendable
from translators.chat.filters import CustomInput, FenceStripper, RestoredNames, TextFilter, Unchanged, WrappedArguments
from translators.chat.finish import finish_reason
from translators.chat.json_value import JsonValue
from translators.chat.names import caller_call_id
from translators.chat.server_calls import HeldCall, HeldInput, ServerCalls, maker_of
from translators.chat.shape import CALL_PROPERTY, PLAIN, AnswerShape, TextCall
from translators.chat.stops import StopCutter
from translators.deltas import DELTA
from translators.errors import ErrorKind, FailedError, Failure
from translators.events import EventReader, MalformedEventError
from translators.partial_json import JsonExtractor
from translators.reading import is_text
from translators.structure import MAX_SEPARATORS, separators
from translators.upstream_errors import CUT_OFF, streamed_failure
from translators.usage import Usage
from translators.wire.messages import (
    CITATION_DECODER,
    MESSAGE_DECODER,
    ContentBlock,
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    ErrorEvent,
    MessageDelta,
    MessageStart,
    MessageStop,
    Ping,
    StartedBlock,
    StopDetails,
    StreamEvent,
)

_EMPTY: Final = b'""'

# Bounds of one answer, its pauses included. The longest real ones, of 128,000 tokens in as many events, have some 25 MB
# and a few hundred blocks.
MAX_STREAM_BYTES: Final = 128 * 1024 * 1024
MAX_BLOCKS: Final = 10_000
MAX_CITATIONS: Final = 10_000
# Input that is filtered on its way: of a custom tool, or of one whose schema was wrapped.
MAX_FILTERED_BYTES: Final = 8 * 1024 * 1024
# A whole message is above this only where it holds files, and never has many values.
_LARGE_BYTES: Final = 1024 * 1024


class State(Enum):
    """Where an answer is: `IDLE → OPEN → DONE`, `PAUSED` until upstream is asked to go on, `FAILED` from anywhere."""

    IDLE = auto()
    OPEN = auto()
    PAUSED = auto()
    DONE = auto()
    FAILED = auto()


_OPEN: Final = State.OPEN


@dataclass(slots=True)
class Call:
    """A tool call that is being read: its place among the calls, and what is done to its arguments.

    One that `is_answer` is no call for the caller: its arguments are the text.
    """

    index: int
    id: str
    name: str
    is_custom: bool = False
    is_answer: bool = False
    filter: TextFilter | None = None
    whole_input: bytes = b"{}"
    has_arguments: bool = False


class _StoppedError(Exception):
    """The text has come to a stop sequence that the gateway looks for."""


class Ending(Struct, frozen=True):
    """What is known once an answer is complete."""

    finish_reason: str
    refusal: str | None
    annotations: list[dict[str, object]]
    citations: list[Fragment]
    thinking_blocks: list[Fragment]


class _TextBlock(Struct):
    """A text block's place in the joined text, and what it cites."""

    start: int
    citations: list[bytes] = []


class MessageReader:
    """One answer; a subclass says what becomes of its pieces (`on_...`). JSON strings are passed as they stand."""

    # What an answer begins with, and what most of it stays. An instance with more than 30 attributes of its own is slow
    # to look into (CPython's shared keys): what is rarely set has its default here.
    state: State = State.IDLE
    failure: Failure | None = None
    stop_reason: str | None = None
    model: str | None = None
    upstream_id: str | None = None
    has_started_block: bool = False
    has_text: bool = False
    # Whether the gateway has ended the answer: what upstream goes on to say is not read.
    is_cut: bool = False
    _reader: EventReader | None = None
    _recorder: BlockRecorder | None = None
    _text_filter: TextFilter | None = None
    _stopper: StopCutter | None = None
    _server_calls: ServerCalls | None = None
    _call_extractor: JsonExtractor | None = None
    _text_length: int = 0
    _stream_bytes: int = 0
    _filtered_bytes: int = 0
    _block_count: int = 0
    _citation_count: int = 0
    _stop_details: StopDetails | None = None

    def __init__(self, shape: AnswerShape = PLAIN) -> None:
        self.usage = Usage()
        self.calls: list[Call] = []
        self._shape = shape
        self._recorded: list[Block] = []
        self._block_types: dict[int, str] = {}
        self._block_calls: dict[int, Call] = {}
        self._text_blocks: list[_TextBlock] = []
        self._annotations: list[dict[str, object]] = []
        self._citations: list[Fragment] = []
        # Of a text that stands for a call: its name, the arguments before that is known, and all of it.
        self._chosen_name: list[str] = []
        self._early_arguments: list[str] = []
        self._unread_text: list[str] = []
        if shape.shows_thinking_blocks or shape.continues_pauses or shape.keeps_blocks:
            self._recorder = BlockRecorder()
        if shape.strips_fences or shape.only_json:
            self._text_filter = JsonValue() if shape.only_json else FenceStripper()
        if shape.stops:
            self._text_filter = self._stopper = StopCutter(shape.stops, self._text_filter)
        if shape.text_call is not None:
            self._call_extractor = _call_extractor(shape.text_call)

    # What a subclass makes of it.

    def on_begin(self) -> None:
        """The message has begun: `model`, `upstream_id` and the first of `usage` are known."""

    def on_text(self, raw: bytes) -> None:
        """Some text (a JSON string, not empty)."""

    def on_reasoning(self, raw: bytes) -> None:
        """Some reasoning (a JSON string, not empty)."""

    def on_call(self, call: Call) -> None:
        """A call begins."""

    def on_arguments(self, call: Call, raw: bytes) -> None:
        """Some of a call's arguments, or of a custom tool's input (a JSON string, not empty)."""

    def on_end(self, ending: Ending) -> None:
        """The answer is complete."""

    # What comes in.

    @property
    def is_over(self) -> bool:
        """Whether nothing more is read."""
        return self.state is State.DONE or self.state is State.FAILED or self.state is State.PAUSED

    @property
    def has_content(self) -> bool:
        """Whether there is anything yet that a client can read."""
        return self.has_text or bool(self.calls)

    @property
    def unknown_events(self) -> int:
        """How many events of types yet unknown were passed over."""
        return self._reader.unknown_events if self._reader is not None else 0

    @property
    def blocks(self) -> list[Block]:
        """The blocks of the answer so far, where its shape wants them kept."""
        return [*self._recorded, *(self._recorder.blocks if self._recorder else ())]

    @property
    def call_names(self) -> list[str]:
        """What the client knows the calls by: ids, or in the legacy form the name of the only one."""
        return [call.name for call in self.calls[:1]] if self._shape.is_legacy else [call.id for call in self.calls]

    def report(self) -> dict[str, object]:
        """What turned up only while the answer came: upstream's own reason, and events that nobody here knows."""
        return {"stop_reason": self.stop_reason, "unknown_events": self.unknown_events}

    def read(self, data: bytes) -> None:
        """Read the events that these bytes complete; a failure is in `failure` and ends the reading."""
        self._stream_bytes += len(data)
        try:
            if self._stream_bytes > MAX_STREAM_BYTES and not self.is_over:
                raise MalformedEventError(f"Upstream's answer is larger than {MAX_STREAM_BYTES} bytes.")
            try:
                self._read_all(data, self._reader or self._event_reader())
            except _StoppedError:
                self._stop()
        except MalformedEventError as error:
            self._fail(_broken(error))

    def _read_all(self, data: bytes, reader: EventReader) -> None:
        size, end = len(data), 0
        while end < size:
            if self.state is _OPEN:
                if reader.is_between_events:
                    end = self._read_deltas(data, end)
                    if end == size:
                        return
            elif self.is_over:
                return
            # What is no usual delta is parsed, up to where there can be one again.
            begin, end = end, data.find(b"\n\n", end) + 2
            if end < 2:
                end = size
            self._handle(reader.feed(data[begin:end]))

    def read_end(self) -> None:
        """Upstream's body has ended: without a `message_stop`, that is a failure."""
        try:
            self._handle((self._reader or self._event_reader()).end())
        except _StoppedError:
            self._stop()
        except MalformedEventError as error:
            self._fail(_broken(error))
        if not self.is_over:
            self._fail(CUT_OFF)

    def read_whole(self, body: bytes) -> None:
        """Read an unstreamed message; raises `FailedError` when it is none."""
        if len(body) > _LARGE_BYTES and separators(body) > MAX_SEPARATORS:
            detail = f"Upstream's answer has more than {MAX_SEPARATORS} values."
            raise FailedError(Failure(ErrorKind.PROTOCOL_ERROR, detail))
        try:
            body.decode()
            message = MESSAGE_DECODER.decode(body)
            recorded = blocks_of_message(body) if self._recorder is not None else []
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            detail = f"Upstream's answer is not a message: {error}"
            raise FailedError(Failure(ErrorKind.PROTOCOL_ERROR, detail)) from error
        self.state = State.OPEN
        self.model, self.upstream_id = message.model, message.id
        self.usage.update(message.usage)
        self.on_begin()
        self._recorded = recorded
        self.stop_reason, self._stop_details = message.stop_reason, message.stop_details
        try:
            self._read_blocks(message.content)
        except MalformedEventError as error:
            raise FailedError(_broken(error)) from error

    def _read_blocks(self, blocks: list[ContentBlock]) -> None:
        try:
            for block in blocks:
                self._read_block(block)
        except _StoppedError:
            self._stop()
        else:
            self._complete()

    def pause(self) -> list[Block]:
        """The content of a paused turn, to be sent back; what upstream says next is read on from here."""
        blocks = sendable(self._recorder.blocks) if self._recorder else []
        self._recorded += blocks
        self.usage.begin_another()
        self.state = State.IDLE
        self._recorder = BlockRecorder()
        self._reader = None
        self._block_types.clear()
        self._block_calls.clear()
        return blocks

    def end_pause(self) -> None:
        """Take a paused turn for finished: it has paused too often."""
        self._complete()

    def _event_reader(self) -> EventReader:
        """The reader of a stream's events, made with the first of them: a whole message needs none."""
        self._reader = EventReader(observe=self._recorder.observe if self._recorder else None)
        return self._reader

    def _read_deltas(self, data: bytes, end: int) -> int:
        """Read the deltas from there on that are in the usual form; where something else begins."""
        recorder = self._recorder
        while (match := DELTA.match(data, end)) is not None:
            number, delta_type, raw = match.groups()
            if not raw.isascii() and not _is_utf8(raw):
                break
            end = match.end()
            index = int(number)
            block_type = self._block_types.get(index)
            if raw == _EMPTY:
                continue
            if recorder is not None:
                recorder.add(index, delta_type, raw)
            # As in `_on_delta`, which reads the unusual ones.
            if delta_type == b"text_delta":
                if block_type == "text":
                    self._text(raw)
            elif delta_type == b"input_json_delta":
                if block_type == "tool_use":
                    self._arguments(self._block_calls[index], raw)
            elif block_type == "thinking":
                self._reasoning(raw)
        return end

    def _handle(self, events: Iterator[StreamEvent]) -> None:
        if self.is_over:
            return
        for event in events:
            _HANDLERS[type(event)](self, event)
            if self.is_over:
                return

    # The events, in the order in which a stream has them.

    def _on_message_start(self, event: MessageStart) -> None:
        if self.state is not State.IDLE:
            self._out_of_order("message_start")
            return
        self.state = State.OPEN
        self.usage.update(event.message.usage)
        if self.upstream_id is None:
            self.model, self.upstream_id = event.message.model, event.message.id
            self.on_begin()

    def _on_block_start(self, event: ContentBlockStart) -> None:
        if self.state is not State.OPEN:
            self._out_of_order("content_block_start")
            return
        self.has_started_block = True
        self._block_count += 1
        if self._block_count > MAX_BLOCKS:
            raise MalformedEventError(f"Upstream's answer has more than {MAX_BLOCKS} content blocks.")
        block = event.content_block
        self._block_types[event.index] = block.type
        if block.type == "tool_use":
            self._block_calls[event.index] = self._call_in(block)
        elif block.type == "text":
            self._text_blocks.append(_TextBlock(self._text_length))
            self._text(_string(block.text))
        elif block.type == "thinking":
            self._reasoning(_string(block.thinking))
        elif self._server_calls is not None:
            self._server_calls.finish(block.tool_use_id or "")

    def _on_delta(self, event: ContentBlockDelta) -> None:
        if self.state is not State.OPEN:
            self._out_of_order("content_block_delta")
            return
        delta = event.delta
        block_type = self._block_types.get(event.index)
        # A delta counts only in the block it belongs to: server tools stream their input in the same way.
        if delta.type == "text_delta" and block_type == "text":
            self._text(_string(delta.text))
        elif delta.type == "input_json_delta" and block_type == "tool_use":
            self._arguments(self._block_calls[event.index], _string(delta.partial_json))
        elif delta.type == "thinking_delta" and block_type == "thinking":
            self._reasoning(_string(delta.thinking))
        elif delta.type == "citations_delta" and block_type == "text":
            self._citation_count += 1
            if self._citation_count > MAX_CITATIONS:
                raise MalformedEventError(f"Upstream's answer has more than {MAX_CITATIONS} citations.")
            self._text_blocks[-1].citations.append(bytes(delta.citation))

    def _on_block_stop(self, event: ContentBlockStop) -> None:
        if (call := self._block_calls.get(event.index)) is not None:
            self._end_call(call)
        elif self._block_types.get(event.index) == "text":
            self._cite(self._text_blocks[-1])

    def _on_message_delta(self, event: MessageDelta) -> None:
        self.stop_reason, self._stop_details = event.delta.stop_reason, event.delta.stop_details
        self.usage.update(event.usage)

    def _on_message_stop(self, _event: MessageStop) -> None:
        if self.state is not State.OPEN:
            self._out_of_order("message_stop")
        elif self.stop_reason == "pause_turn" and self._shape.continues_pauses:
            self.state = State.PAUSED
        else:
            self._complete()

    def _on_error(self, event: ErrorEvent) -> None:
        failure = streamed_failure(event.error)
        if failure.kind is ErrorKind.CONTENT_FILTERED and self.has_content and self.state is _OPEN:
            # An answer that was cut off by a filter has an end of its own at OpenAI.
            self.stop_reason = self._stop_details = None
            self._complete("content_filter")
        else:
            self._fail(failure)

    # What it means.

    def _read_block(self, block: ContentBlock) -> None:
        """One block of an unstreamed message."""
        if block.type == "text":
            start = self._text_length
            self._text(_whole_string(block.text))
            if block.citations:
                self._cite(_TextBlock(start, list(map(bytes, block.citations))))
        elif block.type == "thinking":
            self._reasoning(_whole_string(block.thinking))
        elif block.type == "tool_use":
            self._end_call(self._call_in(block))
        elif self._server_calls is not None:
            self._server_calls.finish(block.tool_use_id or "")

    def _text(self, raw: bytes | None) -> None:
        if raw is None:
            return
        if self._shape.text_call is not None:
            self._text_as_call(raw)
        elif self._text_filter is None:
            self._say(raw)
        else:
            self._say(_encoded(self._text_filter.feed(orjson.loads(raw))))
            if self._stopper is not None and self._stopper.has_stopped:
                raise _StoppedError

    def _say(self, raw: bytes | None) -> None:
        if raw is None:
            return
        self.has_text = True
        if self._shape.counts_text:
            self._text_length += len(orjson.loads(raw))
        self.on_text(raw)

    def _reasoning(self, raw: bytes | None) -> None:
        if raw is not None:
            self.on_reasoning(raw)

    def _text_as_call(self, raw: bytes) -> None:
        """The text of an answer that stands for a call: the arguments as they are, or inside of a named choice."""
        if self._call_extractor is None:
            name = self._shape.text_call.name if self._shape.text_call else None
            call = self.calls[0] if self.calls else self._begin_call(self._made_id(), name or "", b"{}")
            self._arguments(call, raw)
            return
        text = orjson.loads(raw)
        self._check_filtered(len(raw))
        self._unread_text.append(text)
        for piece in self._call_extractor.feed(text):
            if piece.path[-1] != "name":
                self._early_arguments.append(piece.text)
            elif not self.calls:
                self._chosen_name.append(piece.text)
                if piece.is_last:
                    self._begin_call(self._made_id(), _decoded("".join(self._chosen_name)), b"{}")
        if self.calls and self._early_arguments:
            # Normally the name comes first, as the form asks; where it does not, the arguments wait for it.
            arguments, self._early_arguments = self._early_arguments, []
            self._arguments(self.calls[0], _encoded("".join(arguments)))

    def _call_in(self, block: StartedBlock | ContentBlock) -> Call:
        """The call that a block holds; one that a server tool has made is held until it is known to be due."""
        call_id, name, whole_input = block.id or "", block.name or "", bytes(block.input)
        maker = maker_of(block.caller)
        if not maker:
            return self._begin_call(call_id, name, whole_input)
        if self._server_calls is None:
            self._server_calls = ServerCalls()
        held = HeldInput()
        self._server_calls.hold(maker, HeldCall(call_id, name, whole_input, held))
        # Its input goes nowhere for now, and its end says nothing.
        return Call(0, call_id, name, filter=held, has_arguments=True)

    def _release_calls(self, held: list[HeldCall]) -> None:
        """The calls of a server tool that the client has to make after all."""
        for made in held:
            call = self._begin_call(made.id, made.name, made.whole_input)
            self._arguments(call, _encoded(made.input.end()))
            self._end_call(call)

    def _begin_call(self, call_id: str, upstream_name: str, whole_input: bytes) -> Call:
        name = self._shape.tool_names.get(upstream_name, upstream_name)
        call = Call(len(self.calls), caller_call_id(call_id), name, whole_input=whole_input)
        if name in self._shape.custom_tools:
            call.is_custom, call.filter = True, CustomInput()
        elif upstream_name in self._shape.wrapped_tools:
            call.filter = WrappedArguments()
        elif upstream_name in self._shape.property_names:
            call.filter = RestoredNames(self._shape.property_names[upstream_name])
        if upstream_name == self._shape.answer_tool:
            call.is_answer, call.filter = True, call.filter or Unchanged()
            return call
        self.calls.append(call)
        self.on_call(call)
        return call

    def _arguments(self, call: Call, raw: bytes | None) -> None:
        if raw is None:
            return
        if call.filter is not None:
            self._check_filtered(len(raw))
            call.whole_input = b""
            raw = _encoded(call.filter.feed(orjson.loads(raw)))
            if raw is None:
                return
            if call.is_answer:
                call.has_arguments = True
                self._say(raw)
                return
        call.has_arguments = True
        self.on_arguments(call, raw)

    def _end_call(self, call: Call) -> None:
        """A call whose input came whole, or that has none: clients parse the text, so it has to be an object."""
        if isinstance(call.filter, RestoredNames) and (rest := call.filter.end()):
            self._give(call, orjson.dumps(rest))
        if call.has_arguments:
            return
        if call.filter is not None and call.whole_input:
            self._arguments(call, orjson.dumps(call.whole_input.decode()))
        if not call.has_arguments and not call.is_custom:
            call.has_arguments = True
            self._give(call, orjson.dumps((b"{}" if call.filter else call.whole_input or b"{}").decode()))

    def _give(self, call: Call, raw: bytes) -> None:
        """The arguments, or the text that they are."""
        if call.is_answer:
            self._say(raw)
        else:
            self.on_arguments(call, raw)

    def _cite(self, block: _TextBlock) -> None:
        """What a text block cites, now that its end is known: with an address for annotations, else verbatim."""
        citations, block.citations = block.citations, []
        for raw in citations:
            if raw[:1] != b"{":
                continue
            citation = CITATION_DECODER.decode(raw)
            url = _text_in(citation.url) or _url_of(_text_in(citation.source))
            if not url:
                self._citations.append(Fragment(raw))
                continue
            cited = {
                "start_index": block.start,
                "end_index": self._text_length,
                "url": url,
                "title": _text_in(citation.title),
            }
            self._annotations.append({"type": "url_citation", "url_citation": cited})

    def _stop(self) -> None:
        """The answer ends here, whatever upstream goes on to say."""
        self.is_cut = True
        self.stop_reason = self._stop_details = None
        self._complete()

    def _complete(self, reason: str | None = None) -> None:
        """The answer has ended as upstream says, or for another `reason`."""
        self.state = State.DONE
        if self._server_calls is not None:
            self._release_calls(self._server_calls.due(self.stop_reason))
        if self._text_filter is not None:
            self._say(_encoded(self._text_filter.end()))
        if self._unread_text and not self.calls:
            # Where a call was due and none came, what came is the answer.
            self._say(_encoded("".join(self._unread_text)))
        # A block that was cut by the token limit has no end of its own.
        for call in self.calls:
            self._end_call(call)
        for block in self._text_blocks:
            self._cite(block)
        explanation = self._stop_details.explanation if self._stop_details else None
        thinking: list[Fragment] = []
        if self._shape.shows_thinking_blocks:
            thinking = [Fragment(block.json) for block in self.blocks if block.type in THINKING]
        ending = Ending(
            reason or finish_reason(self.stop_reason, has_tool_calls=bool(self.calls)),
            (explanation or None) if self.stop_reason == "refusal" else None,
            self._annotations,
            self._citations,
            thinking,
        )
        self.on_end(ending)

    def _check_filtered(self, size: int) -> None:
        self._filtered_bytes += size
        if self._filtered_bytes > MAX_FILTERED_BYTES:
            raise MalformedEventError(f"Upstream's answer has calls with more than {MAX_FILTERED_BYTES} bytes.")

    def _made_id(self) -> str:
        """An id for a call that upstream has not given one: the same for the same message."""
        return f"call_{hashlib.sha256((self.upstream_id or '').encode()).hexdigest()[:24]}"

    def _out_of_order(self, event_type: str) -> None:
        self._fail(Failure(ErrorKind.PROTOCOL_ERROR, f"Upstream sent a {event_type} event out of order."))

    def _fail(self, failure: Failure) -> None:
        self.state = State.FAILED
        self.failure = failure


def _broken(error: MalformedEventError) -> Failure:
    return Failure(ErrorKind.PROTOCOL_ERROR, str(error))


def _nothing(_reader: MessageReader, _event: object) -> None:
    pass


# By type alone, and not a table for each answer: bound methods would make a cycle of it.
_HANDLERS: Final[dict[type, Callable[[MessageReader, Any], None]]] = {
    ContentBlockDelta: MessageReader._on_delta,
    ContentBlockStart: MessageReader._on_block_start,
    ContentBlockStop: MessageReader._on_block_stop,
    MessageStart: MessageReader._on_message_start,
    MessageDelta: MessageReader._on_message_delta,
    MessageStop: MessageReader._on_message_stop,
    ErrorEvent: MessageReader._on_error,
    Ping: _nothing,
}


def _string(raw: Raw | UnsetType) -> bytes | None:
    """The JSON string as it stands, or None when it is empty or absent; anything else is a protocol error."""
    if isinstance(raw, UnsetType):
        return None
    text = bytes(raw)
    if text == _EMPTY:
        return None
    if text[:1] != b'"':
        raise MalformedEventError("Upstream sent something other than a text where a text belongs.")
    return text


def _whole_string(raw: Raw) -> bytes | None:
    """The JSON string in a message's block, or None where there is none; raises `FailedError` for anything else."""
    text = bytes(raw)
    if text in (_EMPTY, b"null"):
        return None
    if text[:1] != b'"':
        detail = "Upstream's answer has something other than a text where a text belongs."
        raise FailedError(Failure(ErrorKind.PROTOCOL_ERROR, detail))
    return text


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _encoded(text: str | None) -> bytes | None:
    """A text as a JSON string, or None where there is none."""
    return orjson.dumps(text) if text else None


def _decoded(raw: str) -> str:
    try:
        return msgspec.json.decode(raw, type=str)
    except msgspec.DecodeError:
        return raw


def _text_in(raw: Raw) -> str:
    """The text that a value is, empty for one of another type."""
    return msgspec.json.decode(raw, type=str) if is_text(raw) else ""


def _url_of(source: str) -> str:
    return source if source.startswith(("https://", "http://")) else ""


def _call_extractor(text_call: TextCall) -> JsonExtractor | None:
    if text_call.name is not None:
        return None
    return JsonExtractor({(CALL_PROPERTY, "name"), (CALL_PROPERTY, "arguments")})
