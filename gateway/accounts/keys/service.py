"""The stored keys of one process: its key book is kept up to date, and changes go to the table."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Collection
from typing import Final, TypeVar

from gateway.accounts.keys.book import ALL, KeyBook, Reading
from gateway.accounts.keys.hashing import Hasher
from gateway.accounts.keys.reading import hasher_of, read_keys
from gateway.accounts.keys.table import KeyTable
from gateway.ledger.lane import POLL_SECONDS, AccountsFile
from gateway.ledger.trouble import AccountsFileError, unavailable
from gateway.ledger.used import used_first
from gateway.private_files.database import ASIDE, beside, is_missing
from gateway.secret import Secret
from gateway.telemetry.logs import log_event

T = TypeVar("T")

_UNREADABLE: Final = "The keys of callers cannot be read; those that are known go on working"
_NEVER_READ: Final = "The keys of callers cannot be read, so none of them is accepted"
_READ_AGAIN: Final = "The keys of callers can be read again"
_LOST: Final = (
    "There are no keys, but an earlier database of accounts was corrupt: callers need keys until that file is removed"
)


class StoredKeys:
    """Reads what has changed into the book, four times a second; `reserved` are names that no key may have."""

    def __init__(
        self,
        file: AccountsFile,
        secret: Secret | None,
        book: KeyBook,
        now: Callable[[], float],
        reserved: Callable[[], Collection[str]],
    ) -> None:
        self._file = file
        self._secret = secret
        self._book = book
        self._now = now
        self._reserved = reserved
        # What the book was read from: another connection may be one to another file.
        self._connection: sqlite3.Connection | None = None
        self._hasher: Hasher | None = None
        self._trouble = ""
        self._reading = asyncio.Lock()

    async def start(self) -> None:
        """Read all keys, before the first request."""
        # Where there is no database, and none can be made, there are no keys either.
        self._book.is_blind = not is_missing(self._file.file)
        await self.refresh()
        aside = beside(self._file.file, ASIDE)
        if not self._book.closes and not is_missing(aside):
            # Whoever had a key before must not find an open gateway now.
            self._book.close()
            log_event(logging.ERROR, _LOST, file=aside)

    async def watch(self) -> None:
        """Keep the book up to date until cancelled; what fails is tried again."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self.refresh()

    async def run(self, action: Callable[[KeyTable], T]) -> T:
        """Run an action on the table; this process knows at once what it has changed. Raises `FailedError`."""
        result = await self._file_run(lambda connection: action(self._table(connection)))
        await self.refresh()
        return result

    async def _file_run(self, action: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await self._file.run(action)
        except AccountsFileError as error:
            self._note(str(error))
            raise unavailable(error) from error

    async def use_once(self, name: str, until: float) -> bool:
        """Use up something that is valid until a Unix time; returns whether nobody has. Raises `FailedError`."""
        now = self._now()
        return await self._file_run(lambda connection: used_first(connection, name, until, now))

    async def refresh(self) -> None:
        """Read what has changed into the book; a failure leaves the book as it is."""
        async with self._reading:
            try:
                reading = await self._file.run(self._read)
            except AccountsFileError as error:
                self._note(str(error))
                return
            except Exception as error:
                # Whatever it is, it must not end the looking.
                self._note(f"{self._file.file}: {error}")
                return
            if reading is not None:
                self._book.take(reading)
            self._note("")

    # Called in the thread.

    def _table(self, connection: sqlite3.Connection) -> KeyTable:
        return KeyTable(connection, self._hasher_for(connection), self._now(), self._reserved())

    def _read(self, connection: sqlite3.Connection) -> Reading | None:
        is_known = connection is self._connection and not self._book.is_blind
        reading = read_keys(connection, self._hasher_for(connection), self._book.version if is_known else ALL)
        self._connection = connection
        return reading

    def _hasher_for(self, connection: sqlite3.Connection) -> Hasher:
        if self._hasher is None or connection is not self._connection:
            self._hasher = hasher_of(connection, self._file.file, self._secret)
        return self._hasher

    def _note(self, trouble: str) -> None:
        """Log that the file has become unusable, or usable again."""
        if trouble == self._trouble:
            return
        if trouble:
            message = _NEVER_READ if self._book.is_blind else _UNREADABLE
            log_event(logging.ERROR, message, why=trouble)
        else:
            log_event(logging.WARNING, _READ_AGAIN, file=self._file.file)
        self._trouble = trouble
