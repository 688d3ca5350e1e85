"""Opens accounts.db for one thread: private, of the newest schema, durable; a corrupt one is moved aside."""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from gateway.ledger.migrating import check_ours, migrate
from gateway.private_files.database import Identity, alone, identity_of, move_aside, prepare

# Other processes hold the write lock for some milliseconds; after this time one of them must be stuck.
BUSY_SECONDS: Final = 2.0
_LOG_BYTES: Final = 16 * 1024 * 1024
_BROKEN: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Opened(NamedTuple):
    """A connection, and the identity of its file."""

    connection: sqlite3.Connection
    identity: Identity


class AccountsFiles:
    """Opens the database at `file`, for several threads and processes.

    Raises `sqlite3.Error`, `OSError`, `AccountsFileError`, and `ValueError` for files that others could change.
    `on_moved` is called with the new name of a corrupt database that was moved aside.
    """

    def __init__(self, file: Path, on_moved: Callable[[Path], None] = lambda aside: None) -> None:
        self.file = file
        self._on_moved = on_moved
        self._in_this_process = threading.Lock()

    def open(self) -> Opened:
        """A new connection for the calling thread, which begins and ends its transactions itself."""
        with alone(self.file, self._in_this_process):
            prepare(self.file)
            try:
                return self._opened()
            except sqlite3.Error as error:
                if not is_broken(error):
                    raise
                self._on_moved(move_aside(self.file))
                return self._opened()

    def replace(self, broken: Identity) -> None:
        """Move a corrupt database aside, unless another process has done so already."""
        with alone(self.file, self._in_this_process):
            if identity_of(self.file) == broken:
                self._on_moved(move_aside(self.file))

    def identity(self) -> Identity:
        """The identity of the file that has the name now."""
        return identity_of(self.file)

    def _opened(self) -> Opened:
        connection = sqlite3.connect(self.file, isolation_level=None, timeout=BUSY_SECONDS)
        try:
            set_up(connection)
        except BaseException:
            connection.close()
            raise
        return Opened(connection, identity_of(self.file))


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


def is_broken(error: sqlite3.Error) -> bool:
    """Whether an error says that the file is corrupt or not a database."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _BROKEN
