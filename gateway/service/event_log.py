"""The events of a response in the background: written in batches, and read again from any number on.

A batch is an entry of the run's record. Its name is the number of its first event, so the next one is found without
looking through the others.
"""

import asyncio
import zlib
from bisect import bisect_right
from collections import deque
from typing import Final, NamedTuple

from gateway.service.ports import Appended, Records, RecordsUnavailableError

# A batch is written after this time, or after a part of the time that the response has taken if that is longer: so
# even hours fit into the entries that a record may have.
BATCH_SECONDS: Final = 0.5
_BATCH_SHARE: Final = 500
BATCH_BYTES: Final = 64 * 1024
# Of one response. Beyond that its events are no longer kept: who replays them gets the end from the stored response.
MOST_BYTES: Final = 16 * 2**20
# What waits for a slow storage, and what is in memory for those who follow.
MOST_WAITING_BYTES: Final = 2**20
TAIL_BYTES: Final = 128 * 1024
_NAME_BYTES: Final = 16
# Events repeat their names and ids: packed, they take a tenth of the space. A large batch would hold up the event loop.
_PACKED_BYTES: Final = 256 * 1024
_FASTEST: Final = 1
# What stands before the events: whether they are the last ones, and packed.
_IS_LAST: Final = 1
_IS_PACKED: Final = 2
_SEPARATOR: Final = b"\n\n"


class Batch(NamedTuple):
    """Whole events; `is_last` says that no others follow."""

    events: bytes
    is_last: bool = False


class EventLog:
    """Takes the events of one response in order, and writes them one batch after another."""

    def __init__(self, records: Records, key: bytes) -> None:
        self._records = records
        self._key = key
        self._loop = asyncio.get_running_loop()
        self._began_at = self._loop.time()
        self.next = 0
        self.is_ended = False
        # The latest pieces, each with the number of its first event.
        self._tail: deque[tuple[int, bytes]] = deque()
        self._tail_bytes = 0
        # The batch that is being filled, and those that are not written yet.
        self._open: list[bytes] = []
        self._open_from = 0
        self._open_bytes = 0
        self._unwritten: list[tuple[bytes, bytes]] = []
        self._bytes = 0
        self._is_kept = True
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._news: asyncio.Event | None = None

    def add(self, events: bytes) -> None:
        """Take whole events."""
        first = self.next
        self.next += count_of(events)
        self._tail.append((first, events))
        self._tail_bytes += len(events)
        while self._tail_bytes > TAIL_BYTES and len(self._tail) > 1:
            self._tail_bytes -= len(self._tail.popleft()[1])
        if self._is_kept:
            self._open.append(events)
            self._open_bytes += len(events)
            self._bytes += len(events)
            if self._bytes > MOST_BYTES or self._open_bytes - len(events) > MOST_WAITING_BYTES:
                self._give_up()
            elif self._open_bytes >= BATCH_BYTES:
                self._write()
            elif self._timer is None:
                self._timer = self._loop.call_later(self._pause(), self._write)
        self._tell()

    async def flush(self) -> None:
        """Write what there is; when it returns, other workers can read it, unless the storage fails."""
        while self._writing is not None:
            await asyncio.wait({self._writing})
        self._write()
        if self._writing is not None:
            await asyncio.wait({self._writing})

    async def end(self) -> None:
        """No event follows: write the rest, and say so."""
        while self._writing is not None:
            await asyncio.wait({self._writing})
        self._stop_timer()
        if self._is_kept:
            self._close_batch(is_last=True)
            await self._write_all()
        self.is_ended = True
        self._tell()

    def read(self, number: int) -> Batch | None:
        """The events from this number on, empty if there are none yet; None if they are no longer in memory."""
        if number >= self.next:
            return Batch(b"", self.is_ended)
        if not self._tail or number < self._tail[0][0]:
            return None
        place = bisect_right(self._tail, number, key=lambda piece: piece[0]) - 1
        pieces = [events for _, events in list(self._tail)[place:]]
        pieces[0] = after(pieces[0], number - self._tail[place][0])
        return Batch(b"".join(pieces), self.is_ended)

    async def news(self, seconds: float) -> bool:
        """Wait until something is added, or the end; False if nothing was within this time."""
        if self.is_ended:
            return True
        if self._news is None:
            self._news = asyncio.Event()
        try:
            async with asyncio.timeout(seconds):
                return await self._news.wait()
        except TimeoutError:
            return False

    def _pause(self) -> float:
        return max(BATCH_SECONDS, (self._loop.time() - self._began_at) / _BATCH_SHARE)

    def _write(self) -> None:
        """Begin to write, unless that is going on: then what has come meanwhile is written behind it."""
        if self._writing is not None:
            return
        self._stop_timer()
        if self._open:
            self._close_batch()
        if self._unwritten and self._is_kept:
            self._writing = self._loop.create_task(self._write_all())
            self._writing.add_done_callback(self._written)

    def _written(self, _: object) -> None:
        self._writing = None
        if (self._open or self._unwritten) and self._is_kept and self._timer is None:
            self._timer = self._loop.call_later(self._pause(), self._write)

    async def _write_all(self) -> None:
        """Write the closed batches. If the storage fails they are written again later, each as it was."""
        entries = [*self._unwritten]
        try:
            appended = await self._records.append(self._key, entries)
        except RecordsUnavailableError:
            if sum(len(events) for _, events in entries) > MOST_WAITING_BYTES:
                self._give_up()
            return
        del self._unwritten[: len(entries)]
        if appended is not Appended.KEPT:
            self._give_up()

    def _close_batch(self, *, is_last: bool = False) -> None:
        first = self._open_from if self._open else self.next
        self._unwritten.append((name_of(first), _written(Batch(b"".join(self._open), is_last))))
        self._open, self._open_bytes, self._open_from = [], 0, self.next

    def _give_up(self) -> None:
        self._is_kept = False
        self._open, self._unwritten = [], []
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell(self) -> None:
        if self._news is not None:
            self._news.set()
            self._news = None


