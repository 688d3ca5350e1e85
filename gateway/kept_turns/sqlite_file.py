"""An SQLite file of ours, for one thread: set up, written in transactions, and kept within its size limit."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from gateway.kept_turns.backing import TroubleError
from gateway.private_files.sqlite import Transaction

# Other workers hold the lock for some milliseconds; after this time one of them must be stuck.
BUSY_MILLISECONDS: Final = 2000
# The write-ahead log counts towards the size limit too.
_LARGEST_LOG_BYTES: Final = 16 * 1024 * 1024
_LOG_SHARE: Final = 4
_PAGE_BYTES: Final = 4096
# The overhead of a row: its other columns, and its entries in three indexes.
_ROW_BYTES: Final = 256
# Make a little more room than needed, so that not every write has to make some.
_SPARE_SHARE: Final = 50
# Each write returns at most this many free pages to the file system.
_VACUUMED_AT_ONCE: Final = 256
# The secrets that were used here: the name of each, and something that it sealed.
_PROBES: Final = "CREATE TABLE probes (name TEXT PRIMARY KEY, sealed BLOB NOT NULL)"


class Schema(NamedTuple):
    """The tables of a kind of database, and what tells it from another program's."""

    application_id: int
    version: int
    statements: tuple[str, ...]


class Bounds(NamedTuple):
    """The maximum size of a database with all its files, and how long a row is kept."""

    bytes: int
    keep_seconds: float

    @property
    def log_bytes(self) -> int:
        """The share of the write-ahead log."""
        return min(_LARGEST_LOG_BYTES, self.bytes // _LOG_SHARE)

    @property
    def largest(self) -> int:
        """The largest value that is kept; several of them fit into the log together."""
        return self.log_bytes // 4


class SqliteFile:
    """An open database, set up if new; raises `sqlite3.Error`, or `TroubleError` for another program's file."""

    def __init__(self, file: Path, bounds: Bounds, schema: Schema) -> None:
        self._bounds = bounds
        # Autocommit: `Transaction` begins and ends transactions explicitly.
        self._connection = sqlite3.connect(file, isolation_level=None, timeout=BUSY_MILLISECONDS / 1000)
        try:
            self._set_up(schema)
        except BaseException:
            self._connection.close()
            raise

    def probes(self) -> dict[str, bytes]:
        """The secrets that were used here: name to probe."""
        return dict(self._connection.execute("SELECT name, sealed FROM probes"))

    def add_probe(self, name: str, sealed: bytes) -> None:
        """Record another secret."""
        self._connection.execute("INSERT OR REPLACE INTO probes VALUES (?, ?)", (name, sealed))

    def close(self) -> None:
        """Close the connection; the last one to close writes the log into the database."""
        self._connection.close()

    def _set_up(self, schema: Schema) -> None:
        # Has an effect only before anything is written.
        self._connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        is_new = not self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not is_new:
            check_ours(self._connection, schema)
        self._connection.execute("PRAGMA journal_mode = WAL")
        # A power failure may lose the latest commits, but cannot corrupt the database.
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute(f"PRAGMA journal_size_limit = {self._bounds.log_bytes}")
        checkpoint = self._bounds.log_bytes // _PAGE_BYTES // _LOG_SHARE
        self._connection.execute(f"PRAGMA wal_autocheckpoint = {checkpoint}")
        if is_new:
            marks = (f"PRAGMA application_id = {schema.application_id}", f"PRAGMA user_version = {schema.version}")
            with Transaction(self._connection):
                for statement in (*schema.statements, _PROBES, *marks):
                    self._connection.execute(statement)

    def _make_room(self, sizes: Sequence[int], evict: str, at_once: int) -> None:
        """Run the statement `evict`, which deletes the next rows to go, until values of these sizes have room."""
        pages = sum(map(_pages_of, sizes))
        most = (self._bounds.bytes - self._bounds.log_bytes) // _PAGE_BYTES
        if self._used_pages() + pages <= most:
            return
        while self._used_pages() + pages > most - most // _SPARE_SHARE:
            if not self._connection.execute(evict, (at_once,)).rowcount:
                return

    def _give_back(self) -> None:
        """Return free pages to the file system, if there are many."""
        if self._number("freelist_count") > max(_VACUUMED_AT_ONCE, self._number("page_count") // _LOG_SHARE):
            # Python runs only the first step of a statement without columns, except in a script.
            self._connection.executescript(f"PRAGMA incremental_vacuum({_VACUUMED_AT_ONCE})")

    def _used_pages(self) -> int:
        return self._number("page_count") - self._number("freelist_count")

    def _number(self, pragma: str) -> int:
        return int(self._connection.execute(f"PRAGMA {pragma}").fetchone()[0])


def check_ours(connection: sqlite3.Connection, schema: Schema) -> None:
    """Raise `TroubleError` if a database is not of this kind."""
    version, application = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("user_version", "application_id")
    )
    if application != schema.application_id:
        raise TroubleError("the database is another program's")
    if version > schema.version:
        raise TroubleError(f"the database was made by a newer Dragoman (schema {version}, not {schema.version})")


def _pages_of(size: int) -> int:
    return -(-(size + _ROW_BYTES) // (_PAGE_BYTES - 4)) + 1
