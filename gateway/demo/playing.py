"""Sending an answer over time: pieces with pauses, until the end, an ordered cut, or a disconnect."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.demo.received import Ending, ReceivedRequest

# uvicorn logs this if an app drops a connection, which the demo does on purpose.
DROPPED_ON_PURPOSE = "ASGI callable returned without completing response."


class Performance(Response):
    """A response that is sent over time; how it ended is recorded in the received request."""

    def __init__(
        self,
        pieces: Iterable[bytes],
        *,
        headers: Mapping[str, str],
        request: ReceivedRequest,
        lead_seconds: float,
        pause_seconds: float,
        cut: bool = False,
    ) -> None:
        # As in StreamingResponse: there is no body here, so only the caller knows its length.
        self.status_code = 200
        self.background = None
        self.init_headers(headers)
        self.pieces = pieces
        self.request = request
        self.lead_seconds = lead_seconds
        self.pause_seconds = pause_seconds
        self.cut = cut

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(_departure(receive))
        ending = Ending.ABANDONED
        try:
            ending = await self._play(send, gone)
        finally:
            gone.cancel()
            self.request.finish(ending)

    async def _play(self, send: Send, gone: asyncio.Future[None]) -> Ending:
        await _pause(gone, self.lead_seconds)
        if gone.done():
            return Ending.ABANDONED
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for piece in self.pieces:
            # Pause first: a client that leaves after the last piece has received everything.
            await _pause(gone, self.pause_seconds)
            if gone.done():
                return Ending.ABANDONED
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if self.cut:
            return Ending.CUT
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return Ending.COMPLETE


async def _departure(receive: Receive) -> None:
    """Wait until the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _pause(gone: asyncio.Future[None], seconds: float) -> None:
    """Wait this long, or until the client has disconnected."""
    await asyncio.wait({gone}, timeout=seconds)
