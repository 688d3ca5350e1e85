"""The ledger's file from the side that writes: what cannot be written waits in the journal, in its order."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

from gateway.ledger.journal import Journal
from gateway.ledger.lane import AccountsFile, text_of
from gateway.ledger.pruning import Keep, prune
from gateway.ledger.rows import Row, UserHash
from gateway.ledger.trouble import AccountsFileError
from gateway.ledger.writing import write_rows

# One transaction of these takes some 30 ms, during which no other process writes.
MOST_ROWS_A_BATCH: Final = 2_000
# A value is not one for its column, so that another try would not help.
_OF_A_ROW: Final = (sqlite3.Error, OverflowError, ValueError)


class Batches:
    """Writes rows, or keeps them until they can be written; for one thread.

    `read_secret` gives what end users are hashed with, and is asked until it has succeeded: from then on `users` hashes
    them. `trouble` says why the last try has failed, and is empty if it has not. `refused` counts rows that no database
    would take.
    """

    def __init__(self, file: AccountsFile, read_secret: Callable[[], bytes], journal: Journal | None = None) -> None:
        self._file = file
        self._read_secret = read_secret
        self.users: UserHash | None = None
        self.journal = Journal() if journal is None else journal
        self.trouble = ""
        self.refused = 0

    def add(self, rows: Sequence[Row]) -> None:
        """Write rows; they wait if others do, or if they cannot be written now."""
        for begin in range(0, len(rows), MOST_ROWS_A_BATCH):
            batch = rows[begin : begin + MOST_ROWS_A_BATCH]
            if self.trouble or not self._write(batch):
                self.journal.add(batch)

    def retry(self) -> None:
        """Write what waits; find out whether that is possible again."""
        while batch := self.journal.first(MOST_ROWS_A_BATCH):
            if not self._write(batch):
                return
            self.journal.drop(len(batch))
        if self.trouble:
            self._write(())

    def probe(self) -> None:
        """Find out whether the file can be used, before there is anything to write."""
        self._write(())

    def prune(self, keep: Keep, now: float) -> bool:
        """Delete a little of what is not kept any longer; returns whether there is more."""
        try:
            return self._file.run_here(lambda connection: prune(connection, keep, now))
        except AccountsFileError:
            # Deleting can wait; if something is wrong with the file, the next row tells.
            return False

    def close(self) -> None:
        """Close the file."""
        self._file.let_go()

    def _write(self, rows: Sequence[Row]) -> bool:
        """Write rows in one transaction; returns whether they are settled."""
        try:
            users = self.users = self.users or UserHash(self._read_secret())
        except (OSError, ValueError) as error:
            self.trouble = text_of(error)
            return False
        try:
            self._file.run_here(lambda connection: write_rows(connection, users.hide(rows)))
        except AccountsFileError as error:
            self.trouble = str(error)
            return False
        except _OF_A_ROW:
            return self._write_each(rows)
        self.trouble = ""
        return True

    def _write_each(self, rows: Sequence[Row]) -> bool:
        """Write rows of which one is refused: the others shall not be lost with it."""
        if len(rows) == 1:
            self.refused += 1
            return True
        settled = [self._write([row]) for row in rows]
        return all(settled)
