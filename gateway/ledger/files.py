"""Opens accounts.db for one thread: private, of the newest schema, durable; a corrupt one is moved aside."""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from gateway.ledger.migrating import check_ours, migrate
from gateway.ledger.salvage import salvage
from gateway.private_files.database import Identity, alone, beside, identity_of, move_aside, prepare, set_log_aside
from gateway.private_files.sqlite import is_broken

# Other processes hold the write lock for some milliseconds; after this time one of them must be stuck.
BUSY_SECONDS: Final = 2.0
_LOG_BYTES: Final = 16 * 1024 * 1024


class Opened(NamedTuple):
    """A connection, and the identities of its file and of the write-ahead log."""

    connection: sqlite3.Connection
    identity: Identity
    log: Identity


class Opener:
    """Opens the database at `file`, for several threads and processes.

    Raises `sqlite3.Error`, `OSError`, `AccountsFileError`, and `ValueError` for files that others could change.
    `on_moved` is called with the new name of a corrupt database that was moved aside.
    """

    def __init__(
        self,
        file: Path,
        on_moved: Callable[[Path], None] = lambda aside: None,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        self.file = file
        self._on_moved = on_moved
        self._busy_seconds = busy_seconds
        self._in_this_process = threading.Lock()

    def open(self, old: Opened | None = None) -> Opened:
        """A new connection for the calling thread, which begins and ends its transactions itself.

        `old` is the connection that it had before, closed by now.
        """
        with alone(self.file, self._in_this_process):
            prepare(self.file)
            if old is not None and old.identity != self.identity():
                set_log_aside(self.file, old.log)
            try:
                return self._opened()
            except sqlite3.Error as error:
                if not is_broken(error):
                    raise
                return self._renewed()

    def replace(self, broken: Identity) -> None:
        """Move a corrupt database aside, unless another process has done so already."""
        with alone(self.file, self._in_this_process):
            if identity_of(self.file) == broken:
                self._renewed().connection.close()

    def identity(self) -> Identity:
        """The identity of the file that has the name now."""
        return identity_of(self.file)

    def _renewed(self) -> Opened:
        """A new database in place of the corrupt one, with what could be saved of it."""
        aside = move_aside(self.file)
        self._on_moved(aside)
        opened = self._opened()
        salvage(aside, opened.connection)
        return opened

    def _opened(self) -> Opened:
        connection = sqlite3.connect(self.file, isolation_level=None, timeout=self._busy_seconds)
        try:
            set_up(connection)
        except BaseException:
            connection.close()
            raise
        return Opened(connection, identity_of(self.file), identity_of(beside(self.file, "-wal")))


def set_up(connection: sqlite3.Connection) -> None:
    """Make a new connection durable, and its database one of the newest schema."""
    # Nothing is changed in a file that is not ours.
    check_ours(connection)
    # Has an effect only before anything is written.
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    # What is committed survives a power failure.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
    migrate(connection)
