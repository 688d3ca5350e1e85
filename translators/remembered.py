"""A cache for results of pure functions that recur with every turn of a conversation, bounded in bytes."""

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

V = TypeVar("V")

# The largest share of the whole for one result, so that a huge one does not evict all others.
_LARGEST_SHARE: Final = 8


class Remembered(Generic[V]):
    """Values by key; the least recently used ones are evicted."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        # In the order of their last use.
        self._entries: dict[Hashable, tuple[V, int]] = {}

    @property
    def total_bytes(self) -> int:
        """The size of all cached values."""
        return self._bytes

    def get(self, key: Hashable) -> V | None:
        """The value, or None if it is not cached."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return None
        self._entries[key] = entry
        return entry[0]

    def put(self, key: Hashable, value: V, size: int) -> None:
        """Cache a value of `size` bytes, unless it is too large."""
        if size * _LARGEST_SHARE > self._max_bytes:
            return
        self._forget(key)
        self._entries[key] = (value, size)
        self._bytes += size
        while self._bytes > self._max_bytes:
            self._forget(next(iter(self._entries)))

    def _forget(self, key: Hashable) -> None:
        _, size = self._entries.pop(key, (None, 0))
        self._bytes -= size
