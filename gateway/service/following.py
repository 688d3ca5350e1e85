"""Follows the events of a response in the background, in any worker: those that were, then those to come."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from gateway.service.event_log import Batch, EventLog, WrittenEvents, count_of
from gateway.service.ports import Records
from gateway.service.responses import StoredResponse, answered
from gateway.service.runs import RunKeys, Runs
from translators.responses.events import last_events

# How often the storage is asked for another worker's events: by one who follows, and by all of them together.
POLL_SECONDS: Final = 0.5
MOST_POLLS_A_SECOND: Final = 100.0


class Piece(NamedTuple):
    """Whole events, or none if there was nothing for a while; `next` is the number of the event after them."""

    events: bytes
    next: int


@dataclass(slots=True)
class Polls:
    """Those who ask the storage at the moment."""

    sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep
    count: int = 0

    async def pause(self) -> float:
        """Wait until one of them may ask again; returns the seconds."""
        self.count += 1
        seconds = max(POLL_SECONDS, self.count / MOST_POLLS_A_SECOND)
        try:
            await self.sleep(seconds)
        finally:
            self.count -= 1
        return seconds


class Follower:
    """One reader of one response; `log` is there if this process makes it, `find` returns the response as it is now."""

    def __init__(
        self,
        records: Records,
        runs: Runs,
        keys: RunKeys,
        log: EventLog | None,
        find: Callable[[], Coroutine[Any, Any, StoredResponse | None]],
        polls: Polls,
    ) -> None:
        self._runs = runs
        self._keys = keys
        self._log = log
        self._find = find
        self._polls = polls
        self._written = WrittenEvents(records, keys.run)

    async def follow(self, number: int, silence_seconds: float) -> AsyncGenerator[Piece, None]:
        """The events from this number on, to the end; an empty piece after each silence of so many seconds.

        If the end was not kept, or the worker has died before it, it is made from the stored response.
        """
        silent_for = 0.0
        while True:
            # Asked before reading: what a run has said is there when it is over.
            is_alive = await self._is_alive()
            batch = await self._read(number)
            if batch is not None and batch.events:
                number += count_of(batch.events)
                silent_for = 0.0
                yield Piece(batch.events, number)
            elif not (is_alive or (batch is not None and batch.is_last)):
                if (record := await self._find()) is not None:
                    end = last_events(record.response, number)
                    yield Piece(end, number + count_of(end))
                return
            if batch is not None and batch.is_last:
                return
            if batch is None or not batch.events:
                silent_for += await self._pause(batch, silence_seconds - silent_for)
                if silent_for >= silence_seconds:
                    silent_for = 0.0
                    yield Piece(b"", number)

    async def _is_alive(self) -> bool:
        return not self._log.is_ended if self._log is not None else await self._runs.is_alive(self._keys)

    async def _read(self, number: int) -> Batch | None:
        if self._log is not None and (batch := self._log.read(number)) is not None:
            return batch
        return await answered(self._written.read(number))

    async def _pause(self, batch: Batch | None, seconds: float) -> float:
        """Wait for more; returns how long that was silence."""
        if self._log is None or batch is None:
            # Another worker's, or no longer in memory and not written yet.
            return await self._polls.pause()
        return 0.0 if await self._log.news(seconds) else seconds
