"""One Messages stream as a chat-completions stream, event by event.

`ChatStream.feed` is the heart of the gateway: bytes in, bytes out, nothing kept but a few counters. Texts and tool
arguments are spliced: the JSON string that upstream sent is the JSON string that the client gets.
"""

from typing import Final

import orjson

from translators.answers.answer_types import Call, Ending, State
from translators.answers.finish import legacy_reason
from translators.answers.shape import PLAIN, AnswerShape
from translators.chat.chunks import ChunkStream, StreamFrame

_REASONING: Final = (b'"reasoning_content":', b"")
_REASONING_TWICE: Final = (b'"reasoning_content":', b',"reasoning":', b"")

__all__ = ["ChatStream", "State", "StreamFrame"]


class ChatStream(ChunkStream):
    """Translates one upstream stream into `chat.completion.chunk` objects."""

    id_prefix = "chatcmpl"
    # What stands around the text of a piece of reasoning.
    _reasoning_fields: tuple[bytes, ...] = _REASONING

    def __init__(self, frame: StreamFrame, shape: AnswerShape = PLAIN, *, index: int = 0) -> None:
        super().__init__(frame, shape)
        self._index = index
        self._is_opened = False
        if shape.shows_reasoning_twice:
            self._reasoning_fields = _REASONING_TWICE
        self._delta_head = b""
        # With usage asked for, every chunk but the last says `null`; else the key is absent.
        self._usage_null = b',"usage":null' if frame.include_usage else b""
        self._delta_tail = b'},"logprobs":null,"finish_reason":null}]' + self._usage_null + b"}\n\n"

    @property
    def has_content(self) -> bool:
        """Whether there is anything yet that a client can read."""
        return self._is_opened

    def on_begin(self) -> None:
        """Prepare what all chunks have in common."""
        self._begin("chat.completion.chunk", service_tier=self.usage.service_tier)
        self._delta_head = self._head + b'{"index":%d,"delta":{' % self._index

    def on_text(self, raw: bytes) -> None:
        """A chunk with text."""
        if not self._is_opened:
            self._open(b'""')
        self._chunks.append(self._delta_head + b'"content":' + raw + self._delta_tail)

    def on_reasoning(self, raw: bytes) -> None:
        """A chunk with reasoning."""
        # Whether there will be text is not known yet: null becomes a text with the first one.
        self._open(b"null")
        self._delta(raw.join(self._reasoning_fields))

    def on_call(self, call: Call) -> None:
        """The head of a call: the only chunk with its id, type and name."""
        self._open(b"null")
        name = orjson.dumps(call.name)
        if self._shape.is_legacy:
            # There is one legacy call an answer; more would not fit the form.
            if call.index == 0:
                self._delta(b'"function_call":{"name":%b,"arguments":""}' % name)
        elif call.is_custom:
            self._call(call, b'"id":%b,"type":"custom","custom":{"name":%b,"input":""}' % (orjson.dumps(call.id), name))
        else:
            form = b'"id":%b,"type":"function","function":{"name":%b,"arguments":""}'
            self._call(call, form % (orjson.dumps(call.id), name))

    def on_arguments(self, call: Call, raw: bytes) -> None:
        """A chunk with a piece of a call's arguments."""
        if self._shape.is_legacy:
            if call.index == 0:
                self._delta(b'"function_call":{"arguments":%b}' % raw)
        elif call.is_custom:
            self._call(call, b'"custom":{"input":%b}' % raw)
        else:
            self._call(call, b'"function":{"arguments":%b}' % raw)

    def on_end(self, ending: Ending) -> None:
        """What comes once and whole, the finish chunk, the usage, and the end."""
        # An answer without any text is "", not null, unless there is something else to read.
        is_empty = not (self.has_text or self.calls or ending.finish_reason == "content_filter")
        # Behind reasoning the choice has opened with null already.
        delta = b'"content":""' if is_empty and self._is_opened else b""
        self._open(b'""' if is_empty else b"null")
        for name, values in (
            ("annotations", ending.annotations),
            ("citations", ending.citations),
            ("thinking_blocks", ending.thinking_blocks),
        ):
            if values:
                self._delta(b'"%b":%b' % (name.encode(), orjson.dumps(values)))
        if ending.refusal is not None:
            self._delta(b'"refusal":' + orjson.dumps(ending.refusal))
        reason = legacy_reason(ending.finish_reason) if self._shape.is_legacy else ending.finish_reason
        report = b',"gateway":' + orjson.dumps(self.report()) if self._frame.reports else b""
        tail = b'},"logprobs":null,"finish_reason":"%b"}]%b%b}\n\n' % (reason.encode(), self._usage_null, report)
        self._chunks.append(self._delta_head + delta + tail)
        if self._frame.choices == 1:
            self._chunks.append(self.closing(self.usage))

    def empty_chunk(self) -> bytes:
        """A chunk that says nothing; only of a message that has begun."""
        return self._delta_head + self._delta_tail

    def _open(self, content: bytes) -> None:
        """The first chunk of the choice, once: both SDKs add up what they get twice."""
        if not self._is_opened:
            self._is_opened = True
            self._delta(b'"role":"assistant","content":' + content + b',"refusal":null')

    def _call(self, call: Call, fields: bytes) -> None:
        self._delta(b'"tool_calls":[{"index":%d,%b}]' % (call.index, fields))

    def _delta(self, fields: bytes) -> None:
        self._chunks.append(self._delta_head + fields + self._delta_tail)
