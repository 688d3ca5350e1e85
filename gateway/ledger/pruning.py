"""What of the ledger is deleted: rows and sums by their age, and the oldest rows early if the file is too large."""

import sqlite3
from typing import Final, NamedTuple

from gateway.ledger.rows import id_prefix
from gateway.private_files.sqlite import Transaction

# Each step deletes at most this much from each table, and returns at most so many pages to the file system.
DELETED_AT_ONCE: Final = 500
_VACUUMED_AT_ONCE: Final = 256
_SPARE_SHARE: Final = 4
_DAY_SECONDS: Final = 86_400
# Later than every row.
_NEVER: Final = 2.0**38
# Sums by hour stay for this share of the time of sums by day.
_HOURS_SHARE: Final = 4
_SUMS_KEY: Final = "start, caller, group_name, end_user, endpoint, upstream_key, model, batch, service_tier"


class Keep(NamedTuple):
    """How long rows and sums are kept, and from which size of the database on the oldest rows go early."""

    days: float
    totals_days: float
    bytes: int


def prune(connection: sqlite3.Connection, keep: Keep, now: float) -> bool:
    """One small step, at the Unix time `now`; returns whether there is more to do."""
    is_too_large = _number(connection, "page_count") - _number(connection, "freelist_count") > _pages(
        connection, keep.bytes
    )
    totals_seconds = keep.totals_days * _DAY_SECONDS
    with Transaction(connection):
        deleted = max(
            _delete_rows(connection, now - keep.days * _DAY_SECONDS),
            _delete_sums(connection, "hours", now - totals_seconds / _HOURS_SHARE),
            _delete_sums(connection, "days", now - totals_seconds),
        )
        if is_too_large:
            deleted = max(deleted, _delete_oldest(connection))
    return _give_back(connection) or deleted >= DELETED_AT_ONCE or (is_too_large and deleted > 0)


def _delete_oldest(connection: sqlite3.Connection) -> int:
    """Delete what is oldest, sums only if there are no rows any more."""
    return (
        _delete_rows(connection, _NEVER)
        or _delete_sums(connection, "hours", _NEVER)
        or _delete_sums(connection, "days", _NEVER)
    )


def _delete_rows(connection: sqlite3.Connection, before: float) -> int:
    query = "DELETE FROM attempts WHERE id IN (SELECT id FROM attempts WHERE id < ? ORDER BY id LIMIT ?)"
    return connection.execute(query, (id_prefix(int(before * 1000)), DELETED_AT_ONCE)).rowcount


def _delete_sums(connection: sqlite3.Connection, table: str, before: float) -> int:
    query = (
        f"DELETE FROM {table} WHERE ({_SUMS_KEY}) IN "  # noqa: S608 - our names
        f"(SELECT {_SUMS_KEY} FROM {table} WHERE start < ? ORDER BY {_SUMS_KEY} LIMIT ?)"
    )
    return connection.execute(query, (before, DELETED_AT_ONCE)).rowcount


def _give_back(connection: sqlite3.Connection) -> bool:
    """Return free pages to the file system, if there are many; returns whether there are many left."""
    spare = max(_VACUUMED_AT_ONCE, _number(connection, "page_count") // _SPARE_SHARE)
    if (free := _number(connection, "freelist_count")) <= spare:
        return False
    # Python runs only the first step of a statement without columns, except in a script.
    connection.executescript(f"PRAGMA incremental_vacuum({_VACUUMED_AT_ONCE})")
    return free - _VACUUMED_AT_ONCE > spare


def _pages(connection: sqlite3.Connection, size: int) -> int:
    return size // _number(connection, "page_size")


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
