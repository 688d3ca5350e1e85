"""What waits to be written behind the memory: all that has come meanwhile goes in one piece."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from gateway.store.backing import Backing, Change
from gateway.store.guard import Guard

# So much is written in one piece, and so much may wait; beyond that the memory has to do.
MOST_BATCH_BYTES: Final = 4 * 1024 * 1024
MOST_BATCH_CHANGES: Final = 1000
MOST_WAITING_BYTES: Final = 16 * 1024 * 1024
# So many keys to forget are kept for better times.
MOST_OWED: Final = 10_000
# At the end so much time is left for what still waits.
CLOSE_SECONDS: Final = 5.0


class _Waiting(NamedTuple):
    change: Change
    done: "asyncio.Future[bool] | None"


class WriteQueue:
    """Writes changes in their order, of several for one key only the last; one batch at a time."""

    def __init__(self, backing: Backing, guard: Guard) -> None:
        self._backing = backing
        self._guard = guard
        self._waiting: dict[bytes, _Waiting] = {}
        self._bytes = 0
        self._gone: set[bytes] = set()
        self._work: asyncio.Task[None] | None = None

    def put(self, key: bytes, value: bytes, moment: float) -> "asyncio.Future[bool] | None":
        """Have a value written; what is given back says whether it was, when that is known. None: it will not be."""
        if self._bytes + len(value) > MOST_WAITING_BYTES or not self._guard.allows():
            return None
        earlier = self._waiting.get(key)
        done = (earlier and earlier.done) or asyncio.get_running_loop().create_future()
        self._add(Change(key, value, moment), done)
        self._gone.discard(key)
        self._begin()
        return done

    def forget(self, keys: Iterable[bytes], moment: float) -> None:
        """Have what is under these keys removed."""
        for key in keys:
            earlier = self._waiting.get(key)
            self._add(Change(key, None, moment), earlier.done if earlier else None)
            self._gone.add(key)
        if self._guard.allows():
            self._begin()

    def is_forgotten(self, key: bytes) -> bool:
        """Whether what may still be found under it has to be removed."""
        return key in self._gone

    async def close(self) -> None:
        """Write what waits, as long as that takes a reasonable time."""
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
            # Not in a callback of the task: what is added before that runs would wait for the next change.
            self._work = None

    async def _write(self, batch: Sequence[_Waiting]) -> bool:
        """Write one batch; whether to go on with the next one."""
        try:
            await self._backing.write([waiting.change for waiting in batch])
        except Exception as error:
            self._guard.failed(error)
            # Whoever waits need not, while what is written fails.
            self._give_up([*batch, *self._take_all()])
            return False
        self._guard.succeeded()
        self._settle(batch)
        return True

    def _take(self) -> list[_Waiting]:
        """The next piece: the changes that came first."""
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
        """Values are only in the memory then; what is to be forgotten waits for better times, up to a number."""
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
