"""From upstream's body to the caller's stream, whatever is made of the bytes on the way."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from gateway.proxy.exchange import drain
from gateway.proxy.ports import Client, UpstreamAnswer


class Stream(Protocol):
    """A translation of one stream: bytes in, the caller's bytes out."""

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


async def relay(
    answer: UpstreamAnswer,
    stream: Stream,
    client: Client,
    *,
    is_committed: Callable[[], bool],
    pass_on: Callable[[bytes], Awaitable[None]],
) -> None:
    """Pass one body on, up to its end; `pass_on` sends a piece, and says what there is to say at an end.

    While the client does not read, upstream is not read either. Once upstream has said everything, the little that is
    left does not wait for the client: nobody keeps a lease by not reading.
    """
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
        if is_committed() and client.takes_pushes:
            # As long as the caller keeps up, no task has to wake up for an event (docs/adr/0001).
            await answer.push(push)
        if not stream.is_over:
            if not (data := await answer.receive()):
                break
            output = stream.feed(data)
            del data
        if client.is_full and not (stream.is_over or answer.is_complete):
            await _room(answer, client)
        await pass_on(output)
        # Nothing of an event is kept until the next one, which may take its time.
        output = b""
        if stream.is_over:
            if not stream.is_cut:
                await drain(answer)
            return
    await pass_on(stream.end())


async def _room(answer: UpstreamAnswer, client: Client) -> None:
    """Until the client reads again, or nothing more is to come from upstream."""
    waits = (asyncio.create_task(client.drained()), asyncio.create_task(answer.ended()))
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
