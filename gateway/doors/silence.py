"""Empty chunks for a silent stream of chunks. Comments would be the usual means, but not every client accepts them.

Some decoders take the blank line after a comment for an event without data, and fail; others look only at the first
line of each block, and miss an event that follows a comment. All of them accept an empty chunk.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from translators.answers.answer_types import State
from translators.answers.shape import PLAIN, AnswerShape
from translators.chat.chunks import ChunkStream, StreamFrame

# Creates the stream of one choice.
StreamMaker: TypeAlias = Callable[[AnswerShape], ChunkStream]


class Silence:
    """Makes the streams of an answer's choices, and empty chunks while none of them produces output.

    All chunks of an answer have one id: if upstream has not named one yet, `own_id` is used for all that follow.
    """

    def __init__(
        self, frame: StreamFrame, makers: Sequence[StreamMaker], *, own_id: str, model: Callable[[], str]
    ) -> None:
        self._frame = frame
        self._makers = makers
        self._own_id = own_id
        self._model = model
        self._streams: list[ChunkStream | None] = [None] * len(makers)

    @property
    def makers(self) -> list[StreamMaker]:
        """The makers of the streams; streams made by them are tracked here."""
        return [partial(self._make, index) for index in range(len(self._makers))]

    def sign_of_life(self) -> bytes:
        """An empty chunk for the first choice that has not ended. Choices open in this order, so clients accept it."""
        for index, stream in enumerate(self._streams):
            if stream is None or stream.state is not State.DONE:
                return self._chunk(index, stream)
        return b""

    def _make(self, index: int, shape: AnswerShape) -> ChunkStream:
        stream = self._streams[index] = self._makers[index](shape)
        return stream

    def _chunk(self, index: int, stream: ChunkStream | None) -> bytes:
        if stream is None or stream.upstream_id is None or stream.failure is not None:
            # Upstream has not begun to answer, or another attempt will be made.
            self._frame.id = self._frame.id or self._own_id
            stream = self._makers[index](PLAIN)
            stream.model = self._model()
            stream.on_begin()
        # If another attempt takes over, its chunks belong to the same answer.
        self._frame.id = stream.id
        return stream.empty_chunk()
