"""The requests that the simulated upstream received, for tests and for inspection."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from gateway.demo.credentials import Account

KEPT_REQUESTS = 100
_THOUGHTS = ("thinking", "redacted_thinking")


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

    @property
    def thoughts(self) -> list[dict[str, Any]]:
        """The thinking blocks in the conversation, including redacted ones."""
        messages = _field(self.body, "messages")
        blocks = [block for message in _listed(messages) for block in _listed(_field(message, "content"))]
        return [block for block in blocks if _field(block, "type") in _THOUGHTS]

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


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
