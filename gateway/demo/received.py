"""The requests that the simulated upstream received, for tests and for inspection."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from gateway.demo.credentials import Account

KEPT_REQUESTS = 100


class Ending(Enum):
    """How an answer ended."""

    COMPLETE = "complete"
    CUT = "cut"
    ABANDONED = "abandoned"


@dataclass(slots=True, eq=False)
class ReceivedRequest:
    """One request as it arrived, and its answer; `body` is None if it was not JSON.

    `answer` is the whole message or error, even if only a part of it was sent.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: Any = None
    account: Account | None = None
    status: int | None = None
    answer: Any = None
    ending: Ending | None = None
    _finished: asyncio.Event = field(default_factory=asyncio.Event)

    def answered(self, status: int, answer: Any) -> None:
        """Record the answer."""
        self.status, self.answer = status, answer

    def finish(self, ending: Ending) -> None:
        """Record how the answer ended; nothing more is sent."""
        self.ending = ending
        self._finished.set()

    async def finished(self) -> Ending | None:
        """Wait for the end of the answer."""
        await self._finished.wait()
        return self.ending
