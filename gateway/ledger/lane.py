"""A thread that works with accounts.db on a connection of its own, so that the event loop never waits for the disk.

    keys = await accounts_file.run(lambda connection: connection.execute("SELECT ...").fetchall())

    def rename(connection):
        with Transaction(connection):
            ...
    await accounts_file.run(rename)

The command line, which has no event loop, uses the same actions: `accounts_file.run_now(rename)`.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from gateway.ledger.files import BUSY_SECONDS, Opened, Opener
from gateway.ledger.trouble import AccountsFileError
from gateway.private_files.sqlite import is_broken
from gateway.telemetry.logs import log_event

# How often a process asks whether another one has changed keys or rules.
POLL_SECONDS: Final = 0.25
_CLOSE_SECONDS: Final = 5.0
MOVED: Final = (
    "The accounts' database was corrupt; it was moved aside, "
    "and keys and rules were taken over into a new one as far as possible"
)

# These say that an action is wrong, or that its values are, not that the file is.
_OF_THE_ACTION: Final = (
    sqlite3.IntegrityError,
    sqlite3.ProgrammingError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
)

T = TypeVar("T")


class AccountsFile:
    """The file for one process. Every way to use it raises `AccountsFileError` only (and what an action raises).

    It is opened on demand, and again if it was replaced or if something went wrong. An action gets a connection in
    autocommit mode, begins its own `Transaction` where it writes, and is run again on a new connection if the file
    turns out to be corrupt.
    """

    def __init__(
        self,
        file: Path,
        name: str = "accounts",
        on_moved: Callable[[Path], None] | None = None,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        """`on_moved` is called in the thread, with the new name of a corrupt file; without it, the log tells."""
        self._opener = Opener(file, on_moved or self._note_moved, busy_seconds)
        self._name = name
        self._thread: ThreadPoolExecutor | None = None
        self._opened: Opened | None = None
        # The connection before, until there is another.
        self._closed: Opened | None = None
        self._moved: list[Path] = []

    @property
    def file(self) -> Path:
        return self._opener.file

    async def run(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Run an action in the thread. One that was begun is completed, also if the caller is cancelled."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, self._name)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self.run_here, action)
        finally:
            self._report()

    def run_now(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Run an action in the calling thread, on a connection that is closed afterwards: for the command line."""
        try:
            return self.run_here(action)
        finally:
            self.let_go()
            self._report()

    def run_here(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Run an action in the calling thread, which has to be the same each time and calls `let_go` at its end."""
        try:
            return self._with_recovery(action)
        except _OF_THE_ACTION:
            raise
        except sqlite3.Error as error:
            # Whatever went wrong, the next try has better chances with a new connection.
            self.let_go()
            raise AccountsFileError(f"{self.file}: {text_of(error)}") from error

    def let_go(self) -> None:
        """Close the connection; the last one to close writes the log into the database."""
        opened, self._opened = self._opened, None
        if opened is not None:
            self._closed = opened
            opened.connection.close()

    async def close(self) -> None:
        """Close the connection and end the thread, within a time limit."""
        thread, self._thread = self._thread, None
        if thread is not None:
            closing = asyncio.get_running_loop().run_in_executor(thread, self.let_go)
            await asyncio.wait({closing}, timeout=_CLOSE_SECONDS)
            thread.shutdown(wait=False)

    # Called in the thread.

    def _with_recovery(self, action: Callable[[sqlite3.Connection], T]) -> T:
        opened = self._current()
        try:
            return action(opened.connection)
        except sqlite3.DatabaseError as error:
            if not is_broken(error):
                raise
        self.let_go()
        self._opener.replace(opened.identity)
        return action(self._current().connection)

    def _current(self) -> Opened:
        if self._opened is not None and self._opened.identity != self._opener.identity():
            self.let_go()
        if self._opened is None:
            try:
                self._opened = self._opener.open(self._closed)
                self._closed = None
            except (AccountsFileError, OSError, ValueError) as error:
                raise AccountsFileError(f"{self.file}: {text_of(error)}") from error
        return self._opened

    def _note_moved(self, aside: Path) -> None:
        self._moved.append(aside)

    def _report(self) -> None:
        moved, self._moved = self._moved, []
        for aside in moved:
            log_event(logging.ERROR, MOVED, file=aside)


def text_of(error: Exception) -> str:
    """The reason for an error, without the path, which the message has already."""
    return getattr(error, "strerror", None) or str(error)
