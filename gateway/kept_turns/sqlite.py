"""The SQLite backing: one thread reads and one writes, so the event loop never waits for the disk."""

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from gateway.kept_turns.backing import Change, Found, TroubleError
from gateway.kept_turns.database import Database, Row, Work
from gateway.kept_turns.files import DatabaseFiles
from gateway.kept_turns.lane import Lane
from gateway.kept_turns.memory import USE_SECONDS
from gateway.kept_turns.sealing import OVERHEAD_BYTES, CannotOpenError, Sealer
from gateway.kept_turns.sqlite_file import Bounds

# At most this many times of use wait for the next write.
_MOST_USED: Final = 10_000


class _Read(NamedTuple):
    found: Found
    long_unused: list[bytes]


class SqliteBacking:
    """A `Backing` in an SQLite file, which several processes may share."""

    def __init__(self, files: DatabaseFiles[Database], bounds: Bounds, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._reader = Lane("store-reader", files)
        self._writer = Lane("store-writer", files)
        self._largest = bounds.largest - OVERHEAD_BYTES
        self._used: dict[bytes, None] = {}

    @property
    def largest(self) -> int:
        """A larger value would take too much of the file's size limit."""
        return self._largest

    async def open(self) -> None:
        """Open the file, and delete expired rows."""
        await self.write(())

    async def read(self, keys: Sequence[bytes]) -> Found:
        oldest = self._wall() - USE_SECONDS
        read = await self._reader.run(lambda database, sealer: _read(database, sealer, keys, oldest))
        self.used(read.long_unused)
        return read.found

    async def write(self, changes: Sequence[Change]) -> None:
        used, self._used = [*self._used], {}
        now = self._wall()
        await self._writer.run(lambda database, sealer: _write(database, sealer, changes, used, now))

    def used(self, keys: Sequence[bytes]) -> None:
        """Record with the next write that these were used."""
        if len(self._used) < _MOST_USED:
            self._used.update(dict.fromkeys(keys))

    async def close(self) -> None:
        if self._used and (self._reader.is_open or self._writer.is_open):
            # Losing times of use is not worth a warning.
            with contextlib.suppress(TroubleError):
                await self.write(())
        # In sequence: only the last connection to close writes the log into the database.
        await self._reader.close()
        await self._writer.close()


def _read(database: Database, sealer: Sealer, keys: Sequence[bytes], oldest: float) -> _Read:
    keys_by_place = {sealer.place(key): key for key in keys}
    values: dict[bytes, tuple[bytes, float]] = {}
    unreadable = 0
    long_unused = []
    for row in database.read([*keys_by_place]):
        key = keys_by_place[row.place]
        try:
            values[key] = sealer.open(key, row.sealed)
        except CannotOpenError:
            unreadable += 1
            continue
        if row.used_at < oldest:
            long_unused.append(key)
    return _Read(Found(values, unreadable), long_unused)


def _write(database: Database, sealer: Sealer, changes: Sequence[Change], used: Sequence[bytes], now: float) -> None:
    rows = [
        Row(sealer.place(change.key), sealer.seal(change.key, change.value, change.moment), now)
        for change in changes
        if change.value is not None
    ]
    gone = [sealer.place(change.key) for change in changes if change.value is None]
    database.write(Work(rows, gone, [sealer.place(key) for key in used], now))
