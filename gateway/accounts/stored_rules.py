"""The rules in accounts.db, for one process: read at the start and after each change; and what was spent before."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from gateway.accounts.rule_table import add_rule, read_rules, remove_rule
from gateway.accounts.rules.definition import Definition
from gateway.accounts.rules.rule import Measure
from gateway.accounts.spending import spent
from gateway.ledger.lane import AccountsFile
from gateway.ledger.parts import secret_reader
from gateway.ledger.rows import UserHash
from gateway.ledger.texts import short_name
from gateway.ledger.trouble import AccountsFileError
from gateway.secret import Secret
from gateway.telemetry.logs import log_event
from translators.errors import ErrorKind, FailedError, Failure

T = TypeVar("T")

_UNREADABLE: Final = "The rules of the accounts' database cannot be read; those that are known go on counting"
_WRONG: Final = "A rule of the accounts' database cannot be counted, and is left out"
_SAID: Final = "The accounts of this gateway cannot be reached at the moment. Please try again."


class StoredRules:
    """Reads the rules, whenever they have changed, and gives them to `changed`; also the `Spending` of meters."""

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
        self._readings: set[asyncio.Task[None]] = set()
        file.on_change("rules", self._on_change)

    async def start(self) -> None:
        """Read the rules, before the first request."""
        try:
            self._users = await self._file.run(self._read_secret)
        except (AccountsFileError, OSError, ValueError) as error:
            log_event(logging.ERROR, _UNREADABLE, why=str(error))
        await self._read()

    async def watch(self) -> None:
        """Look for changes until cancelled."""
        await self._file.watch()

    async def close(self) -> None:
        await self._file.close()

    async def definitions(self) -> Sequence[Definition]:
        """The rules in the table; raises `FailedError`, as all that follow."""
        return (await self._run(read_rules))[0]

    async def add(self, definition: Definition, actor: str, reserved: Sequence[str]) -> None:
        """Add a rule, or replace the one of its id; this process counts by it at once."""
        now = self._now()
        await self._run(lambda connection: add_rule(connection, definition, now, actor, reserved))
        await self._read()

    async def remove(self, rule_id: str, actor: str) -> None:
        """Remove a rule."""
        now = self._now()
        await self._run(lambda connection: remove_rule(connection, rule_id, now, actor))
        await self._read()

    async def _run(self, action: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await self._file.run(action)
        except AccountsFileError as error:
            raise FailedError(Failure(ErrorKind.STORE_UNAVAILABLE, _SAID, detail=str(error))) from error

    async def spent(self, measure: Measure, since: float) -> int:
        """What the ledger has; raises `OSError` if it cannot be read."""
        try:
            return await self._file.run(lambda connection: spent(connection, measure, since))
        except AccountsFileError as error:
            raise OSError(str(error)) from error

    def hash_user(self, name: str) -> bytes | None:
        """What stands for an end user in the ledger; None if its secret cannot be read."""
        return None if self._users is None else self._users.of(short_name(name))

    def _on_change(self, _version: int) -> None:
        task = asyncio.get_running_loop().create_task(self._read())
        self._readings.add(task)
        task.add_done_callback(self._readings.discard)

    async def _read(self) -> None:
        try:
            definitions, wrong = await self._file.run(read_rules)
        except AccountsFileError as error:
            log_event(logging.ERROR, _UNREADABLE, why=str(error))
            return
        for why in wrong:
            log_event(logging.ERROR, _WRONG, why=why)
        self._changed(definitions)

    def _read_secret(self, _connection: sqlite3.Connection) -> UserHash:
        return UserHash(secret_reader(self._file.file, self._secret)())
