"""A store and records that keep nothing."""

from collections.abc import Sequence
from typing import Final

from gateway.service.ports import Appended


class NoStore:
    def peek(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return {}

    async def fetch(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return {}

    async def put(self, key: bytes, value: bytes) -> bool:
        return False

    def forget(self, keys: Sequence[bytes]) -> None: ...

    async def close(self) -> None: ...


NO_STORE: Final = NoStore()


class NoRecords:
    is_shared = True

    async def put(self, key: bytes, value: bytes, renewed: Sequence[bytes] = ()) -> bool:
        return False

    async def replace(self, key: bytes, value: bytes) -> bool:
        return False

    async def fetch(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return {}

    async def delete(self, key: bytes) -> bool:
        return False

    async def append(self, key: bytes, entries: Sequence[tuple[bytes, bytes]]) -> Appended:
        return Appended.NO_RECORD

    async def names(self, key: bytes) -> list[bytes]:
        return []

    async def entries(self, key: bytes, names: Sequence[bytes] | None = None) -> dict[bytes, bytes]:
        return {}

    async def remove(self, key: bytes, name: bytes) -> bool:
        return False


NO_RECORDS: Final = NoRecords()


class NoSeals:
    """Seals nothing, and opens nothing."""

    def for_caller(self, scope: bytes, model: str) -> "NoSeals":
        return self

    @property
    def summaries(self) -> "NoSeals":
        return self

    def seal(self, blocks: Sequence[bytes]) -> str:
        return ""

    def open(self, text: str) -> list[bytes] | None:
        return None


NO_SEALS: Final = NoSeals()