class WrittenEvents:
    """Reads the events that were written, from one number on to the next."""

    def __init__(self, records: Records, key: bytes) -> None:
        self._records = records
        self._key = key
        # The number at which a batch is known to begin, if it is written.
        self._begins_at: int | None = None

    async def read(self, number: int) -> Batch | None:
        """The next events from this number on; None if they are not there. Raises `RecordsUnavailableError`."""
        first = number if number == self._begins_at else await self._batch_with(number)
        if first is None:
            return None
        found = await self._records.entries(self._key, [name_of(first)])
        if not found:
            return None
        events, is_last = _read(found[name_of(first)])
        end = first + count_of(events)
        if number >= end:
            return Batch(b"", is_last) if is_last else None
        self._begins_at = end
        return Batch(after(events, number - first), is_last)

    async def _batch_with(self, number: int) -> int | None:
        names = [int.from_bytes(name, "big") for name in await self._records.names(self._key)]
        place = bisect_right(names, number)
        return names[place - 1] if place else None


def _written(batch: Batch) -> bytes:
    """A batch as it is stored."""
    is_packed = len(batch.events) <= _PACKED_BYTES
    mark = _IS_LAST * batch.is_last + _IS_PACKED * is_packed
    return bytes((mark,)) + (zlib.compress(batch.events, _FASTEST) if is_packed else batch.events)


def _read(value: bytes) -> Batch:
    """The batch that was stored."""
    events = zlib.decompress(value[1:]) if value[0] & _IS_PACKED else value[1:]
    return Batch(events, bool(value[0] & _IS_LAST))


def name_of(number: int) -> bytes:
    """The name of the batch that begins with this event."""
    return number.to_bytes(_NAME_BYTES, "big")


def count_of(events: bytes) -> int:
    """How many events these are: each ends with a blank line, and has none within."""
    return events.count(_SEPARATOR)


def after(events: bytes, count: int) -> bytes:
    """The events without the first `count`."""
    return events if not count else events.split(_SEPARATOR, count)[count]
