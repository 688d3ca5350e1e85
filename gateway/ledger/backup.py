"""A copy of the accounts' database, made while gateways use it, by SQLite's own backup."""

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Final

from gateway.ledger.files import BUSY_SECONDS
from gateway.ledger.lane import text_of
from gateway.ledger.migrating import check_ours
from gateway.ledger.trouble import AccountsFileError
from gateway.private_files.database import WITH_LOG, beside, make

_PART: Final = ".part"


def back_up(source: Path, target: Path) -> int:
    """Copy a database to a new file, and check the copy; returns its size. Raises `AccountsFileError`.

    The copy is what the database is at one moment. Whoever writes to it does not wait.
    """
    if target.exists():
        raise AccountsFileError(f"{target} exists already; choose another name, or remove it")
    if not source.exists():
        raise AccountsFileError(f"{source} does not exist: no gateway with this configuration has run yet")
    part = beside(target, _PART)
    try:
        make(part)
        _copy(source, part)
        # Another backup to the same name shall not be replaced by this one.
        os.link(part, target)
        return target.stat().st_size
    except (sqlite3.Error, OSError) as error:
        raise AccountsFileError(f"{source} could not be copied to {target}: {text_of(error)}") from error
    finally:
        for suffix in (*WITH_LOG, "-journal"):
            with contextlib.suppress(OSError):
                os.unlink(beside(part, suffix))


def _copy(source: Path, part: Path) -> None:
    with (
        contextlib.closing(
            sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS)
        ) as of,
        contextlib.closing(sqlite3.connect(part, isolation_level=None)) as to,
    ):
        check_ours(of)
        # In one step: a copy in several begins again whenever somebody writes.
        of.backup(to)
        # One file, without a log beside it.
        to.execute("PRAGMA journal_mode = DELETE")
        if (found := to.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
            raise AccountsFileError(f"{source} is damaged, and so is its copy: {found}")
    with open(part, "rb") as opened:
        os.fsync(opened.fileno())
