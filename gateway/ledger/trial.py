"""Whether the accounts' database of a configuration could be used, found out without creating or changing anything."""

import contextlib
from collections.abc import Mapping
from os import environ as _environ
from pathlib import Path
from typing import Final

from gateway.config import AccountsConfig
from gateway.ledger.opening import accounts_path
from gateway.ledger.trouble import AccountsFileError
from gateway.private_files.looking import is_there, uri_to_look

_BUSY_SECONDS: Final = 2.0


def try_accounts(config: AccountsConfig, environ: Mapping[str, str] = _environ) -> tuple[bool, str]:
    """Whether the database is well, and what was found, in words."""
    if (file := accounts_path(config, environ)) is None:
        return True, "off"
    try:
        return True, _found(file) if is_there(file) else f"{file} is created at the first start"
    except (OSError, ValueError, AccountsFileError) as error:
        return False, getattr(error, "strerror", None) or str(error)


def _found(file: Path) -> str:
    # SQLite is loaded only where it is used.
    import sqlite3

    from gateway.ledger.migrating import check_ours

    try:
        with contextlib.closing(sqlite3.connect(uri_to_look(file), uri=True, timeout=_BUSY_SECONDS)) as connection:
            check_ours(connection)
            [tables] = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            [keys] = connection.execute("SELECT count(*) FROM keys").fetchone() if tables else [0]
    except sqlite3.Error as error:
        raise AccountsFileError(f"{file}: {error}") from error
    return f"{file} can be opened, it holds {keys} keys"
