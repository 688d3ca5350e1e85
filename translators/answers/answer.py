"""One whole answer, however it came: read from a message, or folded from a stream."""

from collections.abc import Sequence

import orjson

from translators.answers.answer_types import Call, Ending
from translators.answers.reader import MessageReader
from translators.answers.shape import PLAIN, AnswerShape
from translators.errors import FailedError


class AnswerFold(MessageReader):
    """Collects an answer for a client that asked for no stream; texts stay JSON strings, as they came."""

    ending: Ending | None = None

    def __init__(self, shape: AnswerShape = PLAIN) -> None:
        super().__init__(shape)
        self._texts: list[bytes] = []
        self._reasoning_texts: list[bytes] = []
        self._arguments_of: dict[int, list[bytes]] = {}

    @property
    def has_content(self) -> bool:
        """Whether there is anything yet that a client can read."""
        return super().has_content or self.has_reasoning

    @property
    def text(self) -> str:
        """The text, joined."""
        joined: str = orjson.loads(self.text_json)
        return joined

    @property
    def text_json(self) -> bytes:
        """The text as a JSON string."""
        return _joined(self._texts)

    @property
    def reasoning_json(self) -> bytes:
        """The reasoning as a JSON string."""
        return _joined(self._reasoning_texts)

    @property
    def has_reasoning(self) -> bool:
        """Whether there is any reasoning."""
        return bool(self._reasoning_texts)

    def arguments_json(self, call: Call) -> bytes:
        """The arguments of a call as upstream wrote them, or the input of a custom tool, as a JSON string."""
        return _joined(self._arguments_of.get(call.index, ()))

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
        self._texts.append(raw)

    def on_reasoning(self, raw: bytes) -> None:
        """Collect."""
        self._reasoning_texts.append(raw)

    def on_arguments(self, call: Call, raw: bytes) -> None:
        """Collect."""
        self._arguments_of.setdefault(call.index, []).append(raw)

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


def _joined(raws: Sequence[bytes]) -> bytes:
    """JSON strings as a single one."""
    return raws[0] if len(raws) == 1 else b'"%b"' % b"".join([raw[1:-1] for raw in raws])
