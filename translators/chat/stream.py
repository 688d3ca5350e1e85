"""One Messages stream as a chat-completions stream, event by event.

`ChatStream.feed` is the heart of the gateway: bytes in, bytes out, nothing kept but a few counters. Texts and tool
arguments are spliced: the JSON string that upstream sent is the JSON string that the client gets.
"""

from dataclasses import dataclass

import orjson

from translators.chat.reader import Call, Ending, MessageReader, State
from translators.chat.shape import PLAIN, AnswerShape
from translators.sse import DONE
from translators.usage import Usage

__all__ = ["ChatStream", "State", "StreamFrame"]


@dataclass(frozen=True, slots=True)
class StreamFrame:
    """What all choices of one stream have in common; `created` is Unix seconds.

    With one choice its stream has upstream's id and ends by itself; several share an `id`, and whoever joins them
    ends the stream.
    """

    created: int
    include_usage: bool = False
    id: str | None = None
    choices: int = 1


class ChatStream(MessageReader):
    """Translates one upstream stream; one object a stream, thrown away after it.

    After `feed` look at `failure`: once it is set nothing more will come, and whether the caller is told or another
    key takes over is decided elsewhere (`has_output` says whether the caller has seen anything).
    """

    def __init__(self, frame: StreamFrame, shape: AnswerShape = PLAIN, *, index: int = 0) -> None:
        super().__init__(shape)
        self.has_output = False
        self._frame = frame
        self._index = index
        self._chunks: list[bytes] = []
        self._is_opened = False
        self._head = b""
        self._delta_head = b""
        # With usage asked for, every chunk but the last says `null`; else the key is absent.
        self._usage_null = b',"usage":null' if frame.include_usage else b""
        self._delta_tail = b'},"logprobs":null,"finish_reason":null}]' + self._usage_null + b"}\n\n"

    def feed(self, data: bytes) -> bytes:
        """The client's bytes for what upstream sent: everything that one read completes, in one piece."""
        self.read(data)
        return self._taken()

    def end(self) -> bytes:
        """Upstream's body has ended: without a `message_stop`, that is a failure."""
        self.read_end()
        return self._taken()

    def give_up(self) -> bytes:
        """The end of a turn that has paused too often."""
        self.end_pause()
        return self._taken()

    def closing(self, usage: Usage) -> bytes:
        """What follows the last choice's finish: the usage of all of them, where it was asked for, and `[DONE]`."""
        if not self._frame.include_usage:
            return DONE
        return self._head + b'],"usage":' + orjson.dumps(usage.as_openai()) + b"}\n\n" + DONE

    def _taken(self) -> bytes:
        if not self._chunks:
            return b""
        self.has_output = True
        output = b"".join(self._chunks)
        self._chunks.clear()
        return output

    def on_begin(self) -> None:
        """Prepare what all chunks have in common."""
        head = {
            "id": self._frame.id or f"chatcmpl-{self.upstream_id}",
            "object": "chat.completion.chunk",
            "created": self._frame.created,
            "model": self.model,
            "service_tier": self.usage.service_tier,
            "system_fingerprint": None,
        }
        self._head = b"data: " + orjson.dumps(head)[:-1] + b',"choices":['
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
        self._delta(b'"reasoning_content":' + raw)

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
        delta = b'"content":""' if is_empty else b""
        reason = "function_call" if self._shape.is_legacy and self.calls else ending.finish_reason
        tail = b'},"logprobs":null,"finish_reason":"%b"}]%b}\n\n' % (reason.encode(), self._usage_null)
        self._chunks.append(self._delta_head + delta + tail)
        if self._frame.choices == 1:
            self._chunks.append(self.closing(self.usage))

    def _open(self, content: bytes) -> None:
        """The first chunk of the choice, once: both SDKs add up what they get twice."""
        if not self._is_opened:
            self._is_opened = True
            self._delta(b'"role":"assistant","content":' + content + b',"refusal":null')

    def _call(self, call: Call, fields: bytes) -> None:
        self._delta(b'"tool_calls":[{"index":%d,%b}]' % (call.index, fields))

    def _delta(self, fields: bytes) -> None:
        self._chunks.append(self._delta_head + fields + self._delta_tail)
