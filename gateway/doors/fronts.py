"""The caller's side of a stream from its admission on: it may begin while the request still waits for a rule."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Generic, TypeVar

from gateway.doors.rendering import Opening, Rendering
from gateway.edge.keepalive import StreamClient
from gateway.edge.responder import Responder
from gateway.service.record import Progress


class Front:
    """Keeps one stream alive, first in the lines of rules, then until its end; `progress` is known between the two."""

    progress: Sequence[Progress] = ()

    def __init__(self, responder: Responder, interval_seconds: float, sign_of_life: Callable[[], bytes]) -> None:
        self.client = StreamClient(responder, interval_seconds, sign_of_life, is_asking=self._is_asking)

    def _is_asking(self) -> bool:
        return any(progress.is_asking for progress in self.progress)


class RenderedFront(Front):
    """The same with the stream as it is rendered: signs of life belong to the answer that follows them.

    `model` stands for the one that is asked until that is known.
    """

    def __init__(
        self,
        responder: Responder,
        interval_seconds: float,
        rendering: Rendering,
        *,
        choices: int,
        created: int,
        include_usage: bool,
        model: str,
    ) -> None:
        self._first_model = model
        opening = Opening(responder.request_id, created, include_usage, self._model)
        self.rendered = rendering.stream(opening, choices)
        responder.failure_event = self.rendered.failure
        super().__init__(responder, interval_seconds, self.rendered.sign_of_life)

    def _model(self) -> str:
        return self.progress[0].model if self.progress else self._first_model


F = TypeVar("F", bound=Front)


class Waits(Generic[F]):
    """Makes the blocks in which a streamed request waits for rules; the front is made when it has to wait."""

    def __init__(self, watch: Callable[[], AbstractAsyncContextManager[object]], make: Callable[[], F]) -> None:
        self._watch = watch
        self._make = make
        self.front: F | None = None

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[None]:
        self.front = self.front or self._make()
        async with self._watch():
            with self.front.client:
                yield
