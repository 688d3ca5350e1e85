"""One whole answer, however it came: read from a message, or folded from a stream."""

import orjson

from translators.chat.reader import Call, Ending, MessageReader
from translators.chat.shape import PLAIN, AnswerShape
from translators.errors import FailedError


class AnswerFold(MessageReader):
    """Collects an answer for a client that asked for no stream."""

    def __init__(self, shape: AnswerShape = PLAIN) -> None:
        super().__init__(shape)
        self.ending: Ending | None = None
        self._texts: list[str] = []
        self._reasoning_texts: list[str] = []
        self._arguments_of: dict[int, list[str]] = {}

    @property
    def text(self) -> str:
        """The text, joined."""
        return "".join(self._texts)

    @property
    def reasoning(self) -> str:
        """The reasoning, joined."""
        return "".join(self._reasoning_texts)

    def arguments(self, call: Call) -> str:
        """The arguments of a call as upstream wrote them, or the input of a custom tool."""
        return "".join(self._arguments_of.get(call.index, ()))

    def feed(self, data: bytes) -> None:
        """Take in one read; raises `FailedError` on upstream's error, and on what cannot be read."""
        self.read(data)
        self._raise_failure()

    def end(self) -> None:
        """Upstream's body has ended; raises `FailedError` when that is too early."""
        self.read_end()
        self._raise_failure()

    def give_up(self) -> None:
        """A turn that has paused too often is the answer."""
        self.end_pause()

    def on_text(self, raw: bytes) -> None:
        """Collect."""
        self._texts.append(orjson.loads(raw))

    def on_reasoning(self, raw: bytes) -> None:
        """Collect."""
        self._reasoning_texts.append(orjson.loads(raw))

    def on_arguments(self, call: Call, raw: bytes) -> None:
        """Collect."""
        self._arguments_of.setdefault(call.index, []).append(orjson.loads(raw))

    def on_end(self, ending: Ending) -> None:
        """Keep what is known only now."""
        self.ending = ending

    def _raise_failure(self) -> None:
        if self.failure is not None:
            raise FailedError(self.failure)


def read_message(body: bytes, shape: AnswerShape = PLAIN) -> AnswerFold:
    """The answer in an unstreamed body; raises `FailedError` when it is not a message."""
    answer = AnswerFold(shape)
    answer.read_whole(body)
    return answer
