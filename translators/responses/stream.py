"""Translates one Messages stream into the events of a response.

As in chat completions, texts and arguments are spliced: the JSON string that upstream sent is the one that the client
gets. They are kept as well, since the end repeats them.
"""

from translators.answers.answer_types import Ending
from translators.answers.shape import PLAIN, AnswerShape
from translators.answers.written import WrittenStream
from translators.responses.answer import ResponsesReader
from translators.responses.events import event, opening
from translators.responses.frame import ResponsesFrame


class ResponsesStream(ResponsesReader, WrittenStream):
    """Translates one upstream stream; one object an attempt, all on the frame of the response.

    Nothing is written before there is something to read, so that until then another attempt can take over.
    """

    def __init__(self, frame: ResponsesFrame, shape: AnswerShape = PLAIN) -> None:
        self._chunks: list[bytes] = []
        super().__init__(frame, shape, self._chunks)
        self._is_direct = self.takes_text_as_it_is

    def _text(self, raw: bytes | None) -> None:
        """Write the event for a piece of text: what the writer would do, in fewer calls."""
        message = self._output.message
        if message is None or raw is None or not self._is_direct:
            super()._text(raw)
            return
        message.pieces.append(raw)
        frame = self._frame
        number = frame.sequence
        frame.sequence = number + 1
        self._chunks.append(message.form % (number, raw))

    def on_reasoning(self, raw: bytes) -> None:
        """Write the event for a piece of thinking, in the same way."""
        thought = self._output.thought
        if thought is None:
            self._output.reasoning(raw)
            return
        thought.pieces.append(raw)
        frame = self._frame
        number = frame.sequence
        frame.sequence = number + 1
        self._chunks.append(thought.form % (number, raw))

    def on_end(self, ending: Ending) -> None:
        """Finish the items that are open, then the response."""
        super().on_end(ending)
        self._chunks.append(opening(self._frame))
        kind = b"response." + self.status.encode()
        self._chunks.append(event(self._frame, kind, b'"response":' + self.response()))
