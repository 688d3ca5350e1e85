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

    def __init__(
        self,
        responder: Responder,
        interval_seconds: float,
        sign_of_life: Callable[[], bytes],
        progress: list[Progress] | None = None,
    ) -> None:
        # What the client asks must not refer to the front: a circle keeps the request in memory until a collection.
        self._progress = shared = [] if progress is None else progress
        self.client = StreamClient(
            responder, interval_seconds, sign_of_life, is_asking=lambda: any(each.is_asking for each in shared)
        )

    def follow(self, progress: Sequence[Progress]) -> None:
        """The request was admitted, and its exchanges begin."""
        self._progress[:] = progress


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
        progress = list[Progress]()
        opening = Opening(
            responder.request_id, created, include_usage, lambda: progress[0].model if progress else model
        )
        self.rendered = rendering.stream(opening, choices)
        responder.failure_event = self.rendered.failure
        super().__init__(responder, interval_seconds, self.rendered.sign_of_life, progress)


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
