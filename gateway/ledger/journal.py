"""Rows that wait while the file cannot be written: bounded in number and bytes, the oldest are kept."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from gateway.ledger.rows import Row

MOST_ROWS: Final = 200_000
MOST_BYTES: Final = 64 * 1024 * 1024
# What a value takes besides its own bytes.
_OVERHEAD_BYTES: Final = 64


class Journal:
    """Rows in the order in which they came, packed: `lost` counts those for which there was no room."""

    def __init__(self, most_rows: int = MOST_ROWS, most_bytes: int = MOST_BYTES) -> None:
        self._most_rows = most_rows
        self._most_bytes = most_bytes
        self._packed: deque[bytes] = deque()
        self._bytes = 0
        self.lost = 0

    def __len__(self) -> int:
        return len(self._packed)

    @property
    def bytes(self) -> int:
        """The memory that it takes, roughly."""
        return self._bytes

    def add(self, rows: Iterable[Row]) -> None:
        """Keep rows as far as there is room."""
        for row in rows:
            packed = msgspec.msgpack.encode(row)
            size = len(packed) + _OVERHEAD_BYTES
            if len(self._packed) >= self._most_rows or self._bytes + size > self._most_bytes:
                self.lost += 1
                continue
            self._packed.append(packed)
            self._bytes += size

    def first(self, count: int) -> Sequence[Row]:
        """The oldest rows, which stay until `drop`."""
        return [tuple(msgspec.msgpack.decode(self._packed[index])) for index in range(min(count, len(self._packed)))]

    def drop(self, count: int) -> None:
        """Forget the oldest rows, which are written."""
        for _ in range(count):
            self._bytes -= len(self._packed.popleft()) + _OVERHEAD_BYTES
