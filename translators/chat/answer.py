"""One whole answer, however it came: read from a message, or folded from a stream."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Raw, UnsetType

from translators.errors import ErrorKind, FailedError, Failure
from translators.events import EventReader, MalformedEventError
from translators.upstream_errors import CUT_OFF, streamed_failure
from translators.usage import Usage
from translators.wire.messages import (
    MESSAGE_DECODER,
    ContentBlockDelta,
    ContentBlockStart,
    ErrorEvent,
    MessageDelta,
    MessageStart,
    MessageStop,
    StopDetails,
    StreamEvent,
)


@dataclass(slots=True)
class ToolCall:
    """A call of the model: `arguments` is the JSON text as upstream wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(slots=True)
class Answer:
    """What the model said, in the gateway's own terms."""

    id: str = ""
    model: str = ""
    text: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    stop_reason: str | None = None
    refusal: str | None = None
    usage: Usage = field(default_factory=Usage)


def read_message(body: bytes) -> Answer:
    """The answer in an unstreamed body; raises `FailedError` when it is not a message."""
    try:
        body.decode()
        message = MESSAGE_DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        detail = f"Upstream's answer is not a message: {error}"
        raise FailedError(Failure(ErrorKind.PROTOCOL_ERROR, detail)) from error
    answer = Answer(message.id, message.model, stop_reason=message.stop_reason)
    answer.usage.update(message.usage)
    answer.refusal = _refusal(message.stop_reason, message.stop_details)
    for block in message.content:
        if block.type == "text":
            answer.text += block.text or ""
        elif block.type == "thinking":
            answer.reasoning += block.thinking or ""
        elif block.type == "tool_use":
            answer.tool_calls.append(ToolCall(block.id or "", block.name or "", bytes(block.input).decode()))
    return answer


class MessageFold:
    """Folds a Messages stream into one answer, for a client that asked for no stream.

    Raises `FailedError` on upstream's error event, on what cannot be read, and in `end` on a stream cut short.
    """

    def __init__(self) -> None:
        self.answer = Answer()
        self.has_started_block = False
        self.is_complete = False
        self._reader = EventReader()
        self._block_types: dict[int, str] = {}
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._inputs: dict[int, str] = {}
        self._fragments: dict[int, list[str]] = {}
        self._handlers: dict[type, Callable[[Any], None]] = {
            MessageStart: self._on_message_start,
            ContentBlockStart: self._on_block_start,
            ContentBlockDelta: self._on_delta,
            MessageDelta: self._on_message_delta,
            MessageStop: self._on_message_stop,
            ErrorEvent: _on_error,
        }

    def feed(self, data: bytes) -> None:
        """Take in one read."""
        try:
            self._fold(self._reader.feed(data))
        except MalformedEventError as error:
            raise FailedError(Failure(ErrorKind.PROTOCOL_ERROR, str(error))) from error

    def end(self) -> None:
        """Upstream's body has ended."""
        self._fold(self._reader.end())
        if not self.is_complete:
            raise FailedError(CUT_OFF)

    def _fold(self, events: Iterator[StreamEvent]) -> None:
        for event in events:
            if self.is_complete:
                return
            if (handler := self._handlers.get(type(event))) is not None:
                handler(event)

    def _on_message_start(self, event: MessageStart) -> None:
        self.answer.id = event.message.id
        self.answer.model = event.message.model
        self.answer.usage.update(event.message.usage)

    def _on_block_start(self, event: ContentBlockStart) -> None:
        self.has_started_block = True
        block = event.content_block
        self._block_types[event.index] = block.type
        if block.type == "text":
            self._texts.append(_text(block.text))
        elif block.type == "thinking":
            self._reasoning.append(_text(block.thinking))
        elif block.type == "tool_use":
            self._inputs[event.index] = bytes(block.input).decode()
            self._fragments[event.index] = []
            self.answer.tool_calls.append(ToolCall(block.id or "", block.name or "", ""))

    def _on_delta(self, event: ContentBlockDelta) -> None:
        delta = event.delta
        block_type = self._block_types.get(event.index)
        if delta.type == "text_delta" and block_type == "text":
            self._texts.append(_text(delta.text))
        elif delta.type == "thinking_delta" and block_type == "thinking":
            self._reasoning.append(_text(delta.thinking))
        elif delta.type == "input_json_delta" and block_type == "tool_use":
            self._fragments[event.index].append(_text(delta.partial_json))

    def _on_message_delta(self, event: MessageDelta) -> None:
        self.answer.stop_reason = event.delta.stop_reason
        self.answer.refusal = _refusal(event.delta.stop_reason, event.delta.stop_details)
        self.answer.usage.update(event.usage)

    def _on_message_stop(self, _event: MessageStop) -> None:
        if not self.answer.id:
            raise MalformedEventError("Upstream ended a message that it had not begun.")
        self.is_complete = True
        self.answer.text = "".join(self._texts)
        self.answer.reasoning = "".join(self._reasoning)
        for call, index in zip(self.answer.tool_calls, self._fragments, strict=True):
            call.arguments = "".join(self._fragments[index]) or self._inputs[index]


def _on_error(event: ErrorEvent) -> None:
    raise FailedError(streamed_failure(event.error))


def _refusal(stop_reason: str | None, details: StopDetails | None) -> str | None:
    """The model's explanation, where it declined and gave one."""
    return (details.explanation or None) if stop_reason == "refusal" and details else None


def _text(raw: Raw | UnsetType) -> str:
    if isinstance(raw, UnsetType):
        return ""
    try:
        return msgspec.json.decode(raw, type=str)
    except msgspec.DecodeError as error:
        raise MalformedEventError("Upstream sent something other than a text where a text belongs.") from error
