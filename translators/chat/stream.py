"""One Messages stream as a chat-completions stream, event by event.

`ChatStream.feed` is the heart of the gateway: bytes in, bytes out, nothing kept but a few counters. Texts and tool
arguments are spliced: the JSON string that upstream sent is the JSON string that the client gets.
"""

from collections.abc import Callable, Iterator, Mapping
from enum import Enum, auto
from typing import Any, Final

import orjson
from msgspec import Raw, UnsetType

from translators.chat.finish import finish_reason
from translators.chat.names import caller_call_id
from translators.errors import ErrorKind, Failure
from translators.events import EventReader, MalformedEventError
from translators.sse import DONE
from translators.upstream_errors import CUT_OFF, streamed_failure
from translators.usage import Usage
from translators.wire.messages import (
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    ErrorEvent,
    MessageDelta,
    MessageStart,
    MessageStop,
    Ping,
    StopInfo,
    StreamEvent,
)

_EMPTY: Final = b'""'


class State(Enum):
    """Where a stream is: `IDLE → OPEN → DONE`, `FAILED` from anywhere."""

    IDLE = auto()
    OPEN = auto()
    DONE = auto()
    FAILED = auto()


class _Tool:
    """A tool call that is being streamed: its place among the calls, and whether arguments were sent."""

    __slots__ = ("has_arguments", "index", "whole_input")

    def __init__(self, index: int, whole_input: bytes) -> None:
        self.index = index
        self.has_arguments = False
        self.whole_input = whole_input


