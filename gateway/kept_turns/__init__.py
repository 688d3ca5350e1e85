"""What outlives a request: a cache in each process, backed by SQLite, or by Valkey for several machines."""

from gateway.kept_turns.layered import Counts, LayeredStore
from gateway.kept_turns.opening import database_file, how_to_share, is_shared, kind_of, open_store, place_in_words
from gateway.kept_turns.seal_keys import SealKeys, seals_in_words
from gateway.kept_turns.shown import merged as merged_databases
from gateway.kept_turns.storage import Storage
from gateway.kept_turns.switch import StoreSwitch
from gateway.kept_turns.trial import Trial, try_store

__all__ = [
    "Counts",
    "LayeredStore",
    "SealKeys",
    "Storage",
    "StoreSwitch",
    "Trial",
    "database_file",
    "how_to_share",
    "is_shared",
    "kind_of",
    "merged_databases",
    "open_store",
    "place_in_words",
    "seals_in_words",
    "try_store",
]
