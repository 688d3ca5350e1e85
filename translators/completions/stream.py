"""Translates one Messages stream into a legacy completions stream."""

import orjson

from translators.answers.answer_types import Ending
from translators.answers.shape import PLAIN, AnswerShape
from translators.chat.chunks import ChunkStream, StreamFrame


class CompletionStream(ChunkStream):
    """Writes one upstream stream as `text_completion` objects, without its reasoning."""

    id_prefix = "cmpl"

    def __init__(self, frame: StreamFrame, shape: AnswerShape = PLAIN, *, index: int = 0, echo: str = "") -> None:
        super().__init__(frame, shape)
        self._index = index
        self._echo = echo

    def on_begin(self) -> None:
        """Prepare what all chunks have in common."""
        self._begin("text_completion")

    def on_text(self, raw: bytes) -> None:
        self._say_echo()
        self._chunk(raw, b"null")

    def on_end(self, ending: Ending) -> None:
        """Write the finish chunk, and what follows the last choice."""
        self._say_echo()
        reason = "stop" if ending.finish_reason == "tool_calls" else ending.finish_reason
        self._chunk(b'""', b'"' + reason.encode() + b'"')
        if self._frame.choices == 1:
            self._chunks.append(self.closing(self.usage))

    def _say_echo(self) -> None:
        if self._echo:
            self._chunk(orjson.dumps(self._echo), b"null")
            self._echo = ""

    def empty_chunk(self) -> bytes:
        """A chunk without text; requires that the message has begun."""
        return self._written(b'""', b"null")

    def _chunk(self, text: bytes, reason: bytes) -> None:
        self._chunks.append(self._written(text, reason))

    def _written(self, text: bytes, reason: bytes) -> bytes:
        usage = b',"usage":null' if self._frame.include_usage else b""
        form = b'%b{"text":%b,"index":%d,"logprobs":null,"finish_reason":%b}]%b}\n\n'
        return form % (self._head, text, self._index, reason, usage)