class ChatStream:
    """Translates one upstream stream; one object a stream, thrown away after it.

    `created` is Unix seconds. `tool_names` maps names that had to be rewritten back to the caller's.
    After `feed` look at `failure`: once it is set nothing more will come, and whether the caller is told or
    another key takes over is decided elsewhere (`has_output` says whether the caller has seen anything).
    """

    def __init__(
        self, *, created: int, include_usage: bool = False, tool_names: Mapping[str, str] | None = None
    ) -> None:
        self.state = State.IDLE
        self.failure: Failure | None = None
        self.usage = Usage()
        self.stop_reason: str | None = None
        self.model: str | None = None
        self.upstream_id: str | None = None
        self.has_started_block = False
        self.has_output = False
        self._created = created
        self._include_usage = include_usage
        self._tool_names = tool_names or {}
        self._reader = EventReader()
        self._head = b""
        self._delta_head = b""
        self._delta_tail = b'},"logprobs":null,"finish_reason":null}]' + self._usage_null + b"}\n\n"
        self._blocks: dict[int, str] = {}
        self._tools: dict[int, _Tool] = {}
        self._stop = StopInfo()
        self._has_content = False
        self._is_opened = False
        self._handlers: dict[type, Callable[[Any], bytes]] = {
            ContentBlockDelta: self._on_delta,
            ContentBlockStart: self._on_block_start,
            ContentBlockStop: self._on_block_stop,
            MessageStart: self._on_message_start,
            MessageDelta: self._on_message_delta,
            MessageStop: self._on_message_stop,
            ErrorEvent: self._on_error,
            Ping: _nothing,
        }

    @property
    def unknown_events(self) -> int:
        """How many events of types yet unknown were passed over."""
        return self._reader.unknown_events

    def feed(self, data: bytes) -> bytes:
        """The client's bytes for what upstream sent: everything that one read completes, in one piece."""
        return self._translate(self._reader.feed(data))

    def end(self) -> bytes:
        """Upstream's body has ended: without a `message_stop`, that is a failure."""
        output = self._translate(self._reader.end())
        if not self._is_over:
            self._fail(CUT_OFF)
        return output

    def _translate(self, events: Iterator[StreamEvent]) -> bytes:
        if self._is_over:
            return b""
        chunks: list[bytes] = []
        try:
            for event in events:
                if chunk := self._handlers[type(event)](event):
                    chunks.append(chunk)
                if self._is_over:
                    break
        except MalformedEventError as error:
            self._fail(Failure(ErrorKind.PROTOCOL_ERROR, str(error)))
        if not chunks:
            return b""
        self.has_output = True
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    @property
    def _is_over(self) -> bool:
        return self.state is State.DONE or self.state is State.FAILED

    # The handlers, in the order in which a stream has its events.

    def _on_message_start(self, event: MessageStart) -> bytes:
        if self.state is not State.IDLE:
            return self._out_of_order("message_start")
        self.state = State.OPEN
        self.model = event.message.model
        self.upstream_id = event.message.id
        self.usage.update(event.message.usage)
        head = {
            "id": f"chatcmpl-{event.message.id}",
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": event.message.model,
            "service_tier": self.usage.service_tier,
            "system_fingerprint": None,
        }
        self._head = b"data: " + orjson.dumps(head)[:-1] + b',"choices":['
        self._delta_head = self._head + b'{"index":0,"delta":{'
        return b""

    def _on_block_start(self, event: ContentBlockStart) -> bytes:
        if self.state is not State.OPEN:
            return self._out_of_order("content_block_start")
        self.has_started_block = True
        block = event.content_block
        self._blocks[event.index] = block.type
        if block.type == "tool_use":
            return self._start_tool(event)
        if block.type == "text":
            return self._text(block.text)
        if block.type == "thinking":
            return self._reasoning(block.thinking)
        return b""

    def _on_delta(self, event: ContentBlockDelta) -> bytes:
        if self.state is not State.OPEN:
            return self._out_of_order("content_block_delta")
        delta = event.delta
        block_type = self._blocks.get(event.index)
        # A delta counts only in the block it belongs to: server tools stream their input in the same way.
        if delta.type == "text_delta" and block_type == "text":
            return self._text(delta.text)
        if delta.type == "input_json_delta" and block_type == "tool_use":
            return self._arguments(self._tools[event.index], delta.partial_json)
        if delta.type == "thinking_delta" and block_type == "thinking":
            return self._reasoning(delta.thinking)
        return b""

    def _on_block_stop(self, event: ContentBlockStop) -> bytes:
        tool = self._tools.get(event.index)
        return self._end_tool(tool) if tool is not None else b""

    def _on_message_delta(self, event: MessageDelta) -> bytes:
        self._stop = event.delta
        self.stop_reason = event.delta.stop_reason
        self.usage.update(event.usage)
        return b""

    def _on_message_stop(self, _event: MessageStop) -> bytes:
        if self.state is not State.OPEN:
            return self._out_of_order("message_stop")
        self.state = State.DONE
        # A block that was cut by the token limit has no end of its own.
        chunks = [self._end_tool(tool) for tool in self._tools.values()]
        chunks += [self._refusal(), self._finish(), self._usage_chunk(), DONE]
        return b"".join(chunks)

    def _on_error(self, event: ErrorEvent) -> bytes:
        self._fail(streamed_failure(event.error))
        return b""

    # What goes to the client.

    def _text(self, text: Raw | UnsetType) -> bytes:
        if (raw := self._string(text)) is None:
            return b""
        opening = self._opening(b'"content":""')
        self._has_content = True
        return opening + self._delta_head + b'"content":' + raw + self._delta_tail

    def _reasoning(self, thinking: Raw | UnsetType) -> bytes:
        if (raw := self._string(thinking)) is None:
            return b""
        # Whether there will be text is not known yet: null becomes a text with the first one.
        return self._opening(b'"content":null') + self._delta_head + b'"reasoning_content":' + raw + self._delta_tail

    def _start_tool(self, event: ContentBlockStart) -> bytes:
        block = event.content_block
        tool = self._tools[event.index] = _Tool(len(self._tools), bytes(block.input))
        name = block.name or ""
        head = {
            "index": tool.index,
            "id": caller_call_id(block.id or ""),
            "type": "function",
            "function": {"name": self._tool_names.get(name, name), "arguments": ""},
        }
        opening = self._opening(b'"content":null')
        return opening + self._delta_head + b'"tool_calls":[' + orjson.dumps(head) + b"]" + self._delta_tail

    def _arguments(self, tool: _Tool, fragment: Raw | UnsetType) -> bytes:
        if (raw := self._string(fragment)) is None:
            return b""
        tool.has_arguments = True
        return b'%b"tool_calls":[{"index":%d,"function":{"arguments":%b}}]%b' % (
            self._delta_head,
            tool.index,
            raw,
            self._delta_tail,
        )

    def _end_tool(self, tool: _Tool) -> bytes:
        """A call without arguments still needs an object: clients parse the text."""
        if tool.has_arguments:
            return b""
        return self._arguments(tool, Raw(orjson.dumps(tool.whole_input.decode())))

    def _refusal(self) -> bytes:
        explanation = self._stop.stop_details.explanation if self._stop.stop_details else None
        if self.stop_reason != "refusal" or not explanation:
            return b""
        opening = self._opening(b'"content":null')
        return opening + self._delta_head + b'"refusal":' + orjson.dumps(explanation) + self._delta_tail

    def _finish(self) -> bytes:
        reason = finish_reason(self.stop_reason, has_tool_calls=bool(self._tools))
        # An answer without any text is "", not null, unless there is something else to read.
        empty_text = not (self._has_content or self._tools or self.stop_reason == "refusal")
        opening = self._opening(b'"content":""' if empty_text else b'"content":null')
        delta = b'"content":""' if empty_text else b""
        tail = b'},"logprobs":null,"finish_reason":"%b"}]%b}\n\n' % (reason.encode(), self._usage_null)
        return opening + self._delta_head + delta + tail

    def _usage_chunk(self) -> bytes:
        if not self._include_usage:
            return b""
        return self._head + b'],"usage":' + orjson.dumps(self.usage.as_openai()) + b"}\n\n"

    def _opening(self, content: bytes) -> bytes:
        """The first chunk of the choice, once: both SDKs add up what they get twice."""
        if self._is_opened:
            return b""
        self._is_opened = True
        return self._delta_head + b'"role":"assistant",' + content + b',"refusal":null' + self._delta_tail

    @property
    def _usage_null(self) -> bytes:
        """With usage asked for, every chunk but the last says `null`; else the key is absent."""
        return b',"usage":null' if self._include_usage else b""

    def _string(self, raw: Raw | UnsetType) -> bytes | None:
        """The JSON string as it stands, or None when it is empty or absent; anything else is a protocol error."""
        if isinstance(raw, UnsetType):
            return None
        text = bytes(raw)
        if text == _EMPTY:
            return None
        if text[:1] != b'"':
            raise MalformedEventError("Upstream sent something other than a text where a text belongs.")
        return text

    def _out_of_order(self, event_type: str) -> bytes:
        self._fail(Failure(ErrorKind.PROTOCOL_ERROR, f"Upstream sent a {event_type} event out of order."))
        return b""

    def _fail(self, failure: Failure) -> None:
        self.state = State.FAILED
        self.failure = failure


def _nothing(_event: object) -> bytes:
    return b""
