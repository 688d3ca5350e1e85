"""Stored keys for tests: made in a database of the test's own, as the command line does."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from gateway.accounts.keys.reading import hasher_of
from gateway.accounts.keys.stored import Draft, Edit
from gateway.accounts.keys.table import KeyTable, MadeKey
from gateway.config import AccountsConfig, Config
from gateway.ledger.lane import AccountsFile

T = TypeVar("T")
ACTOR = "test"


class KeyDesk:
    """Keys in the database `accounts.db` of a folder; each call is another process's, as far as a gateway can tell."""

    def __init__(self, folder: Path, now: Callable[[], float] = time.time) -> None:
        self.file = folder / "accounts.db"
        self.now = now

    @property
    def config(self) -> AccountsConfig:
        return AccountsConfig(kind="sqlite", path=str(self.file))

    def within(self, config: Config) -> Config:
        """The configuration with these keys."""
        return replace(config, accounts=self.config)

    def run(self, action: Callable[[KeyTable], T]) -> T:
        file = AccountsFile(self.file, "test")
        return file.run_now(lambda c: action(KeyTable(c, hasher_of(c, self.file, None), self.now())))

    def make(self, name: str = "team-a", **fields: Any) -> MadeKey:
        """A new key."""
        draft = msgspec.convert({"name": name, **fields}, Draft)
        return self.run(lambda table: table.create(draft, ACTOR))

    def key(self, name: str = "team-a", **fields: Any) -> str:
        """A new key as its owner has it."""
        return self.make(name, **fields).key.reveal()

    def edit(self, key: str, **fields: Any) -> None:
        self.run(lambda table: table.edit(key, msgspec.convert(fields, Edit), ACTOR))

    def disable(self, name: str) -> None:
        self.run(lambda table: table.set_enabled(name, ACTOR, is_enabled=False))
