"""Rules between the settings of the store."""

import os.path
import re
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from msgspec.structs import replace

from gateway.config.extras import missing_extra
from gateway.config.mistakes import Mistakes
from gateway.config.settings import Config, StoreConfig
from gateway.secret import Secret

_SCHEMES: Final = ("valkey", "valkeys", "redis", "rediss", "unix")
_DATABASE: Final = re.compile(r"/?|/\d+")


def with_absolute_paths(config: Config, folder: Path) -> Config:
    """The same configuration with the paths of files resolved against the configuration file's folder."""
    tls = config.server.tls
    if tls is not None and isinstance(tls.certificate, str):
        tls = replace(tls, certificate=_absolute(tls.certificate, folder), key=_absolute(tls.key, folder))
    return replace(
        config,
        server=replace(config.server, tls=tls),
        store=replace(config.store, path=_absolute(config.store.path, folder)),
        accounts=replace(config.accounts, path=_absolute(config.accounts.path, folder)),
    )


def _absolute(path: str | None, folder: Path) -> str | None:
    return None if path is None else os.path.abspath(folder / os.path.expanduser(path))


def check_store(store: StoreConfig, mistakes: Mistakes) -> None:
    """Report what the kind of store needs and does not have."""
    if command := missing_extra(store.kind):
        mistakes.add("store.kind", f"{store.kind} needs packages that are not installed: {command}")
    if store.kind == "valkey":
        if store.url is None:
            mistakes.add("store.url", "missing, kind valkey needs a server, like valkey://localhost:6379/0")
        if store.encryption_key is None:
            mistakes.add("store.encryption_key", "missing, kind valkey needs one, the same on all machines")
    elif store.url is not None:
        mistakes.add("store.url", f"not used by kind {store.kind}; for a server set store.kind to valkey")
    if store.url is not None and (problem := _problem_of(store.url)):
        mistakes.add("store.url", problem)


def _problem_of(url: Secret) -> str | None:
    """What is wrong with a URL, without quoting it."""
    expected = "expected an address like valkey://host:6379/0, valkeys:// for TLS, or unix:///path/of/socket"
    try:
        parts = urlsplit(url.reveal())
        is_complete = _has_socket(parts) if parts.scheme == "unix" else _has_host(parts)
    except ValueError:
        return expected
    return None if parts.scheme in _SCHEMES and is_complete else expected


def _has_socket(parts: SplitResult) -> bool:
    return bool(parts.path)


def _has_host(parts: SplitResult) -> bool:
    # The client library would use database 0 for a database that is not a number.
    return bool(parts.hostname) and parts.port != 0 and _DATABASE.fullmatch(parts.path) is not None
