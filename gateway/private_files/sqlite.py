"""What all users of SQLite share: transactions, and how a corrupt file is recognised."""

import sqlite3
from typing import Final

_BROKEN: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Transaction:
    """A block that is committed or rolled back as a whole.

    It takes the write lock at its start, so that what is read in it stays true until its end.
    """

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


def is_broken(error: sqlite3.Error) -> bool:
    """Whether an error says that the file is corrupt or not a database."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _BROKEN
