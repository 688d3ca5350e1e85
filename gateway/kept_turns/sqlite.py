"""The SQLite backing: one thread reads and one writes, so the event loop never waits for the disk."""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple, TypeVar

from gateway.kept_turns.backing import Change, Found, TroubleError
from gateway.kept_turns.database import Bounds, Database, Row, Work
from gateway.kept_turns.files import DatabaseFiles, Opened, is_broken
from gateway.kept_turns.memory import USE_SECONDS
from gateway.kept_turns.sealing import OVERHEAD_BYTES, CannotOpenError, Sealer
from gateway.telemetry.logs import log_event

# At most this many times of use wait for the next write.
_MOST_USED: Final = 10_000
_CLOSE_SECONDS: Final = 5.0

T = TypeVar("T")


class _Read(NamedTuple):
    found: Found
    long_unused: list[bytes]


class SqliteBacking:
    """A `Backing` in an SQLite file, which several processes may share."""

    def __init__(self, files: DatabaseFiles, bounds: Bounds, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._reader = _Lane("store-reader", files)
        self._writer = _Lane("store-writer", files)
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


class _Lane:
    """A thread with its own connection, which is opened on demand, and again if the file was replaced."""

    def __init__(self, name: str, files: DatabaseFiles) -> None:
        self._name = name
        self._files = files
        self._thread: ThreadPoolExecutor | None = None
        self._opened: Opened | None = None

    @property
    def is_open(self) -> bool:
        return self._opened is not None

    async def run(self, action: Callable[[Database, Sealer], T]) -> T:
        """Run an action in the thread; raises `TroubleError`."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, self._name)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, action)
        finally:
            for notice in self._files.take_notices():
                log_event(logging.WARNING, notice.message, file=notice.file)

    async def close(self) -> None:
        """Close the connection and end the thread, within a time limit."""
        thread, self._thread = self._thread, None
        if thread is not None:
            closing = asyncio.get_running_loop().run_in_executor(thread, self._let_go)
            await asyncio.wait({closing}, timeout=_CLOSE_SECONDS)
            thread.shutdown(wait=False)

    # Called in the thread.

    def _run(self, action: Callable[[Database, Sealer], T]) -> T:
        try:
            return self._with_recovery(action)
        except TroubleError:
            self._let_go()
            raise
        except (sqlite3.Error, OSError, ValueError) as error:
            # Whatever went wrong, the next try has better chances with a new connection.
            self._let_go()
            raise TroubleError(f"{self._files.file}: {_text_of(error)}") from error

    def _with_recovery(self, action: Callable[[Database, Sealer], T]) -> T:
        opened = self._current()
        try:
            return action(opened.database, opened.sealer)
        except sqlite3.DatabaseError as error:
            if not is_broken(error):
                raise
        self._let_go()
        self._files.replace(opened.identity)
        opened = self._current()
        return action(opened.database, opened.sealer)

    def _current(self) -> Opened:
        if self._opened is not None and self._opened.identity != self._files.identity():
            self._let_go()
        if self._opened is None:
            self._opened = self._files.open()
        return self._opened

    def _let_go(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.database.close()


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


def _text_of(error: Exception) -> str:
    """The reason for an error, without the path, which the log line has already."""
    return getattr(error, "strerror", None) or str(error)
