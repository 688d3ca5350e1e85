"""What streams of chunks have in common, whichever of OpenAI's forms the chunks have."""

from dataclasses import dataclass

import orjson

from translators.answers.shape import PLAIN, AnswerShape
from translators.answers.written import WrittenStream
from translators.sse import DONE
from translators.usage import Usage


@dataclass(slots=True)
class StreamFrame:
    """What all choices of one stream have in common; `created` is Unix seconds.

    `reports` adds what the gateway has to say about an answer to its finish chunk. With one choice its stream has
    upstream's id and ends by itself; several share an `id`, and whoever joins them ends the stream. An `id` that is set
    later is that of the streams that begin later.
    """

    created: int
    include_usage: bool = False
    id: str | None = None
    choices: int = 1
    reports: bool = False


class ChunkStream(WrittenStream):
    """Translates one upstream stream into chunks."""

    id_prefix = ""

    def __init__(self, frame: StreamFrame, shape: AnswerShape = PLAIN) -> None:
        super().__init__(shape)
        self._frame = frame
        self._chunks: list[bytes] = []
        # What all chunks begin with, up to their choices.
        self._head = b""

    @property
    def id(self) -> str:
        """What the chunks are known by, once the message has begun."""
        return self._frame.id or f"{self.id_prefix}-{self.upstream_id}"

    def empty_chunk(self) -> bytes:
        """A chunk that says nothing; only of a message that has begun."""
        raise NotImplementedError

    def closing(self, usage: Usage) -> bytes:
        """What follows the last choice's finish: the usage of all of them, where it was asked for, and `[DONE]`."""
        if not self._frame.include_usage:
            return DONE
        return self._head + b'],"usage":' + usage.as_json() + b"}\n\n" + DONE

    def _begin(self, kind: str, **more: object) -> None:
        head: dict[str, object] = {
            "id": self.id,
            "object": kind,
            "created": self._frame.created,
            "model": self.model,
            **more,
            "system_fingerprint": None,
        }
        self._head = b"data: " + orjson.dumps(head)[:-1] + b',"choices":['
