"""How a translating endpoint renders its response, streamed or whole, whichever API it speaks."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from msgspec import Struct

from gateway.doors.silence import Silence, StreamMaker
from gateway.service.answers import Answered, AnswerStream, Choice, StreamedChoice, WholeChoice
from translators.answers.answer import AnswerFold
from translators.chat.chunks import ChunkStream, StreamFrame
from translators.errors import Failure
from translators.usage import Usage

_WHOLE: Final = WholeChoice(AnswerFold)


class Opening(Struct, frozen=True):
    """What is known of a response when it begins; `created` is Unix seconds, `model` the model that is being asked."""

    request_id: str
    created: int
    include_usage: bool
    model: Callable[[], str]


class RenderedStream(Struct, frozen=True):
    """One streamed response: its choices, what is sent while it is silent, and its end.

    `closing` returns what follows the ends of several choices, `failure` the last event after a failure (None: the
    usual one of the endpoint's API).
    """

    choices: Sequence[StreamedChoice]
    sign_of_life: Callable[[], bytes]
    closing: Callable[[Sequence[AnswerStream], Usage], bytes] = lambda streams, usage: b""
    failure: Callable[[Failure], bytes] | None = None


class Rendering(Protocol):
    """How one response is written. This lives until the response ends; the request is released earlier.

    The choices of one prompt are adjacent.
    """

    @property
    def choices_per_prompt(self) -> int: ...

    def stream(self, opening: Opening, choices: int) -> RenderedStream:
        """The streamed response."""
        ...

    def folds(self, opening: Opening, choices: int) -> Sequence[WholeChoice]:
        """What collects each choice of a whole response."""
        ...

    def body(self, answers: Sequence[Answered], usage: Usage, opening: Opening) -> bytes:
        """The whole response, given its choices and the usage of all of them."""
        ...


class ChunkRendering(Struct, frozen=True):
    """A response in chunks (`chat.completion.chunk` and its legacy form), or whole.

    `makers` returns one function per choice, which creates its stream; `whole` writes the whole answer, given the
    choices, their usage and the time. `reports` adds the `x-gateway-report` object.
    """

    makers: Callable[[StreamFrame], Sequence[StreamMaker]]
    whole: Callable[[Sequence[Answered], Usage, int], bytes]
    id_prefix: str
    choices_per_prompt: int = 1
    reports: bool = False

    def stream(self, opening: Opening, choices: int) -> RenderedStream:
        own_id = f"{self.id_prefix}-{opening.request_id}"
        frame = StreamFrame(opening.created, opening.include_usage, choices=choices, reports=self.reports)
        if choices > 1:
            # Each upstream answer has its own id; the caller's stream needs a single one.
            frame.id = own_id
        silence = Silence(frame, self.makers(frame), own_id=own_id, model=opening.model)
        return RenderedStream([Choice(make) for make in silence.makers], silence.sign_of_life, _closing)

    def folds(self, opening: Opening, choices: int) -> Sequence[WholeChoice]:
        return [_WHOLE] * choices

    def body(self, answers: Sequence[Answered], usage: Usage, opening: Opening) -> bytes:
        return self.whole(answers, usage, opening.created)


def _closing(streams: Sequence[AnswerStream], usage: Usage) -> bytes:
    last = streams[-1]
    assert isinstance(last, ChunkStream), "its maker makes nothing else"
    return last.closing(usage)
