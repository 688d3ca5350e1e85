"""Records in this process's memory, bounded by bytes and by age. The least recently renewed is dropped first. Pure."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

from gateway.service.ports import Appended

# The overhead of a record or entry: objects, and their slots in dictionaries.
OBJECT_BYTES: Final = 400
# One record may take this fraction of the memory.
LARGEST_SHARE: Final = 4
# Limits of one record.
MOST_ENTRIES: Final = 5_000
MOST_ENTRY_BYTES: Final = 32 * 2**20


class _Record:
    __slots__ = ("entries", "expires_at", "size", "value")

    def __init__(self, value: bytes, expires_at: float) -> None:
        self.value = value
        self.expires_at = expires_at
        self.entries: dict[bytes, bytes] = {}
        self.size = len(value) + OBJECT_BYTES


class RecordMemory:
    """Records by key. `now` is always in seconds of the same clock."""

    def __init__(self, most_bytes: int, keep_seconds: float) -> None:
        self.most_bytes = most_bytes
        self.size = 0
        self._keep_seconds = keep_seconds
        # In order of expiry, the next one first.
        self._records: OrderedDict[bytes, _Record] = OrderedDict()

    def __len__(self) -> int:
        return len(self._records)

    def has(self, key: bytes, now: float) -> bool:
        """Whether there is such a record."""
        return self._get(key, now) is not None

    def put(self, key: bytes, value: bytes, renewed: Iterable[bytes], now: float) -> bool:
        """Write a record's value, and renew others; False if it is too large."""
        old = self._get(key, now)
        size = len(value) + OBJECT_BYTES + (old.size - len(old.value) - OBJECT_BYTES if old else 0)
        if size > self.most_bytes // LARGEST_SHARE:
            return False
        if old is None:
            old = self._records[key] = _Record(b"", now + self._keep_seconds)
            self.size += old.size
        self._grow(old, len(value) - len(old.value))
        old.value = value
        for each in (*renewed, key):
            self._renew(each, now)
        self._make_room(now)
        return True

    def replace(self, key: bytes, value: bytes, now: float) -> bool:
        """Write the value of a record that exists and has room for it."""
        return self.has(key, now) and self.put(key, value, (), now)

    def fetch(self, keys: Iterable[bytes], now: float) -> dict[bytes, bytes]:
        """The values of those that exist."""
        found = {key: self._get(key, now) for key in keys}
        return {key: record.value for key, record in found.items() if record is not None}

    def delete(self, key: bytes, now: float) -> bool:
        """Delete a record; False if it does not exist."""
        if not self.has(key, now):
            return False
        self._forget(key)
        return True

    def append(self, key: bytes, entries: Sequence[tuple[bytes, bytes]], now: float) -> Appended:
        """Append entries, all or none. An entry whose name exists already keeps its value."""
        record = self._get(key, now)
        if record is None:
            return Appended.NO_RECORD
        new = {name: value for name, value in reversed(entries) if name not in record.entries}
        size = sum(map(len, new.values())) + OBJECT_BYTES * len(new)
        most = min(MOST_ENTRY_BYTES, self.most_bytes // LARGEST_SHARE)
        if len(record.entries) + len(new) > MOST_ENTRIES or record.size + size > most:
            return Appended.FULL
        record.entries.update((name, value) for name, value in entries if name in new and name not in record.entries)
        self._grow(record, size)
        self._renew(key, now)
        self._make_room(now)
        return Appended.KEPT

    def entries(self, key: bytes, now: float) -> dict[bytes, bytes]:
        """A record's entries in order."""
        record = self._get(key, now)
        return dict(record.entries) if record else {}

    def remove(self, key: bytes, name: bytes, now: float) -> bool:
        """Delete one entry; False if it does not exist."""
        record = self._get(key, now)
        if record is None or name not in record.entries:
            return False
        self._grow(record, -len(record.entries.pop(name)) - OBJECT_BYTES)
        return True

    def adopt(self, other: "RecordMemory", now: float) -> None:
        """Copy another memory's records, as far as there is room. Both must use the same clock."""
        for key, record in other._records.items():
            if self.put(key, record.value, (), now):
                self.append(key, [*record.entries.items()], now)
                if key in self._records:
                    self._records[key].expires_at = min(record.expires_at, now + self._keep_seconds)

    def _get(self, key: bytes, now: float) -> _Record | None:
        record = self._records.get(key)
        if record is not None and now >= record.expires_at:
            self._forget(key)
            return None
        return record

    def _grow(self, record: _Record, by: int) -> None:
        record.size += by
        self.size += by

    def _renew(self, key: bytes, now: float) -> None:
        if (record := self._get(key, now)) is not None:
            record.expires_at = now + self._keep_seconds
            self._records.move_to_end(key)

    def _forget(self, key: bytes) -> None:
        self.size -= self._records.pop(key).size

    def _make_room(self, now: float) -> None:
        while self._records:
            key, record = next(iter(self._records.items()))
            if self.size <= self.most_bytes and now < record.expires_at:
                return
            self._forget(key)
