"""What of a corrupt database goes over into the new one: keys, rules and the audit, as far as they can be read."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Final

from gateway.private_files.sqlite import Transaction

_TABLES: Final = ("keys", "rules", "audit")


def salvage(corrupt: Path, connection: sqlite3.Connection) -> None:
    """Copy what can be read into an empty database; raises `sqlite3.Error` only if that one cannot be written."""
    with contextlib.closing(sqlite3.connect(corrupt, isolation_level=None)) as old:
        for table in _TABLES:
            columns, rows = _readable(old, table)
            known = {name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))}
            if rows and set(columns) <= known:
                names, marks = ", ".join(columns), ", ".join("?" * len(columns))
                with Transaction(connection):
                    connection.executemany(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})", rows)  # noqa: S608


def _readable(old: sqlite3.Connection, table: str) -> tuple[list[str], list[tuple[object, ...]]]:
    """The names of the columns, and the rows until the first that cannot be read."""
    columns: list[str] = []
    rows: list[tuple[object, ...]] = []
    with contextlib.suppress(sqlite3.Error):
        found = old.execute(f"SELECT * FROM {table} ORDER BY rowid")  # noqa: S608 - our names
        columns = [about[0] for about in found.description]
        # One by one: what was read before an error counts.
        for row in found:
            rows.append(row)  # noqa: PERF402
    return columns, rows
