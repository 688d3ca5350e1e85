"""Ends a request early when its client disconnects or the gateway shuts down."""

import asyncio
from types import TracebackType

from starlette.types import Receive, Scope

from gateway.edge.responder import Responder
from gateway.http.errors import ClientGoneError
from gateway.http.request import ServedRequest, served_request
from translators.errors import ErrorKind, FailedError, Failure


class Interrupts:
    """All open requests; a shutdown ends those that outlast its grace period."""

    def __init__(self) -> None:
        self._open: set[Interruptible] = set()

    def __len__(self) -> int:
        return len(self._open)

    @property
    def begun(self) -> int:
        """How many have sent the head of their answer: streams."""
        return sum(block.has_begun for block in self._open)

    def watch(self, scope: Scope, receive: Receive, responder: Responder) -> "Interruptible":
        """A block that is left with `ClientGoneError` or `FailedError` as soon as continuing is pointless."""
        return Interruptible(self, served_request(scope), receive, responder)

    def shut_down(self) -> None:
        """End every open request with an error."""
        for block in tuple(self._open):
            block.interrupt(FailedError(Failure(ErrorKind.SHUTTING_DOWN, "The gateway is shutting down.")))

    def _add(self, block: "Interruptible") -> None:
        self._open.add(block)

    def _remove(self, block: "Interruptible") -> None:
        self._open.discard(block)


class Interruptible:
    """Cancels the code inside it when the client disconnects, and replaces the cancellation by the reason.

    It works as `asyncio.timeout` does: only its own cancellation is replaced.
    """

    __slots__ = (
        "_cancelling",
        "_interrupts",
        "_reason",
        "_receive",
        "_responder",
        "_served",
        "_task",
        "_watcher",
    )

    def __init__(
        self, interrupts: Interrupts, served: ServedRequest | None, receive: Receive, responder: Responder
    ) -> None:
        self._interrupts = interrupts
        self._served = served
        self._receive = receive
        self._responder = responder
        self._reason: Exception | None = None
        self._task: asyncio.Task[object] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._cancelling = 0

    @property
    def has_begun(self) -> bool:
        """Whether the head of its answer was sent."""
        return self._responder.has_begun

    def interrupt(self, reason: Exception) -> None:
        """Leave the block with `reason`, unless the answer is complete and is only waiting for a slow client."""
        if self._reason is None and self._task is not None and not self._responder.has_ended:
            self._reason = reason
            self._task.cancel()

    async def __aenter__(self) -> "Interruptible":
        self._task = asyncio.current_task()
        if self._task is None:
            raise RuntimeError("A request needs a task.")
        self._cancelling = self._task.cancelling()
        self._interrupts._add(self)
        if self._served is not None:
            self._served.connection.watch(self._on_gone)
        else:
            self._watcher = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._interrupts._remove(self)
        if self._served is not None:
            self._served.connection.unwatch(self._on_gone)
        if self._watcher is not None:
            self._watcher.cancel()
        task, self._task = self._task, None
        reason, self._reason = self._reason, None
        if reason is None or task is None:
            return
        is_ours = task.uncancel() <= self._cancelling
        if kind is not None and issubclass(kind, asyncio.CancelledError) and is_ours:
            try:
                raise reason from error
            finally:
                # Their tracebacks refer to this frame: a circle keeps the request in memory until a collection.
                del reason, error, trace

    async def _watch(self) -> None:
        """Wait for the client to disconnect; the server reports the same when an answer is complete."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._on_gone()

    def _on_gone(self) -> None:
        self.interrupt(ClientGoneError())
