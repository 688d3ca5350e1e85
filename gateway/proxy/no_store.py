"""The store of those who keep nothing."""

from collections.abc import Sequence
from typing import Final


class NoStore:
    """A `Store` that forgets at once."""

    def peek(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Nothing."""
        return {}

    async def fetch(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Nothing."""
        return {}

    async def put(self, key: bytes, value: bytes) -> bool:
        """Keep nothing."""
        return False

    def forget(self, keys: Sequence[bytes]) -> None:
        """There is nothing to forget."""

    async def close(self) -> None:
        """There is nothing to close."""


NO_STORE: Final = NoStore()
