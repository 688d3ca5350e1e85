"""Puts together what writes the ledger; imported only where accounts are on."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gateway.config import AccountsConfig
from gateway.ledger.batches import Batches
from gateway.ledger.lane import AccountsFile
from gateway.ledger.pruning import Keep
from gateway.ledger.telling import LedgerLog
from gateway.ledger.writer import LedgerWriter
from gateway.private_files.keyfile import secret_of_database
from gateway.secret import Secret


class Parts(NamedTuple):
    """The thread that writes, and what the log says of it."""

    writer: LedgerWriter
    log: LedgerLog


def parts_for(path: Path, config: AccountsConfig, clock: Callable[[], float], wall: Callable[[], float]) -> Parts:
    """Everything for the database at `path`; opens nothing."""
    moved: list[Path] = []
    batches = Batches(AccountsFile(path, "ledger", moved.append), secret_reader(path, config.secret))
    writer = LedgerWriter(batches, keep_of(config), wall=wall)
    log = LedgerLog(writer, path, clock, moved)
    return Parts(writer, log)


def keep_of(config: AccountsConfig) -> Keep:
    """What of the ledger is kept."""
    return Keep(config.keep_days, config.keep_totals_days, config.max_bytes)


def secret_reader(path: Path, configured: Secret | None) -> Callable[[], bytes]:
    """Gives what keys and end users are hashed with; raises `OSError` and `ValueError`."""
    return lambda: (configured or secret_of_database(path)).reveal().encode()
