"""What the simulated upstream was sent, kept for tests and for the curious."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

KEPT_REQUESTS = 100


class Ending(Enum):
    """What became of an answer."""

    COMPLETE = "complete"
    CUT = "cut"
    ABANDONED = "abandoned"


@dataclass(slots=True, eq=False)
class ReceivedRequest:
    """One request as it arrived, and how its answer ended; `body` is None when it was no JSON."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any = None
    ending: Ending | None = None
    _finished: asyncio.Event = field(default_factory=asyncio.Event)

    def finish(self, ending: Ending) -> None:
        """Note that nothing more will be sent."""
        self.ending = ending
        self._finished.set()

    async def finished(self) -> Ending | None:
        """How the answer ended, once it has."""
        await self._finished.wait()
        return self.ending
