"""Reads one answer, event by event or whole, and says what there is: text, reasoning, calls, an end.

What becomes of each is a subclass's own: `stream.py` writes chunks, `answer.py` collects. So a streamed and an
unstreamed answer to the same message cannot differ.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
from msgspec import Raw, UnsetType

from translators.answers.answer_types import EMPTY, State, StoppedError, TextBlock
from translators.answers.deltas import DELTA, is_utf8
from translators.answers.events import EventReader, MalformedEventError
from translators.answers.pieces import AnswerPieces
from translators.answers.recorder import SPOKEN, Block, BlockRecorder, blocks_of_message, sendable
from translators.errors import ErrorKind, FailedError, Failure, json_problem
from translators.structure import MAX_SEPARATORS, separators
from translators.upstream_errors import CUT_OFF, streamed_failure
from translators.wire.messages import (
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
    StreamEvent,
)

# Bounds of one answer, its pauses included. The longest real ones have a few hundred blocks.
MAX_BLOCKS: Final = 10_000
MAX_CITATIONS: Final = 10_000
# A whole message is above this only where it holds files, and never has many values.
_LARGE_BYTES: Final = 1024 * 1024
_OPEN: Final = State.OPEN


class MessageReader(AnswerPieces):
    """Reads one answer, as events or whole."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more is read."""
        return self.state is State.DONE or self.state is State.FAILED or self.state is State.PAUSED

    @property
    def unknown_events(self) -> int:
        """How many events of types yet unknown were passed over."""
        return self._reader.unknown_events if self._reader is not None else 0

    def report(self) -> dict[str, object]:
        """What turned up only while the answer came: upstream's own reason, and events that nobody here knows."""
        return {"stop_reason": self.stop_reason, "unknown_events": self.unknown_events}

    def read(self, data: bytes) -> None:
        """Read the events that these bytes complete; a failure is in `failure` and ends the reading."""
        self._stream_bytes += len(data)
        try:
            if self._stream_bytes > self._most_bytes and not self.is_over:
                self.on_many_bytes()
            try:
                self._read_all(data, self._reader or self._event_reader())
            except StoppedError:
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
            self._other_bytes += end - begin
            self._handle(reader.feed(data[begin:end]))

    def read_end(self) -> None:
        """Upstream's body has ended: without a `message_stop`, that is a failure."""
        try:
            self._handle((self._reader or self._event_reader()).end())
        except StoppedError:
            self._stop()
        except MalformedEventError as error:
            self._fail(_broken(error))
        if not self.is_over:
            self._fail(CUT_OFF)

    def read_whole(self, body: bytes) -> None:
        """Read an unstreamed message; raises `FailedError` when it is none."""
        if len(body) > self._most_bytes:
            raise FailedError(_broken(self._too_large()))
        if len(body) > _LARGE_BYTES and separators(body) > MAX_SEPARATORS:
            detail = f"Upstream's answer has more than {MAX_SEPARATORS} values."
            raise FailedError(Failure(ErrorKind.PROTOCOL_ERROR, detail))
        try:
            body.decode()
            message = MESSAGE_DECODER.decode(body)
            own = self.takes_own_blocks and [block for block in message.content if block.type not in SPOKEN]
            recorded = blocks_of_message(body) if self._recorder or own else []
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            detail = f"Upstream's answer is not a message: {json_problem(error)}"
            raise FailedError(Failure(ErrorKind.PROTOCOL_ERROR, detail)) from error
        self.state = State.OPEN
        self.model, self.upstream_id = message.model, message.id
        self.usage.update(message.usage, message.model)
        self.on_begin()
        self._recorded = recorded
        self.stop_reason, self._stop_details = message.stop_reason, message.stop_details
        try:
            self._read_blocks(message.content)
        except MalformedEventError as error:
            raise FailedError(_broken(error)) from error

    def _read_blocks(self, blocks: list[ContentBlock]) -> None:
        try:
            for number, block in enumerate(blocks):
                self._read_block(block)
                if self.takes_own_blocks and block.type not in SPOKEN:
                    self.on_own_block(self._recorded[number])
        except StoppedError:
            self._stop()
        else:
            self._complete()

    def pause(self) -> list[Block]:
        """The content of a paused turn, to be sent back; what upstream says next is read on from here."""
        blocks = sendable(self._recorder.blocks) if self._recorder else []
        self._recorded += blocks
        self.usage.begin_another()
        self._other_bytes = self._stream_bytes
        self.state = State.IDLE
        self._recorder = BlockRecorder()
        self._own_recorder = self._own_recorder and self._recorder
        self._reader = None
        self._block_types.clear()
        self._block_calls.clear()
        return blocks

    def end_pause(self) -> None:
        """Take a paused turn for finished: it has paused too often."""
        self._complete()

    def _event_reader(self) -> EventReader:
        """The reader of a stream's events, made with the first of them: a whole message needs none."""
        recorder = self._recorder or self._own_recorder
        if self.takes_own_blocks:
            recorder = self._own_recorder = recorder or BlockRecorder(only_own=True)
        self._reader = EventReader(observe=recorder.observe if recorder else None)
        return self._reader

    def _read_deltas(self, data: bytes, end: int) -> int:
        """Read the deltas from there on that are in the usual form; where something else begins."""
        recorder = self._recorder
        while (match := DELTA.match(data, end)) is not None:
            number, delta_type, raw = match.groups()
            if not raw.isascii() and not is_utf8(raw):
                break
            end = match.end()
            index = int(number)
            block_type = self._block_types.get(index)
            if raw == EMPTY:
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

    def _on_message_start(self, event: MessageStart) -> None:
        if self.state is not State.IDLE:
            self._out_of_order("message_start")
            return
        self.state = State.OPEN
        self.usage.begin(event.message.model, event.message.usage)
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
        if self._own_recorder is not None and block.type not in SPOKEN:
            self._recorder = self._own_recorder
            self._recorder.awaited += 1
        self.on_block(block.type)
        if block.type == "tool_use":
            self._block_calls[event.index] = self._call_in(block)
        elif block.type == "text":
            self._text_blocks.append(TextBlock(self._text_length))
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
        if self._own_recorder is not None:
            self._end_own_block(event.index, self._own_recorder)
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

    def _end_own_block(self, index: int, recorder: BlockRecorder) -> None:
        if self._block_types.get(index, "text") in SPOKEN:
            return
        # Once: it takes no more deltas.
        del self._block_types[index]
        recorder.awaited -= 1
        if recorder.only_own and not recorder.awaited:
            self._recorder = None
        if (block := recorder.block(index)) is not None:
            self.on_own_block(block)

    def _read_block(self, block: ContentBlock) -> None:
        """One block of an unstreamed message."""
        self.on_block(block.type)
        if block.type == "text":
            start = self._text_length
            self._text(_whole_string(block.text))
            if block.citations:
                self._cite(TextBlock(start, list(map(bytes, block.citations))))
        elif block.type == "thinking":
            self._reasoning(_whole_string(block.thinking))
        elif block.type == "tool_use":
            self._end_call(self._call_in(block))
        elif self._server_calls is not None:
            self._server_calls.finish(block.tool_use_id or "")

    def _out_of_order(self, event_type: str) -> None:
        self._fail(Failure(ErrorKind.PROTOCOL_ERROR, f"Upstream sent a {event_type} event out of order."))

    def _fail(self, failure: Failure) -> None:
        self.state, self.failure = State.FAILED, failure


