"""One connection to the SQLite file, for one thread: the schema, the queries, and the size limit."""

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from gateway.kept_turns.backing import TroubleError

SCHEMA_VERSION: Final = 1
# "DRGM", which tells our database from another program's.
_APPLICATION_ID: Final = 0x4452474D
# Other workers hold the lock for some milliseconds; after this time one of them must be stuck.
_BUSY_MILLISECONDS: Final = 2000
# The write-ahead log counts towards the size limit too.
_LARGEST_LOG_BYTES: Final = 16 * 1024 * 1024
_LOG_SHARE: Final = 4
_PAGE_BYTES: Final = 4096
# The overhead of a row: its other columns, and its entries in three indexes.
_ROW_BYTES: Final = 256
_MOST_KEYS_A_QUERY: Final = 500
_EVICTED_AT_ONCE: Final = 32
# Make a little more room than needed, so that not every write has to make some.
_SPARE_SHARE: Final = 50
# Each write deletes at most this many expired rows, and returns at most this many free pages to the file system.
_EXPIRED_AT_ONCE: Final = 200
_VACUUMED_AT_ONCE: Final = 256
_SCHEMA: Final = (
    "CREATE TABLE turns "
    "(place BLOB PRIMARY KEY, sealed BLOB NOT NULL, written_at REAL NOT NULL, used_at REAL NOT NULL)",
    "CREATE INDEX turns_written_at ON turns (written_at)",
    "CREATE INDEX turns_used_at ON turns (used_at)",
    # The secrets that were used here: the name of each, and something that it sealed.
    "CREATE TABLE probes (name TEXT PRIMARY KEY, sealed BLOB NOT NULL)",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
_INSERT: Final = "INSERT OR REPLACE INTO turns VALUES (?, ?, ?, ?)"
_DELETE: Final = "DELETE FROM turns WHERE place = ?"
_TOUCH: Final = "UPDATE turns SET used_at = ? WHERE place = ? AND used_at < ?"
_EXPIRE: Final = (
    "DELETE FROM turns WHERE rowid IN (SELECT rowid FROM turns WHERE written_at <= ? ORDER BY written_at LIMIT ?)"
)
_EVICT: Final = "DELETE FROM turns WHERE rowid IN (SELECT rowid FROM turns ORDER BY used_at LIMIT ?)"


class Row(NamedTuple):
    """One row, with its key and value as they are on disk."""

    place: bytes
    sealed: bytes
    used_at: float


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


class Work(NamedTuple):
    """Changes for one transaction: rows to write, places to delete, places that were used."""

    rows: Sequence[Row]
    gone: Sequence[bytes]
    used: Sequence[bytes]
    now: float


class Database:
    """An open database, set up if new; raises `sqlite3.Error`, or `TroubleError` for another program's file."""

    def __init__(self, file: Path, bounds: Bounds) -> None:
        self._bounds = bounds
        # Autocommit: `_Transaction` begins and ends transactions explicitly.
        self._connection = sqlite3.connect(file, isolation_level=None, timeout=_BUSY_MILLISECONDS / 1000)
        try:
            self._set_up()
        except BaseException:
            self._connection.close()
            raise

    def read(self, places: Sequence[bytes]) -> list[Row]:
        """Read the rows that exist."""
        rows: list[Row] = []
        for begin in range(0, len(places), _MOST_KEYS_A_QUERY):
            asked = places[begin : begin + _MOST_KEYS_A_QUERY]
            marks = ",".join("?" * len(asked))
            query = f"SELECT place, sealed, used_at FROM turns WHERE place IN ({marks})"  # noqa: S608 - question marks
            rows += map(Row._make, self._connection.execute(query, asked))
        return rows

    def write(self, work: Work) -> None:
        """Make all changes or none, within the size limit."""
        with _Transaction(self._connection):
            self._connection.executemany(_DELETE, [(place,) for place in work.gone])
            self._connection.execute(_EXPIRE, (work.now - self._bounds.keep_seconds, _EXPIRED_AT_ONCE))
            self._connection.executemany(_TOUCH, [(work.now, place, work.now) for place in work.used])
            # Before the write, so that it does not delete the rows that it is about to write.
            self._make_room(sum(map(_pages_of, work.rows)))
            rows = [(row.place, row.sealed, work.now, row.used_at) for row in work.rows]
            self._connection.executemany(_INSERT, rows)
        if self._number("freelist_count") > max(_VACUUMED_AT_ONCE, self._number("page_count") // _LOG_SHARE):
            # Python runs only the first step of a statement without columns, except in a script.
            self._connection.executescript(f"PRAGMA incremental_vacuum({_VACUUMED_AT_ONCE})")

    def probes(self) -> dict[str, bytes]:
        """The secrets that were used here: name to probe."""
        return dict(self._connection.execute("SELECT name, sealed FROM probes"))

    def add_probe(self, name: str, sealed: bytes) -> None:
        """Record another secret."""
        self._connection.execute("INSERT OR REPLACE INTO probes VALUES (?, ?)", (name, sealed))

    def close(self) -> None:
        """Close the connection; the last one to close writes the log into the database."""
        self._connection.close()

    def _set_up(self) -> None:
        # Has an effect only before anything is written.
        self._connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        is_new = not self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not is_new:
            _check_ours(self._connection)
        self._connection.execute("PRAGMA journal_mode = WAL")
        # A power failure may lose the latest commits, but cannot corrupt the database.
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute(f"PRAGMA journal_size_limit = {self._bounds.log_bytes}")
        checkpoint = self._bounds.log_bytes // _PAGE_BYTES // _LOG_SHARE
        self._connection.execute(f"PRAGMA wal_autocheckpoint = {checkpoint}")
        if is_new:
            with _Transaction(self._connection):
                for statement in _SCHEMA:
                    self._connection.execute(statement)

    def _make_room(self, pages: int) -> None:
        """Delete the least recently used rows until this many pages are free."""
        most = (self._bounds.bytes - self._bounds.log_bytes) // _PAGE_BYTES
        if self._used_pages() + pages <= most:
            return
        while self._used_pages() + pages > most - most // _SPARE_SHARE:
            if not self._connection.execute(_EVICT, (_EVICTED_AT_ONCE,)).rowcount:
                return

    def _used_pages(self) -> int:
        return self._number("page_count") - self._number("freelist_count")

    def _number(self, pragma: str) -> int:
        return int(self._connection.execute(f"PRAGMA {pragma}").fetchone()[0])


def kept_turns(file: Path) -> int:
    """The number of turns in a database, without changing anything; raises as `Database` does."""
    # Without a log nobody has it open, and with `immutable` SQLite creates no files to read it.
    mode = "mode=ro" if file.with_name(f"{file.name}-wal").exists() else "immutable=1"
    connection = sqlite3.connect(f"{file.absolute().as_uri()}?{mode}", uri=True, timeout=_BUSY_MILLISECONDS / 1000)
    with contextlib.closing(connection):
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return 0
        _check_ours(connection)
        return int(connection.execute("SELECT count(*) FROM turns").fetchone()[0])


def _check_ours(connection: sqlite3.Connection) -> None:
    version, application = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("user_version", "application_id")
    )
    if application != _APPLICATION_ID:
        raise TroubleError("the database is another program's")
    if version > SCHEMA_VERSION:
        raise TroubleError(f"the database was made by a newer Dragoman (schema {version}, not {SCHEMA_VERSION})")


class _Transaction:
    """A block that is committed or rolled back as a whole; it takes the write lock at its start."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if kind is None:
                self._connection.execute("COMMIT")
        finally:
            # After some errors, such as a full disk, SQLite has already rolled back.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def _pages_of(row: Row) -> int:
    return -(-(len(row.sealed) + _ROW_BYTES) // (_PAGE_BYTES - 4)) + 1
