"""Passes upstream's body on to the caller's stream, through a translation."""

import asyncio
from typing import Protocol, TypeVar

from gateway.service.attempt import Attempt
from gateway.service.failures import drain
from gateway.service.ports import Client, Outgoing, UpstreamAnswer
from translators.errors import FailedError, Failure

R = TypeVar("R", bound=Outgoing)


class Stream(Protocol):
    """A translation of one stream: upstream's bytes in, the caller's bytes out."""

    failure: Failure | None

    @property
    def is_over(self) -> bool:
        """Whether the stream has ended or failed, so that nothing more is read."""
        ...

    @property
    def is_cut(self) -> bool:
        """Whether it ended before upstream's answer did; the rest of that is not read."""
        ...

    def feed(self, data: bytes) -> bytes:
        """The caller's bytes for a piece of upstream's body."""
        ...

    def end(self) -> bytes:
        """Upstream's body has ended; if its last event is missing, that is a failure."""
        ...


class Delivery(Protocol):
    """The delivery of one answer: its stream, and hooks for the endpoint."""

    @property
    def stream(self) -> Stream: ...

    @property
    def is_done(self) -> bool:
        """Whether upstream has marked the answer as complete."""
        ...

    @property
    def is_silent(self) -> bool:
        """Whether upstream is producing content hidden from callers: the head may be sent as a sign of life."""
        ...

    def before_content(self) -> None:
        """Called before content is sent: it is certain which answer the caller gets."""
        ...

    async def before_end(self) -> None:
        """Called before the last piece is sent, after which the caller may send its next request."""
        ...

    def after_piece(self) -> None:
        """Called after the output so far was passed on."""
        ...


async def relay(attempt: Attempt[R], answer: UpstreamAnswer, delivery: Delivery, client: Client) -> None:
    """Pass one body on to its end; raises `FailedError` if the stream has failed.

    While the client does not read, upstream is not read either. After upstream's last event the small remainder is sent
    without waiting for the client: a client cannot hold a lease by not reading.
    """
    stream = delivery.stream
    output = b""

    def push(data: bytes) -> bool:
        nonlocal output
        piece = stream.feed(data)
        if stream.is_over:
            # The end needs more than writing bytes, so leave it to the loop.
            output = piece
            return False
        return not piece or client.push(piece)

    while True:
        if attempt.is_committed and client.takes_pushes:
            # While the caller keeps up, no task has to be scheduled for an event (docs/adr/0001).
            await answer.push(push)
        if not stream.is_over:
            if not (data := await answer.receive()):
                break
            output = stream.feed(data)
            del data
        if client.is_full and not (stream.is_over or answer.is_complete):
            await _wait_for_room(answer, client)
        await pass_on(attempt, delivery, output, client)
        # Keep nothing of this event while waiting for the next one.
        output = b""
        if stream.is_over:
            if not stream.is_cut:
                await drain(answer)
            return
    await pass_on(attempt, delivery, stream.end(), client)


async def pass_on(attempt: Attempt[R], delivery: Delivery, output: bytes, client: Client) -> None:
    """Send the output for upstream's bytes. The first content is the commit point."""
    is_done = delivery.is_done
    if output or is_done:
        attempt.commit()
        delivery.before_content()
    if is_done:
        await delivery.before_end()
        await client.finish(output)
    elif output:
        await client.write(output)
    elif delivery.is_silent:
        # Only the head: another key can still take over.
        await client.begin()
    if (failure := delivery.stream.failure) is not None:
        raise FailedError(failure)
    delivery.after_piece()
    if client.takes_pushes:
        # The caller's head was sent, so upstream's headers are no longer needed.
        attempt.progress.upstream_headers = {}


async def _wait_for_room(answer: UpstreamAnswer, client: Client) -> None:
    """Wait until the client reads again, or upstream's body has ended."""
    waits = (asyncio.create_task(client.drained()), asyncio.create_task(answer.ended()))
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
