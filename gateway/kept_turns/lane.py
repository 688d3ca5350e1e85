"""A thread that works with a database of its own connection, so that the event loop never waits for the disk."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Generic, TypeVar

from gateway.kept_turns.backing import TroubleError
from gateway.kept_turns.files import DatabaseFiles, Opened
from gateway.kept_turns.sealing import Sealer
from gateway.kept_turns.sqlite_file import SqliteFile
from gateway.private_files.sqlite import is_broken
from gateway.telemetry.logs import log_event

_CLOSE_SECONDS: Final = 5.0

D = TypeVar("D", bound=SqliteFile)
T = TypeVar("T")


class Lane(Generic[D]):
    """A thread with its own connection, which is opened on demand, and again if the file was replaced."""

    def __init__(self, name: str, files: DatabaseFiles[D]) -> None:
        self._name = name
        self._files = files
        self._thread: ThreadPoolExecutor | None = None
        self._opened: Opened[D] | None = None

    @property
    def is_open(self) -> bool:
        return self._opened is not None

    async def run(self, action: Callable[[D, Sealer], T]) -> T:
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

    def _run(self, action: Callable[[D, Sealer], T]) -> T:
        try:
            return self._with_recovery(action)
        except TroubleError:
            self._let_go()
            raise
        except (sqlite3.Error, OSError, ValueError) as error:
            # Whatever went wrong, the next try has better chances with a new connection.
            self._let_go()
            raise TroubleError(f"{self._files.file}: {_text_of(error)}") from error

    def _with_recovery(self, action: Callable[[D, Sealer], T]) -> T:
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

    def _current(self) -> Opened[D]:
        if self._opened is not None and self._opened.identity != self._files.identity():
            self._let_go()
        if self._opened is None:
            self._opened = self._files.open()
        return self._opened

    def _let_go(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.database.close()


def _text_of(error: Exception) -> str:
    """The reason for an error, without the path, which the log line has already."""
    return getattr(error, "strerror", None) or str(error)
