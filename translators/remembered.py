"""Results of pure functions that are asked for again with every turn of a conversation, within a bound in bytes."""

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

V = TypeVar("V")

# One result may take up so much of the whole, so that a single huge one does not drive out all others.
_LARGEST_SHARE: Final = 8


class Remembered(Generic[V]):
    """Values by key, as many as fit; the one that was not asked for the longest goes first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        # In the order of their last use.
        self._entries: dict[Hashable, tuple[V, int]] = {}

    @property
    def total_bytes(self) -> int:
        """The size of everything that is remembered."""
        return self._bytes

    def get(self, key: Hashable) -> V | None:
        """The value, or None where it is not known or not any more."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return None
        self._entries[key] = entry
        return entry[0]

    def put(self, key: Hashable, value: V, size: int) -> None:
        """Remember a value that takes `size` bytes, unless that is too much for one."""
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
