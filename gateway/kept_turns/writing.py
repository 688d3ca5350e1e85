"""The queue of writes to the backing: what arrives during a write goes into the next batch."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from gateway.kept_turns.backing import Backing, Change
from gateway.kept_turns.guard import Guard

# The largest batch, and the most that may wait; what exceeds it stays in memory only.
MOST_BATCH_BYTES: Final = 4 * 1024 * 1024
MOST_BATCH_CHANGES: Final = 1000
MOST_WAITING_BYTES: Final = 16 * 1024 * 1024
# While writes fail, at most this many deletions are kept for later.
MOST_OWED: Final = 10_000
# How long `close` waits for pending writes.
CLOSE_SECONDS: Final = 5.0


class _Waiting(NamedTuple):
    change: Change
    done: "asyncio.Future[bool] | None"


class WriteQueue:
    """Writes changes in order, one batch at a time; of several changes of a key only the last."""

    def __init__(self, backing: Backing, guard: Guard) -> None:
        self._backing = backing
        self._guard = guard
        self._waiting: dict[bytes, _Waiting] = {}
        self._bytes = 0
        self._gone: set[bytes] = set()
        self._work: asyncio.Task[None] | None = None

    def put(self, key: bytes, value: bytes, moment: float) -> "asyncio.Future[bool] | None":
        """Queue a value; the future tells whether it was written. None: it will not be written."""
        if self._bytes + len(value) > MOST_WAITING_BYTES or not self._guard.allows():
            return None
        earlier = self._waiting.get(key)
        done = (earlier and earlier.done) or asyncio.get_running_loop().create_future()
        self._add(Change(key, value, moment), done)
        self._gone.discard(key)
        self._begin()
        return done

    def forget(self, keys: Iterable[bytes], moment: float) -> None:
        """Queue the deletion of these keys."""
        for key in keys:
            earlier = self._waiting.get(key)
            self._add(Change(key, None, moment), earlier.done if earlier else None)
            self._gone.add(key)
        if self._guard.allows():
            self._begin()

    def is_forgotten(self, key: bytes) -> bool:
        """Whether the deletion of this key is still pending."""
        return key in self._gone

    async def close(self) -> None:
        """Write what is pending, within a time limit."""
        if self._waiting and self._guard.is_tolerant:
            self._begin()
        if self._work is not None:
            await asyncio.wait({self._work}, timeout=CLOSE_SECONDS)

    def _add(self, change: Change, done: "asyncio.Future[bool] | None") -> None:
        earlier = self._waiting.pop(change.key, None)
        self._bytes += _size(change) - (_size(earlier.change) if earlier else 0)
        self._waiting[change.key] = _Waiting(change, done)

    def _begin(self) -> None:
        if self._work is None:
            self._work = asyncio.create_task(self._write_all())

    async def _write_all(self) -> None:
        try:
            while batch := self._take():
                if not await self._write(batch):
                    return
        finally:
            # Not in a done callback: changes added before it runs would wait until the next change.
            self._work = None

    async def _write(self, batch: Sequence[_Waiting]) -> bool:
        """Write one batch; whether to continue with the next one."""
        try:
            await self._backing.write([waiting.change for waiting in batch])
        except Exception as error:
            self._guard.failed(error)
            # While writes fail, nobody should wait for them.
            self._give_up([*batch, *self._take_all()])
            return False
        self._guard.succeeded()
        self._settle(batch)
        return True

    def _take(self) -> list[_Waiting]:
        """The next batch, oldest changes first."""
        batch: list[_Waiting] = []
        size = 0
        for waiting in self._waiting.values():
            size += _size(waiting.change)
            if batch and (size > MOST_BATCH_BYTES or len(batch) >= MOST_BATCH_CHANGES):
                break
            batch.append(waiting)
        for waiting in batch:
            del self._waiting[waiting.change.key]
            self._bytes -= _size(waiting.change)
        return batch

    def _take_all(self) -> list[_Waiting]:
        batch = [*self._waiting.values()]
        self._waiting.clear()
        self._bytes = 0
        return batch

    def _settle(self, batch: Sequence[_Waiting]) -> None:
        for waiting in batch:
            key = waiting.change.key
            if key not in self._waiting:
                self._gone.discard(key)
            _wake(waiting, is_written=True)

    def _give_up(self, batch: Sequence[_Waiting]) -> None:
        """Drop values, which then are only in memory; keep deletions for later, up to a maximum."""
        for waiting in batch:
            change = waiting.change
            if change.value is None and len(self._waiting) < MOST_OWED:
                self._add(change, None)
            elif change.value is None:
                self._gone.discard(change.key)
            _wake(waiting, is_written=False)


def _size(change: Change) -> int:
    return len(change.value) if change.value is not None else 0


def _wake(waiting: _Waiting, *, is_written: bool) -> None:
    if waiting.done is not None and not waiting.done.done():
        waiting.done.set_result(is_written)
