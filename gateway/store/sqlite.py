"""The SQLite file behind the memory: one thread reads, one writes, and the event loop does neither."""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple, TypeVar

from gateway.store.backing import Change, Found, TroubleError
from gateway.store.database import Bounds, Database, Row, Work
from gateway.store.files import DatabaseFiles, Opened, is_broken
from gateway.store.memory import USE_SECONDS
from gateway.store.sealing import OVERHEAD_BYTES, CannotOpenError, Sealer
from gateway.telemetry.logs import log_event

# So many keys that were used wait to be taken down with the next change.
_MOST_USED: Final = 10_000
_CLOSE_SECONDS: Final = 5.0

T = TypeVar("T")


class _Read(NamedTuple):
    found: Found
    long_unused: list[bytes]


class SqliteBacking:
    """A `Backing` in a file of SQLite, which several processes may share."""

    def __init__(self, files: DatabaseFiles, bounds: Bounds, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._reader = _Lane("store-reader", files)
        self._writer = _Lane("store-writer", files)
        self._largest = bounds.largest - OVERHEAD_BYTES
        self._used: dict[bytes, None] = {}

    @property
    def largest(self) -> int:
        """A larger value would take too much of the file's room."""
        return self._largest

    async def open(self) -> None:
        """Open the file, and remove what is too old."""
        await self.write(())

    async def read(self, keys: Sequence[bytes]) -> Found:
        """What there is under these keys."""
        oldest = self._wall() - USE_SECONDS
        read = await self._reader.run(lambda database, sealer: _read(database, sealer, keys, oldest))
        self.used(read.long_unused)
        return read.found

    async def write(self, changes: Sequence[Change]) -> None:
        """Make these changes in one transaction."""
        used, self._used = [*self._used], {}
        now = self._wall()
        await self._writer.run(lambda database, sealer: _write(database, sealer, changes, used, now))

    def used(self, keys: Sequence[bytes]) -> None:
        """Take down that these were used, with the next change."""
        if len(self._used) < _MOST_USED:
            self._used.update(dict.fromkeys(keys))

    async def close(self) -> None:
        """Close the file."""
        if self._used and (self._reader.is_open or self._writer.is_open):
            # A time of last use is not worth a word.
            with contextlib.suppress(TroubleError):
                await self.write(())
        # One after the other: of two that go at once neither is the last, which puts the log into the database.
        await self._reader.close()
        await self._writer.close()


class _Lane:
    """A thread with a connection of its own, opened when it is needed and anew when the file is another one."""

    def __init__(self, name: str, files: DatabaseFiles) -> None:
        self._name = name
        self._files = files
        self._thread: ThreadPoolExecutor | None = None
        self._opened: Opened | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is anything to close."""
        return self._opened is not None

    async def run(self, action: Callable[[Database, Sealer], T]) -> T:
        """What the action gives in the thread; raises `TroubleError`."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, self._name)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, action)
        finally:
            for notice in self._files.take_notices():
                log_event(logging.WARNING, notice.message, file=notice.file)

    async def close(self) -> None:
        """Close the connection and end the thread, if that does not take too long."""
        thread, self._thread = self._thread, None
        if thread is not None:
            closing = asyncio.get_running_loop().run_in_executor(thread, self._let_go)
            await asyncio.wait({closing}, timeout=_CLOSE_SECONDS)
            thread.shutdown(wait=False)

    # In the thread

    def _run(self, action: Callable[[Database, Sealer], T]) -> T:
        try:
            return self._with_recovery(action)
        except TroubleError:
            self._let_go()
            raise
        except (sqlite3.Error, OSError, ValueError) as error:
            # Whatever it is, a new connection is the better one to try again.
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
