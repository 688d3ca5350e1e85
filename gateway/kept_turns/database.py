"""The database of turns, for one thread: its table, its queries, and what is deleted when it is full."""

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from gateway.kept_turns.sqlite_file import BUSY_MILLISECONDS, Bounds, Schema, SqliteFile, check_ours
from gateway.private_files.looking import uri_to_look
from gateway.private_files.sqlite import Transaction

_MOST_KEYS_A_QUERY: Final = 500
_EVICTED_AT_ONCE: Final = 32
# Each write deletes at most this many expired rows.
_EXPIRED_AT_ONCE: Final = 200
# The application id is "DRGM".
SCHEMA: Final = Schema(
    0x4452474D,
    1,
    (
        "CREATE TABLE turns "
        "(place BLOB PRIMARY KEY, sealed BLOB NOT NULL, written_at REAL NOT NULL, used_at REAL NOT NULL)",
        "CREATE INDEX turns_written_at ON turns (written_at)",
        "CREATE INDEX turns_used_at ON turns (used_at)",
    ),
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


class Work(NamedTuple):
    """Changes for one transaction: rows to write, places to delete, places that were used."""

    rows: Sequence[Row]
    gone: Sequence[bytes]
    used: Sequence[bytes]
    now: float


class Database(SqliteFile):
    """An open database of turns."""

    def __init__(self, file: Path, bounds: Bounds) -> None:
        super().__init__(file, bounds, SCHEMA)

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
        with Transaction(self._connection):
            self._connection.executemany(_DELETE, [(place,) for place in work.gone])
            self._connection.execute(_EXPIRE, (work.now - self._bounds.keep_seconds, _EXPIRED_AT_ONCE))
            self._connection.executemany(_TOUCH, [(work.now, place, work.now) for place in work.used])
            # Before the write, so that it does not delete the rows that it is about to write.
            self._make_room([len(row.sealed) for row in work.rows], _EVICT, _EVICTED_AT_ONCE)
            rows = [(row.place, row.sealed, work.now, row.used_at) for row in work.rows]
            self._connection.executemany(_INSERT, rows)
        self._give_back()


def kept_turns(file: Path) -> int:
    """The number of turns in a database, without changing anything; raises as `Database` does."""
    connection = sqlite3.connect(uri_to_look(file), uri=True, timeout=BUSY_MILLISECONDS / 1000)
    with contextlib.closing(connection):
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return 0
        check_ours(connection, SCHEMA)
        return int(connection.execute("SELECT count(*) FROM turns").fetchone()[0])
