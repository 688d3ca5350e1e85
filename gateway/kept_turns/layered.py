"""The store: a memory in front, and optionally a backing that outlives this process."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.kept_turns.backing import Backing, Found
from gateway.kept_turns.guard import Guard, Report
from gateway.kept_turns.memory import Absent, Memory
from gateway.kept_turns.writing import WriteQueue

# No request waits longer for the backing.
FETCH_SECONDS: Final = 1.0
PUT_SECONDS: Final = 1.0


@dataclass(slots=True)
class Counts:
    """Counts since the start: `unreadable` values could not be decrypted, `refused` ones are too large.

    `not_written` values are only in memory, because the backing could not take them.
    """

    unreadable: int = 0
    refused: int = 0
    not_written: int = 0


@dataclass(frozen=True, slots=True)
class StoreView:
    """What `/admin/store` shows of a store."""

    place: str
    entries: int
    bytes: int
    most_bytes: int
    counts: Counts


class LayeredStore:
    """A `Store`: `clock` is monotonic, `wall` gives seconds since 1970 as other processes know them."""

    def __init__(
        self,
        memory: Memory,
        backing: Backing | None = None,
        *,
        keep_seconds: float,
        place: str = "memory",
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.counts = Counts()
        self.memory = memory
        self._place = place
        self._backing = backing
        self._keep_seconds = keep_seconds
        self._clock = clock
        self._wall = wall
        self._absent = Absent()
        self._report = Report(place, clock)
        self._reading = Guard("reading", self._report, clock)
        self._writing = Guard("writing", self._report, clock)
        self._writes = WriteQueue(backing, self._writing) if backing is not None else None
        # For each running read, the keys that were forgotten since it began.
        self._reads: dict[object, set[bytes]] = {}

    async def start(self) -> None:
        """Open the backing, so that the log reports failures before the first request meets them."""
        if self._backing is not None:
            try:
                await self._backing.open()
            except Exception as error:
                # Opening counts as writing, so the next successful write logs that the store works again.
                self._writing.failed(error)

    @property
    def is_well(self) -> bool:
        """Whether the last uses of the backing succeeded; True without one."""
        return self._reading.is_well and self._writing.is_well

    def view(self) -> StoreView:
        memory = self.memory
        return StoreView(self._place, len(memory), memory.size, memory.most_bytes, self.counts)

    def adopt(self, other: "LayeredStore") -> None:
        """Take over the entries of another store's memory."""
        self.memory.adopt(other.memory, self._clock())

    def peek(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values that are in memory, without waiting."""
        now = self._clock()
        get = self.memory.get
        found = {}
        for key in keys:
            value = get(key, now)
            if value is not None:
                found[key] = value
        return found

    async def fetch(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The values of these keys; a failure of the backing is a miss."""
        found = self.peek(keys)
        if self._writes is None or len(found) == len(keys):
            return found
        now = self._clock()
        missing = [key for key in dict.fromkeys(keys) if key not in found and self._may_be_behind(key, now)]
        if missing and self._reading.allows():
            found |= await self._from_behind(missing)
        return found

    async def put(self, key: bytes, value: bytes) -> bool:
        """Keep a value; False if it is too large. Returns when other processes can find it, or after a time limit."""
        self._absent.discard(key)
        if not self.memory.put(key, value, self._clock()):
            # With `kind: off` the memory has no room, and nothing counts as refused.
            self.counts.refused += self.memory.most_bytes > 0
            self.forget((key,))
            return False
        if self._writes is not None and self._backing is not None and len(value) <= self._backing.largest:
            await self._write(self._backing, self._writes, key, value)
        return True

    def forget(self, keys: Sequence[bytes]) -> None:
        """Remove these from memory now, and from the backing soon."""
        for key in keys:
            self.memory.forget(key)
        for forgotten in self._reads.values():
            forgotten.update(keys)
        if self._writes is not None:
            self._writes.forget(keys, self._wall())

    async def close(self) -> None:
        """Write what is pending, and close the backing."""
        if self._writes is not None and self._backing is not None:
            self._backing.used(self.memory.take_used())
            await self._writes.close()
            await self._backing.close()

    async def _write(self, backing: Backing, writes: WriteQueue, key: bytes, value: bytes) -> None:
        """Write a value to the backing; returns when it is written, when that fails, or after a time limit."""
        backing.used(self.memory.take_used())
        done = writes.put(key, value, self._wall())
        if done is None:
            self.counts.not_written += 1
            return
        await asyncio.wait({done}, timeout=PUT_SECONDS)
        if not done.done():
            self._writing.failed(TimeoutError())
        elif not done.result():
            self.counts.not_written += 1

    def _may_be_behind(self, key: bytes, now: float) -> bool:
        assert self._writes is not None
        return not self._absent.knows(key, now) and not self._writes.is_forgotten(key)

    async def _from_behind(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        assert self._backing is not None
        reading = object()
        forgotten = self._reads[reading] = set()
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                read = await self._backing.read(keys)
        except Exception as error:
            self._reading.failed(error)
            return {}
        finally:
            del self._reads[reading]
        self._reading.succeeded()
        return self._taken_in(keys, read, forgotten)

    def _taken_in(self, keys: Sequence[bytes], read: Found, forgotten: set[bytes]) -> dict[bytes, bytes]:
        """Put what was read into memory as well, unless a newer value was put meanwhile."""
        now, today = self._clock(), self._wall()
        taken: dict[bytes, bytes] = {}
        for key in keys:
            value = self.memory.get(key, now)
            if value is None and key in read.values and key not in forgotten:
                value = self._not_too_old(key, *read.values[key], now, today)
            if value is not None:
                taken[key] = value
        self._absent.add((key for key in keys if key not in taken and key not in forgotten), now)
        if read.unreadable:
            self.counts.unreadable += read.unreadable
            self._report.unreadable(read.unreadable)
        return taken

    def _not_too_old(self, key: bytes, value: bytes, moment: float, now: float, today: float) -> bytes | None:
        age = max(0.0, today - moment)
        if age >= self._keep_seconds:
            return None
        self.memory.put(key, value, now, age)
        return value
