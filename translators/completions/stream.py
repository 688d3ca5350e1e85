"""One Messages stream as a legacy completions stream."""

import orjson

from translators.chat.answer_types import Ending
from translators.chat.chunks import ChunkStream, StreamFrame
from translators.chat.shape import PLAIN, AnswerShape


class CompletionStream(ChunkStream):
    """Translates one upstream stream into `text_completion` objects; reasoning has no place in them."""

    id_prefix = "cmpl"

    def __init__(self, frame: StreamFrame, shape: AnswerShape = PLAIN, *, index: int = 0, echo: str = "") -> None:
        super().__init__(frame, shape)
        self._index = index
        self._echo = echo

    def on_begin(self) -> None:
        """Prepare what all chunks have in common."""
        self._begin("text_completion")

    def on_text(self, raw: bytes) -> None:
        """A chunk with text."""
        self._say_echo()
        self._chunk(raw, b"null")

    def on_end(self, ending: Ending) -> None:
        """The finish chunk, and what follows the last choice."""
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
        """A chunk that says nothing; only of a message that has begun."""
        return self._written(b'""', b"null")

    def _chunk(self, text: bytes, reason: bytes) -> None:
        self._chunks.append(self._written(text, reason))

    def _written(self, text: bytes, reason: bytes) -> bytes:
        usage = b',"usage":null' if self._frame.include_usage else b""
        form = b'%b{"text":%b,"index":%d,"logprobs":null,"finish_reason":%b}]%b}\n\n'
        return form % (self._head, text, self._index, reason, usage)
