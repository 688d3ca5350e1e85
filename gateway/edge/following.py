"""Sends the events of a response that is made elsewhere, as they come."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from gateway.edge.responder import Responder
from translators.errors import Failure
from translators.responses.events import error_event

# A comment: these events have the numbers that they had at first, so none can be added.
_SIGN_OF_LIFE: Final = b": keep-alive\n\n"


async def send_events(responder: Responder, pieces: AsyncGenerator[tuple[bytes, int]], first: int) -> None:
    """Send them to their end; each piece comes with the number of the event behind it, an empty one after a silence."""
    number = first

    def failed(failure: Failure) -> bytes:
        """What cannot be followed any more: the response itself has not failed."""
        return error_event(failure, number)

    responder.failure_event = failed
    async with aclosing(pieces):
        async for events, number in pieces:  # noqa: B007 - for the failure
            if not responder.has_begun:
                await responder.begin_stream()
            await responder.write(events or _SIGN_OF_LIFE)
    if not responder.has_begun:
        await responder.begin_stream()
    await responder.finish()
