"""What is kept in this process: entries bounded by bytes and by age, and keys known to be absent; pure."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

# The overhead of an entry: objects, and its slot in a dictionary that has just grown.
# Measured with tracemalloc, up to 400,000 entries: 302 at most.
ENTRY_BYTES: Final = 320
# One value may take this fraction of the memory; a larger one would evict too many others.
LARGEST_SHARE: Final = 8
# How often the use of an entry is reported to the backing, which records times of use.
USE_SECONDS: Final = 3600.0
# How long, and how many, absent keys are remembered (189 bytes each).
ABSENT_SECONDS: Final = 300.0
MOST_ABSENT: Final = 16_384


class _Entry:
    __slots__ = ("expires_at", "report_at", "value")

    def __init__(self, value: bytes, expires_at: float, report_at: float) -> None:
        self.value = value
        self.expires_at = expires_at
        self.report_at = report_at


class Memory:
    """Values by key, evicted in least-recently-used order; times are seconds of one clock."""

    def __init__(self, most_bytes: int, keep_seconds: float) -> None:
        self.most_bytes = most_bytes
        self.largest = most_bytes // LARGEST_SHARE
        self.size = 0
        self._keep_seconds = keep_seconds
        # In order of use, the most recent last.
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._used: list[bytes] = []

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes, now: float) -> bytes | None:
        """The value, which becomes the most recently used."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if now >= entry.expires_at:
            self.forget(key)
            return None
        self._entries.move_to_end(key)
        if now >= entry.report_at:
            entry.report_at = now + USE_SECONDS
            self._used.append(key)
        return entry.value

    def put(self, key: bytes, value: bytes, now: float, age_seconds: float = 0.0) -> bool:
        """Keep a value of this age; False if it is too large or too old, and then the key has no value any more."""
        self.forget(key)
        size = len(value) + ENTRY_BYTES
        if size > self.largest or age_seconds >= self._keep_seconds:
            return False
        self._make_room(size, now)
        self._entries[key] = _Entry(value, now + self._keep_seconds - age_seconds, now + USE_SECONDS)
        self.size += size
        return True

    def forget(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size -= len(entry.value) + ENTRY_BYTES

    def take_used(self) -> list[bytes]:
        """The keys that were used since the last call, each at most once in `USE_SECONDS`."""
        used, self._used = self._used, []
        return used

    def adopt(self, other: "Memory", now: float) -> None:
        """Take over another memory's entries as far as there is room; both must use the same clock."""
        for key, entry in other._entries.items():
            age = max(0.0, other._keep_seconds - (entry.expires_at - now))
            self.put(key, entry.value, now, age)

    def _make_room(self, size: int, now: float) -> None:
        """Evict the least recently used entries until there is room, and expired ones that are next in that order."""
        while self._entries:
            key, entry = next(iter(self._entries.items()))
            if self.size + size <= self.most_bytes and now < entry.expires_at:
                return
            self.forget(key)


class Absent:
    """Remembers for some minutes which keys were not found, up to a maximum number."""

    def __init__(self, most: int = MOST_ABSENT, seconds: float = ABSENT_SECONDS) -> None:
        self._most = most
        self._seconds = seconds
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def knows(self, key: bytes, now: float) -> bool:
        """Whether the key was recently not found."""
        until = self._until.get(key)
        if until is None:
            return False
        if now >= until:
            del self._until[key]
            return False
        return True

    def add(self, keys: Iterable[bytes], now: float) -> None:
        """Remember that these were not found."""
        for key in keys:
            self._until.pop(key, None)
            self._until[key] = now + self._seconds
            if len(self._until) > self._most:
                self._until.popitem(last=False)

    def discard(self, key: bytes) -> None:
        """Forget the key: it may exist now."""
        self._until.pop(key, None)
