"""The rules in accounts.db, for one process: read at the start and after each change."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from gateway.accounts.rule_table import add_rule, read_rules, remove_rule
from gateway.accounts.rules.definition import Definition
from gateway.ledger.lane import POLL_SECONDS, AccountsFile
from gateway.ledger.parts import secret_reader
from gateway.ledger.rows import UserHash
from gateway.ledger.texts import short_name
from gateway.ledger.trouble import AccountsFileError, unavailable
from gateway.secret import Secret
from gateway.telemetry.logs import log_event

T = TypeVar("T")

_UNREADABLE: Final = "The rules of the accounts' database cannot be read; those that are known go on counting"
_WRONG: Final = "A rule of the accounts' database cannot be counted, and is left out"


class StoredRules:
    """Reads the rules whenever they have changed, and gives them to `changed`."""

    def __init__(
        self,
        file: AccountsFile,
        secret: Secret | None,
        now: Callable[[], float],
        changed: Callable[[Sequence[Definition]], None],
    ) -> None:
        self._now = now
        self._file = file
        self._secret = secret
        self._changed = changed
        self._users: UserHash | None = None
        self._read_from: tuple[sqlite3.Connection, int] | None = None
        self._trouble = ""

    async def start(self) -> None:
        """Read the rules, before the first request."""
        try:
            self._users = await self._file.run(self._read_secret)
        except (AccountsFileError, OSError, ValueError) as error:
            log_event(logging.ERROR, _UNREADABLE, why=str(error))
        await self.refresh()

    async def watch(self) -> None:
        """Look for changes until cancelled; what fails is tried again."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self.refresh()

    async def refresh(self) -> None:
        """Read the rules if they have changed; a failure, which is logged once, leaves them as they are."""
        try:
            if (found := await self._file.run(self._read)) is not None:
                definitions, wrong = found
                for why in wrong:
                    log_event(logging.ERROR, _WRONG, why=why)
                self._changed(definitions)
        except Exception as error:
            # Whatever it is, it must not end the looking.
            if str(error) != self._trouble:
                log_event(logging.ERROR, _UNREADABLE, why=str(error))
            self._trouble = str(error)
        else:
            self._trouble = ""

    async def definitions(self) -> Sequence[Definition]:
        """The rules in the table; raises `FailedError`, as all that follow."""
        return (await self._run(read_rules))[0]

    async def add(self, definition: Definition, actor: str, reserved: Sequence[str]) -> None:
        """Add a rule, or replace the one of its id; this process counts by it at once."""
        now = self._now()
        await self._run(lambda connection: add_rule(connection, definition, now, actor, reserved))
        await self.refresh()

    async def remove(self, rule_id: str, actor: str) -> None:
        """Remove a rule."""
        now = self._now()
        await self._run(lambda connection: remove_rule(connection, rule_id, now, actor))
        await self.refresh()

    async def _run(self, action: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await self._file.run(action)
        except AccountsFileError as error:
            raise unavailable(error) from error

    def hash_user(self, name: str) -> bytes | None:
        """What stands for an end user in the ledger; None if its secret cannot be read."""
        return None if self._users is None else self._users.of(short_name(name))

    # Called in the thread.

    def _read(self, connection: sqlite3.Connection) -> tuple[list[Definition], list[str]] | None:
        """The rules; None if they are as they were at the last look."""
        [version] = connection.execute("SELECT version FROM changes WHERE name = 'rules'").fetchone()
        if self._read_from == (connection, version):
            return None
        found = read_rules(connection)
        # Another connection may be one to another file.
        self._read_from = (connection, version)
        return found

    def _read_secret(self, _connection: sqlite3.Connection) -> UserHash:
        return UserHash(secret_reader(self._file.file, self._secret)())
