"""Records in an SQLite file that several processes share; one thread reads and one writes."""

import time
from collections.abc import Callable, Sequence

from gateway.kept_turns.files import DatabaseFiles
from gateway.kept_turns.lane import Lane
from gateway.kept_turns.record_database import Entry, RecordDatabase
from gateway.kept_turns.sealing import OVERHEAD_BYTES, Sealer, opened
from gateway.kept_turns.sqlite_file import Bounds
from gateway.service.ports import Appended


class SqliteRecords:
    """A `RecordBacking`. Values and entries are sealed under their keys and names, which stand there as hashes."""

    def __init__(
        self, files: DatabaseFiles[RecordDatabase], bounds: Bounds, wall: Callable[[], float] = time.time
    ) -> None:
        self._wall = wall
        self._reader = Lane("records-reader", files)
        self._writer = Lane("records-writer", files)
        self._largest = bounds.log_bytes - OVERHEAD_BYTES

    @property
    def largest(self) -> int:
        """A larger value would not fit into the share of the write-ahead log."""
        return self._largest

    async def open(self) -> None:
        """Open the file, and delete expired records."""
        now = self._wall()
        await self._writer.run(lambda database, _sealer: database.clean(now))

    async def put(self, key: bytes, value: bytes, renewed: Sequence[bytes]) -> None:
        now = self._wall()

        def work(database: RecordDatabase, sealer: Sealer) -> None:
            database.put(sealer.place(key), sealer.seal(key, value, now), map(sealer.place, renewed), now)

        await self._writer.run(work)

    async def replace(self, key: bytes, value: bytes) -> bool:
        now = self._wall()
        return await self._writer.run(
            lambda database, sealer: database.replace(sealer.place(key), sealer.seal(key, value, now), now)
        )

    async def fetch(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        now = self._wall()

        def work(database: RecordDatabase, sealer: Sealer) -> dict[bytes, bytes]:
            key_of = {sealer.place(key): key for key in keys}
            found = database.fetch([*key_of], now)
            return opened(sealer, b"", [(key_of[place], sealed) for place, sealed in found.items()])

        return await self._reader.run(work)

    async def delete(self, key: bytes) -> bool:
        now = self._wall()
        return await self._writer.run(lambda database, sealer: database.delete(sealer.place(key), now))

    async def append(self, key: bytes, entries: Sequence[tuple[bytes, bytes]]) -> Appended:
        now = self._wall()

        def work(database: RecordDatabase, sealer: Sealer) -> Appended:
            sealed = [Entry(name, sealer.seal(key + name, value, now)) for name, value in entries]
            return database.append(sealer.place(key), sealed, now)

        return await self._writer.run(work)

    async def names(self, key: bytes) -> list[bytes]:
        return await self._reader.run(lambda database, sealer: database.names(sealer.place(key)))

    async def entries(self, key: bytes, names: Sequence[bytes] | None) -> dict[bytes, bytes]:
        def work(database: RecordDatabase, sealer: Sealer) -> dict[bytes, bytes]:
            return opened(sealer, key, database.entries(sealer.place(key), names))

        return await self._reader.run(work)

    async def remove(self, key: bytes, name: bytes) -> bool:
        return await self._writer.run(lambda database, sealer: database.remove(sealer.place(key), name))

    async def close(self) -> None:
        # In sequence: only the last connection to close writes the log into the database.
        await self._reader.close()
        await self._writer.close()
