"""Test whether the store of a configuration can be used, without creating or changing anything."""

from collections.abc import Mapping
from os import environ as _environ
from pathlib import Path
from typing import NamedTuple

from gateway.config import StoreConfig
from gateway.kept_turns.backing import TroubleError
from gateway.kept_turns.opening import database_file, kind_of
from gateway.private_files.looking import is_there


class Trial(NamedTuple):
    is_well: bool
    words: str


async def try_store(config: StoreConfig, environ: Mapping[str, str] = _environ) -> Trial:
    """Test the backing, if the configuration has one."""
    kind = kind_of(config)
    try:
        if kind == "sqlite":
            return Trial(True, _found_in_sqlite(database_file(config, environ)))
        if kind == "valkey":
            return Trial(True, await _found_in_valkey(config))
    except (OSError, ValueError, TroubleError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return Trial(False, reason)
    return Trial(True, "nothing to open")


def _found_in_sqlite(file: Path) -> str:
    # Imported only if needed, as in `opening`.
    import sqlite3

    from gateway.kept_turns.database import kept_turns

    if not is_there(file):
        return "there is no database yet, the gateway creates it at its first start"
    try:
        return f"the database can be opened, {kept_turns(file)} turns are kept"
    except sqlite3.Error as error:
        raise TroubleError(f"{file}: {error}") from error


async def _found_in_valkey(config: StoreConfig) -> str:
    from gateway.kept_turns.valkey_server import ValkeyServer

    assert config.url is not None
    assert config.encryption_key is not None
    server = ValkeyServer(config.url, config.encryption_key)
    try:
        await server.reach(only=True)
    finally:
        await server.close()
    return "the server answers"
