"""A store that keeps nothing."""

from collections.abc import Sequence
from typing import Final


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
