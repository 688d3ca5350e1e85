"""Writes rows with their sums by hour and by day in one transaction; rows that are there already change nothing."""

import sqlite3
from collections.abc import Iterable, Sequence
from operator import add
from typing import Final, TypeAlias

from gateway.ledger.questions import DAY_SECONDS, HOUR_SECONDS, Sums
from gateway.ledger.rows import COLUMNS, Row
from gateway.private_files.sqlite import Transaction

# What `Sums` has, by hour or day and dimensions.
_Sums: TypeAlias = dict[tuple[object, ...], list[int]]

_AT, _REQUESTS, _ERROR = COLUMNS.index("at"), COLUMNS.index("requests"), COLUMNS.index("error")
# Where the dimensions stand in a row: those of the request, and those of the call.
_OF_REQUEST: Final = slice(COLUMNS.index("caller"), COLUMNS.index("endpoint") + 1)
_OF_CALL: Final = slice(COLUMNS.index("upstream_key"), COLUMNS.index("service_tier") + 1)
_ADDED: Final = slice(COLUMNS.index("input"), COLUMNS.index("saved") + 1)
_DIMENSIONS: Final = COLUMNS[_OF_REQUEST] + COLUMNS[_OF_CALL]
_HOUR_MILLISECONDS: Final = HOUR_SECONDS * 1000
_MARKS: Final = ", ".join("?" * len(COLUMNS))
# Not `OR IGNORE`, which would also ignore values that a column cannot have.
_INSERT: Final = f"INSERT INTO attempts ({', '.join(COLUMNS)}) VALUES ({_MARKS}) ON CONFLICT (id) DO NOTHING"  # noqa: S608 - our names
_MOST_IDS_A_QUERY: Final = 500


def _upsert(table: str) -> str:
    columns = ("start", *_DIMENSIONS, *Sums._fields)
    added = ", ".join(f"{name} = {name} + excluded.{name}" for name in Sums._fields)
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) "  # noqa: S608 - our names
        f"ON CONFLICT DO UPDATE SET {added}"
    )


_ADD_HOURS: Final = _upsert("hours")
_ADD_DAYS: Final = _upsert("days")


class _SomeAreThereError(Exception):
    """Not all rows of a batch were new."""


def write_rows(connection: sqlite3.Connection, rows: Sequence[Row]) -> int:
    """Write rows, all or none; returns how many were new. Only these are added to the sums."""
    try:
        with Transaction(connection):
            _insert(connection, rows)
            return len(rows)
    except _SomeAreThereError:
        # A commit that was reported as failed may have succeeded.
        pass
    with Transaction(connection):
        there = _ids_there(connection, [row[0] for row in rows])
        new = list({row[0]: row for row in rows if row[0] not in there}.values())
        _insert(connection, new)
        return len(new)


def _insert(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    before = connection.total_changes
    connection.executemany(_INSERT, rows)
    if connection.total_changes - before != len(rows):
        raise _SomeAreThereError
    hours, days = _sums_of(rows)
    connection.executemany(_ADD_HOURS, _values(hours))
    connection.executemany(_ADD_DAYS, _values(days))


def _ids_there(connection: sqlite3.Connection, ids: Sequence[object]) -> set[object]:
    there: set[object] = set()
    for begin in range(0, len(ids), _MOST_IDS_A_QUERY):
        asked = ids[begin : begin + _MOST_IDS_A_QUERY]
        marks = ",".join("?" * len(asked))
        there.update(
            found
            for (found,) in connection.execute(f"SELECT id FROM attempts WHERE id IN ({marks})", asked)  # noqa: S608
        )
    return there


def _sums_of(rows: Sequence[Row]) -> tuple[_Sums, _Sums]:
    hours: _Sums = {}
    for row in rows:
        hour = row[_AT] // _HOUR_MILLISECONDS * HOUR_SECONDS  # type: ignore[operator]
        key = (hour, *row[_OF_REQUEST], *row[_OF_CALL])
        values = (row[_REQUESTS], 1, int(row[_ERROR] is not None), *row[_ADDED])
        if (sums := hours.get(key)) is None:
            hours[key] = list(values)  # type: ignore[arg-type]
        else:
            hours[key] = list(map(add, sums, values))
    days: _Sums = {}
    for key, sums in hours.items():
        day = (key[0] // DAY_SECONDS * DAY_SECONDS, *key[1:])  # type: ignore[operator]
        days[day] = list(map(add, days[day], sums)) if day in days else sums
    return hours, days


def _values(sums: _Sums) -> Iterable[tuple[object, ...]]:
    return ((*key, *added) for key, added in sums.items())
