"""`Records`, which hold stored responses and conversations: in SQLite or Valkey, or else in this process's memory."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from gateway.kept_turns.guard import Guard, Report, reason_of
from gateway.kept_turns.record_memory import RecordMemory
from gateway.service.ports import Appended, RecordsUnavailableError

# No request waits longer for one query.
ANSWER_SECONDS: Final = 2.0

T = TypeVar("T")


class RecordBacking(Protocol):
    """A database or server. Each method does what its namesake in `Records` does, and raises only `TroubleError`."""

    @property
    def largest(self) -> int:
        """The size limit of a value."""
        ...

    async def open(self) -> None: ...

    async def put(self, key: bytes, value: bytes, renewed: Sequence[bytes]) -> None: ...

    async def replace(self, key: bytes, value: bytes) -> bool: ...

    async def fetch(self, keys: Sequence[bytes]) -> dict[bytes, bytes]: ...

    async def delete(self, key: bytes) -> bool: ...

    async def append(self, key: bytes, entries: Sequence[tuple[bytes, bytes]]) -> Appended: ...

    async def names(self, key: bytes) -> list[bytes]: ...

    async def entries(self, key: bytes, names: Sequence[bytes] | None) -> dict[bytes, bytes]: ...

    async def remove(self, key: bytes, name: bytes) -> bool: ...

    async def close(self) -> None: ...


@dataclass(slots=True)
class RecordCounts:
    """Counts since the start: `refused` values are too large, `not_written` ones are only in this process's memory."""

    kept: int = 0
    deleted: int = 0
    refused: int = 0
    not_written: int = 0


@dataclass(frozen=True, slots=True)
class RecordView:
    """What `/admin/store` shows of the records."""

    place: str
    in_memory: int
    bytes: int
    most_bytes: int
    counts: RecordCounts


class KeptRecords:
    """`Records` whose backing a reload may replace.

    A record stays where it was first written: in the backing, or in this process's memory if there was no backing or
    it failed at that moment.
    """

    def __init__(
        self,
        memory: RecordMemory,
        backing: RecordBacking | None = None,
        *,
        place: str = "memory",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counts = RecordCounts()
        self.memory = memory
        self._backing = backing
        self._place = place
        self._clock = clock
        self._guard = Guard("responses", Report(place, clock), clock)

    @property
    def is_well(self) -> bool:
        """Whether the last use of the backing succeeded; True without one."""
        return self._guard.is_well

    @property
    def is_shared(self) -> bool:
        return self._backing is not None

    async def start(self) -> None:
        """Open the backing, so that the log reports failures before the first request meets them."""
        if self._backing is not None:
            try:
                await self._backing.open()
            except Exception as error:
                self._guard.failed(error)

    def replace_by(self, other: "KeptRecords") -> "KeptRecords":
        """Become the other one, except for the counts; returns what this was, to be closed."""
        old = KeptRecords(self.memory, self._backing, place=self._place, clock=self._clock)
        other.memory.adopt(self.memory, self._clock())
        self.memory, self._backing, self._place, self._guard = other.memory, other._backing, other._place, other._guard
        return old

    def view(self) -> RecordView:
        memory = self.memory
        return RecordView(self._place, len(memory), memory.size, memory.most_bytes, self.counts)

    async def put(self, key: bytes, value: bytes, renewed: Sequence[bytes] = ()) -> bool:
        is_here = self._is_here(key)
        is_kept = not is_here and await self._put_behind(key, value, renewed)
        if not is_kept:
            is_kept = self.memory.put(key, value, renewed, self._clock())
            self.counts.not_written += is_kept and self._backing is not None
        self.counts.kept += is_kept
        # With `kind: off` the memory has no room, and nothing counts as refused.
        self.counts.refused += not is_kept and self.memory.most_bytes > 0
        return is_kept

    async def replace(self, key: bytes, value: bytes) -> bool:
        if self._is_here(key):
            return self.memory.replace(key, value, self._clock())
        if self._backing is not None and len(value) > self._backing.largest:
            return False
        return await self._ask(lambda backing: backing.replace(key, value), missing=False)

    async def fetch(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        found = self.memory.fetch(keys, self._clock())
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        if missing:
            nothing: dict[bytes, bytes] = {}
            found |= await self._ask(lambda backing: backing.fetch(missing), missing=nothing)
        return found

    async def delete(self, key: bytes) -> bool:
        is_deleted = self.memory.delete(key, self._clock())
        try:
            # Also when memory had it: a write that timed out may have succeeded after all.
            is_deleted |= await self._ask(lambda backing: backing.delete(key), missing=False)
        except RecordsUnavailableError:
            if not is_deleted:
                raise
        self.counts.deleted += is_deleted
        return is_deleted

    async def append(self, key: bytes, entries: Sequence[tuple[bytes, bytes]]) -> Appended:
        if self._is_here(key):
            return self.memory.append(key, entries, self._clock())
        return await self._ask(lambda backing: backing.append(key, entries), missing=Appended.NO_RECORD)

    async def names(self, key: bytes) -> list[bytes]:
        if self._is_here(key):
            return [*self.memory.entries(key, self._clock())]
        nothing: list[bytes] = []
        return await self._ask(lambda backing: backing.names(key), missing=nothing)

    async def entries(self, key: bytes, names: Sequence[bytes] | None = None) -> dict[bytes, bytes]:
        if self._is_here(key):
            found = self.memory.entries(key, self._clock())
            wanted = found.keys() if names is None else set(names)
            return {name: value for name, value in found.items() if name in wanted}
        nothing: dict[bytes, bytes] = {}
        return await self._ask(lambda backing: backing.entries(key, names), missing=nothing)

    async def remove(self, key: bytes, name: bytes) -> bool:
        if self._is_here(key):
            return self.memory.remove(key, name, self._clock())
        return await self._ask(lambda backing: backing.remove(key, name), missing=False)

    async def close(self) -> None:
        """Close the backing; a later call opens it again."""
        if self._backing is not None:
            await self._backing.close()

    def _is_here(self, key: bytes) -> bool:
        return self.memory.has(key, self._clock())

    async def _put_behind(self, key: bytes, value: bytes, renewed: Sequence[bytes]) -> bool:
        is_too_large = self._backing is not None and len(value) > self._backing.largest
        try:
            if is_too_large:
                # Otherwise other processes would find an older value.
                await self._ask(lambda backing: backing.delete(key), missing=False)
            else:
                await self._ask(lambda backing: backing.put(key, value, renewed), missing=None)
        except RecordsUnavailableError:
            return False
        return self._backing is not None and not is_too_large

    async def _ask(self, question: Callable[[RecordBacking], Awaitable[T]], missing: T) -> T:
        """Ask the backing, if there is one, within the time limit."""
        if self._backing is None:
            return missing
        if not self._guard.allows():
            raise RecordsUnavailableError("the store failed a moment ago, and is tried again soon")
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await question(self._backing)
        except Exception as error:
            self._guard.failed(error)
            raise RecordsUnavailableError(reason_of(error)) from error
        self._guard.succeeded()
        return answer
