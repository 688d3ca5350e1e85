"""From upstream's body to the caller's stream, whatever is made of the bytes on the way."""

import asyncio
from typing import Protocol, TypeVar

from gateway.proxy.attempt import Attempt
from gateway.proxy.ports import Client, Outgoing, UpstreamAnswer
from gateway.proxy.refusals import drain
from translators.errors import FailedError, Failure

R = TypeVar("R", bound=Outgoing)


class Stream(Protocol):
    """A translation of one stream: bytes in, the caller's bytes out."""

    failure: Failure | None

    @property
    def is_over(self) -> bool:
        """Whether nothing more is read: it has ended, or failed."""
        ...

    @property
    def is_cut(self) -> bool:
        """Whether it has ended before upstream's answer did, the rest of which nobody wants."""
        ...

    def feed(self, data: bytes) -> bytes:
        """The caller's bytes for what upstream sent."""
        ...

    def end(self) -> bytes:
        """Upstream's body has ended; without its last event, that is a failure."""
        ...


class Delivery(Protocol):
    """One answer on its way to the caller, and what its endpoint does at the turning points."""

    @property
    def stream(self) -> Stream: ...

    @property
    def is_done(self) -> bool:
        """Whether upstream has said that the answer is complete."""
        ...

    @property
    def is_silent(self) -> bool:
        """Whether upstream is at work on what callers do not see, so that the head may leave as a sign of life."""
        ...

    def begins(self) -> None:
        """Content is about to leave: it is certain whose answer the caller gets."""
        ...

    async def ends(self) -> None:
        """The last piece is about to leave, and with it the caller's next request may come."""
        ...

    def passed(self) -> None:
        """What has come was passed on."""
        ...


async def relay(attempt: Attempt[R], answer: UpstreamAnswer, delivery: Delivery, client: Client) -> None:
    """Pass one body on, up to its end; raises `FailedError` where the stream has failed.

    While the client does not read, upstream is not read either. Once upstream has said everything, the little that is
    left does not wait for the client: nobody keeps a lease by not reading.
    """
    stream = delivery.stream
    output = b""

    def push(data: bytes) -> bool:
        nonlocal output
        piece = stream.feed(data)
        if stream.is_over:
            # What is to be said at an end is more than bytes, and is left to the loop.
            output = piece
            return False
        return not piece or client.push(piece)

    while True:
        if attempt.is_committed and client.takes_pushes:
            # As long as the caller keeps up, no task has to wake up for an event (docs/adr/0001).
            await answer.push(push)
        if not stream.is_over:
            if not (data := await answer.receive()):
                break
            output = stream.feed(data)
            del data
        if client.is_full and not (stream.is_over or answer.is_complete):
            await _room(answer, client)
        await pass_on(attempt, delivery, output, client)
        # Nothing of an event is kept until the next one, which may take its time.
        output = b""
        if stream.is_over:
            if not stream.is_cut:
                await drain(answer)
            return
    await pass_on(attempt, delivery, stream.end(), client)


async def pass_on(attempt: Attempt[R], delivery: Delivery, output: bytes, client: Client) -> None:
    """Send what the stream has made of upstream's bytes. The first content is the commit point."""
    is_done = delivery.is_done
    if output or is_done:
        attempt.commit()
        delivery.begins()
    if is_done:
        await delivery.ends()
        await client.finish(output)
    elif output:
        await client.write(output)
    elif delivery.is_silent:
        # Still no commitment to this key.
        await client.begin()
    if (failure := delivery.stream.failure) is not None:
        raise FailedError(failure)
    delivery.passed()
    if client.takes_pushes:
        # The caller has its head: what upstream said in its own is not asked for again.
        attempt.progress.upstream_headers = {}


async def _room(answer: UpstreamAnswer, client: Client) -> None:
    """Until the client reads again, or nothing more is to come from upstream."""
    waits = (asyncio.create_task(client.drained()), asyncio.create_task(answer.ended()))
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
