"""Which file a configuration asks for, without opening it."""

from collections.abc import Mapping
from os import environ as _environ
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.config import AccountsConfig
from gateway.private_files.places import state_folder

if TYPE_CHECKING:
    from gateway.ledger.lane import AccountsFile

_FILE_NAME: Final = "accounts.db"


def accounts_path(config: AccountsConfig, environ: Mapping[str, str] = _environ) -> Path | None:
    """The path of accounts.db; None if it is switched off."""
    if config.kind == "off":
        return None
    return Path(config.path) if config.path is not None else state_folder(environ) / _FILE_NAME


def accounts_file(
    config: AccountsConfig, name: str = "accounts", environ: Mapping[str, str] = _environ
) -> "AccountsFile | None":
    """The file with a thread of this name for it, which opens nothing before it is used; None if it is off."""
    if (path := accounts_path(config, environ)) is None:
        return None
    # SQLite is loaded only where it is used.
    from gateway.ledger.lane import AccountsFile

    return AccountsFile(path, name)