def _broken(error: MalformedEventError) -> Failure:
    return Failure(ErrorKind.PROTOCOL_ERROR, str(error))


# By type alone, and not a table for each answer: bound methods would make a cycle of it.
_HANDLERS: Final[dict[type, Callable[[MessageReader, Any], None]]] = {
    ContentBlockDelta: MessageReader._on_delta,
    ContentBlockStart: MessageReader._on_block_start,
    ContentBlockStop: MessageReader._on_block_stop,
    MessageStart: MessageReader._on_message_start,
    MessageDelta: MessageReader._on_message_delta,
    MessageStop: MessageReader._on_message_stop,
    ErrorEvent: MessageReader._on_error,
    Ping: lambda _reader, _event: None,
}


def _string(raw: Raw | UnsetType) -> bytes | None:
    """The JSON string as it stands, or None when it is empty or absent; anything else is a protocol error."""
    if isinstance(raw, UnsetType):
        return None
    text = bytes(raw)
    if text == EMPTY:
        return None
    if text[:1] != b'"':
        raise MalformedEventError("Upstream sent something other than a text where a text belongs.")
    return text


def _whole_string(raw: Raw) -> bytes | None:
    """The JSON string in a message's block, or None where there is none; raises `FailedError` for anything else."""
    text = bytes(raw)
    if text in (EMPTY, b"null"):
        return None
    if text[:1] != b'"':
        detail = "Upstream's answer has something other than a text where a text belongs."
        raise FailedError(Failure(ErrorKind.PROTOCOL_ERROR, detail))
    return text
