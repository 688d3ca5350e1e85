"""What outlives a request: a cache in each process, backed by SQLite, or by Valkey for several machines."""

from gateway.store.layered import Counts, LayeredStore
from gateway.store.opening import database_file, how_to_share, is_shared, kind_of, open_store, place_in_words
from gateway.store.switch import StoreSwitch
from gateway.store.trial import Trial, try_store

__all__ = [
    "Counts",
    "LayeredStore",
    "StoreSwitch",
    "Trial",
    "database_file",
    "how_to_share",
    "is_shared",
    "kind_of",
    "open_store",
    "place_in_words",
    "try_store",
]
