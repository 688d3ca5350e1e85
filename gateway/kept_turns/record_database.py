"""The database of stored responses and conversations, for one thread: a table of records, and one of their entries."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from gateway.kept_turns.record_memory import MOST_ENTRIES, MOST_ENTRY_BYTES
from gateway.kept_turns.sqlite_file import Bounds, Schema, SqliteFile
from gateway.private_files.sqlite import Transaction
from gateway.service.ports import Appended

_MOST_KEYS_A_QUERY: Final = 500
# What a write deletes of expired records, and what makes room: each may have thousands of entries.
_EXPIRED_AT_ONCE: Final = 8
_EVICTED_AT_ONCE: Final = 4
# The application id is "DRGR". Entries are in the order of their numbers, which are never used again.
SCHEMA: Final = Schema(
    0x44524752,
    1,
    (
        "CREATE TABLE records (place BLOB PRIMARY KEY, sealed BLOB NOT NULL, expires_at REAL NOT NULL)",
        "CREATE INDEX records_expire_at ON records (expires_at)",
        "CREATE TABLE entries "
        "(number INTEGER PRIMARY KEY AUTOINCREMENT, place BLOB NOT NULL, name BLOB NOT NULL, sealed BLOB NOT NULL)",
        "CREATE UNIQUE INDEX entries_name ON entries (place, name)",
        "CREATE TRIGGER records_go AFTER DELETE ON records BEGIN DELETE FROM entries WHERE place = old.place; END",
    ),
)
_PUT: Final = (
    "INSERT INTO records VALUES (?, ?, ?) ON CONFLICT (place) DO UPDATE "
    "SET sealed = excluded.sealed, expires_at = excluded.expires_at"
)
_REPLACE: Final = "UPDATE records SET sealed = ?, expires_at = ? WHERE place = ? AND expires_at > ?"
_RENEW: Final = "UPDATE records SET expires_at = ? WHERE place = ? AND expires_at > ?"
_EXPIRE: Final = (
    "DELETE FROM records WHERE rowid IN (SELECT rowid FROM records WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)"
)
_EVICT: Final = "DELETE FROM records WHERE rowid IN (SELECT rowid FROM records ORDER BY expires_at LIMIT ?)"
_APPEND: Final = "INSERT OR IGNORE INTO entries (place, name, sealed) VALUES (?, ?, ?)"
_MEASURE: Final = "SELECT count(*), ifnull(sum(length(sealed)), 0) FROM entries WHERE place = ?"
_NAMES: Final = "SELECT name FROM entries WHERE place = ? ORDER BY number"
_ENTRIES: Final = "SELECT name, sealed FROM entries WHERE place = ? ORDER BY number"


class Entry(NamedTuple):
    """One entry as it is on disk."""

    name: bytes
    sealed: bytes


class RecordDatabase(SqliteFile):
    """An open database of records; what has expired does not exist."""

    def __init__(self, file: Path, bounds: Bounds) -> None:
        super().__init__(file, bounds, SCHEMA)

    def clean(self, now: float) -> None:
        """Delete expired records."""
        with Transaction(self._connection):
            self._connection.execute(_EXPIRE, (now, _EXPIRED_AT_ONCE))
        self._give_back()

    def put(self, place: bytes, sealed: bytes, renewed: Iterable[bytes], now: float) -> None:
        """Write a record, and renew others."""
        until = now + self._bounds.keep_seconds
        with Transaction(self._connection):
            self._connection.execute(_EXPIRE, (now, _EXPIRED_AT_ONCE))
            # Renewed first: what makes room shall not be what the new record continues.
            self._connection.executemany(_RENEW, [(until, each, now) for each in (*renewed, place)])
            self._make_room([len(sealed)], _EVICT, _EVICTED_AT_ONCE)
            self._connection.execute(_PUT, (place, sealed, until))
        self._give_back()

    def replace(self, place: bytes, sealed: bytes, now: float) -> bool:
        """Write a record that exists."""
        with Transaction(self._connection):
            values = (sealed, now + self._bounds.keep_seconds, place, now)
            return self._connection.execute(_REPLACE, values).rowcount > 0

    def fetch(self, places: Sequence[bytes], now: float) -> dict[bytes, bytes]:
        """The records that exist."""
        found: dict[bytes, bytes] = {}
        for begin in range(0, len(places), _MOST_KEYS_A_QUERY):
            asked = places[begin : begin + _MOST_KEYS_A_QUERY]
            marks = ",".join("?" * len(asked))
            query = f"SELECT place, sealed FROM records WHERE place IN ({marks}) AND expires_at > ?"  # noqa: S608 - marks
            found |= dict(self._connection.execute(query, (*asked, now)))
        return found

    def delete(self, place: bytes, now: float) -> bool:
        """Delete a record with its entries."""
        with Transaction(self._connection):
            query = "DELETE FROM records WHERE place = ? AND expires_at > ?"
            is_deleted = self._connection.execute(query, (place, now)).rowcount > 0
        self._give_back()
        return is_deleted

    def append(self, place: bytes, entries: Sequence[Entry], now: float) -> Appended:
        """Add entries to a record that exists, all or none; those that are there stay as they are."""
        with Transaction(self._connection):
            if not self._connection.execute(_RENEW, (now + self._bounds.keep_seconds, place, now)).rowcount:
                return Appended.NO_RECORD
            count, size = self._connection.execute(_MEASURE, (place,)).fetchone()
            sizes = [len(entry.sealed) for entry in entries]
            if count + len(entries) > MOST_ENTRIES or size + sum(sizes) > MOST_ENTRY_BYTES:
                return Appended.FULL
            self._make_room(sizes, _EVICT, _EVICTED_AT_ONCE)
            self._connection.executemany(_APPEND, [(place, entry.name, entry.sealed) for entry in entries])
        return Appended.KEPT

    def names(self, place: bytes) -> list[bytes]:
        """The names of a record's entries in order."""
        return [name for (name,) in self._connection.execute(_NAMES, (place,))]

    def entries(self, place: bytes, names: Sequence[bytes] | None) -> list[Entry]:
        """All entries of a record, or those with these names, in order."""
        if names is None:
            return [*map(Entry._make, self._connection.execute(_ENTRIES, (place,)))]
        found: list[Entry] = []
        for begin in range(0, len(names), _MOST_KEYS_A_QUERY):
            asked = names[begin : begin + _MOST_KEYS_A_QUERY]
            marks = ",".join("?" * len(asked))
            query = (
                f"SELECT name, sealed FROM entries WHERE place = ? AND name IN ({marks}) "  # noqa: S608 - marks
                "ORDER BY number"
            )
            found += map(Entry._make, self._connection.execute(query, (place, *asked)))
        return found

    def remove(self, place: bytes, name: bytes) -> bool:
        """Delete one entry."""
        with Transaction(self._connection):
            query = "DELETE FROM entries WHERE place = ? AND name = ?"
            return self._connection.execute(query, (place, name)).rowcount > 0
