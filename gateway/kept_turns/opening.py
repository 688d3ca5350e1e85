"""Building the store and the records that a configuration asks for, and describing where they are."""

from collections.abc import Mapping
from os import environ as _environ
from pathlib import Path
from typing import Final

from gateway.config import Config, StoreConfig, missing_extra
from gateway.kept_turns.layered import LayeredStore
from gateway.kept_turns.memory import Memory
from gateway.kept_turns.record_memory import RecordMemory
from gateway.kept_turns.records import KeptRecords
from gateway.private_files.keyfile import key_file
from gateway.private_files.places import state_folder

_MIB: Final = 1024 * 1024
_FILE_NAME: Final = "store.db"
# What the database of responses has behind the store's name.
_RECORDS: Final = ".responses"


def open_store(config: StoreConfig, environ: Mapping[str, str] = _environ) -> LayeredStore:
    """The store, which opens nothing before it is started or used; `config` must have been checked."""
    kind = kind_of(config)
    memory = Memory(0 if kind == "off" else config.memory_bytes, config.keep_seconds)
    if kind == "sqlite":
        return _with_sqlite(config, memory, database_file(config, environ))
    if kind == "valkey":
        return _with_valkey(config, memory)
    return LayeredStore(memory, keep_seconds=config.keep_seconds, place=kind)


def open_records(config: Config, environ: Mapping[str, str] = _environ) -> KeptRecords:
    """The stored responses and conversations, which live where the store does, in a database of their own."""
    kind = kind_of(config.store) if config.responses.store else "off"
    memory = RecordMemory(0 if kind == "off" else config.responses.memory_bytes, config.responses.keep_seconds)
    if kind == "sqlite":
        return _sqlite_records(config, memory, database_file(config.store, environ))
    if kind == "valkey":
        return _valkey_records(config, memory)
    return KeptRecords(memory, place=kind)


def kind_of(config: StoreConfig) -> str:
    """The kind of store; what is installed decides what `auto` means."""
    if config.kind != "auto":
        return config.kind
    return "memory" if missing_extra("sqlite") else "sqlite"


def database_file(config: StoreConfig, environ: Mapping[str, str] = _environ) -> Path:
    if config.path is not None:
        return Path(config.path)
    return state_folder(environ) / _FILE_NAME


def place_in_words(config: StoreConfig, environ: Mapping[str, str] = _environ) -> str:
    """Where the store is, for the banner and `dragoman check`."""
    return _PLACES[kind_of(config)](config, environ)


def is_shared(config: StoreConfig) -> bool:
    """Whether workers find each other's turns."""
    return kind_of(config) in ("sqlite", "valkey")


def how_to_share(config: StoreConfig) -> str:
    """What the operator can do to have workers share the store."""
    return missing_extra("sqlite") or "set store.kind to sqlite"


# The libraries are optional, and take time and memory: they are imported only if needed.


def _with_sqlite(config: StoreConfig, memory: Memory, file: Path) -> LayeredStore:
    from gateway.kept_turns.database import Database
    from gateway.kept_turns.files import DatabaseFiles
    from gateway.kept_turns.sqlite import SqliteBacking
    from gateway.kept_turns.sqlite_file import Bounds

    bounds = Bounds(config.disk_bytes, config.keep_seconds)
    backing = SqliteBacking(DatabaseFiles(Database, file, bounds, config.encryption_key), bounds)
    return LayeredStore(memory, backing, keep_seconds=config.keep_seconds, place=str(file))


def _with_valkey(config: StoreConfig, memory: Memory) -> LayeredStore:
    from gateway.kept_turns.valkey import ValkeyBacking

    assert config.url is not None
    assert config.encryption_key is not None
    backing = ValkeyBacking(config.url, config.encryption_key, config.keep_seconds)
    return LayeredStore(memory, backing, keep_seconds=config.keep_seconds, place=backing.place)


def _sqlite_records(config: Config, memory: RecordMemory, store: Path) -> KeptRecords:
    from gateway.kept_turns.files import DatabaseFiles
    from gateway.kept_turns.record_database import RecordDatabase
    from gateway.kept_turns.record_sqlite import SqliteRecords
    from gateway.kept_turns.sqlite_file import Bounds

    bounds = Bounds(config.responses.disk_bytes, config.responses.keep_seconds)
    file = store.with_name(f"{store.name}{_RECORDS}")
    files = DatabaseFiles(RecordDatabase, file, bounds, config.store.encryption_key, key_owner=store)
    return KeptRecords(memory, SqliteRecords(files, bounds), place=str(file))


def _valkey_records(config: Config, memory: RecordMemory) -> KeptRecords:
    from gateway.kept_turns.record_valkey import ValkeyRecords

    assert config.store.url is not None
    assert config.store.encryption_key is not None
    backing = ValkeyRecords(config.store.url, config.store.encryption_key, config.responses.keep_seconds)
    return KeptRecords(memory, backing, place=backing.place)


def _memory_in_words(config: StoreConfig, environ: Mapping[str, str]) -> str:
    size = f"in memory, {config.memory_bytes / _MIB:g} MiB, gone with the process"
    advice = missing_extra("sqlite") if config.kind == "auto" else None
    return f"{size}; to keep it: {advice}" if advice else size


def _sqlite_in_words(config: StoreConfig, environ: Mapping[str, str]) -> str:
    file = database_file(config, environ)
    return f"{file}, encrypted with {key_file(file) if config.encryption_key is None else 'store.encryption_key'}"


def _valkey_in_words(config: StoreConfig, environ: Mapping[str, str]) -> str:
    from gateway.kept_turns.valkey_server import place_of

    assert config.url is not None
    return f"{place_of(config.url)}, encrypted with store.encryption_key"


def _off_in_words(config: StoreConfig, environ: Mapping[str, str]) -> str:
    return "off: nothing is kept between requests"


_PLACES: Final = {
    "memory": _memory_in_words,
    "sqlite": _sqlite_in_words,
    "valkey": _valkey_in_words,
    "off": _off_in_words,
}
