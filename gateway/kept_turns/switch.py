"""The store that endpoints hold: a stable object in front of one that a reload may replace."""

from collections.abc import Sequence

from gateway.kept_turns.layered import LayeredStore


class StoreSwitch:
    """Delegates to the store of the current configuration, also for requests that began before a reload."""

    def __init__(self, store: LayeredStore) -> None:
        self.current = store

    def replace(self, store: LayeredStore) -> LayeredStore:
        """Use another store, which takes over the memory of the old one; returns the old one, to be closed."""
        old, self.current = self.current, store
        store.adopt(old)
        return old

    def peek(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return self.current.peek(keys)

    async def fetch(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return await self.current.fetch(keys)

    async def put(self, key: bytes, value: bytes) -> bool:
        return await self.current.put(key, value)

    def forget(self, keys: Sequence[bytes]) -> None:
        self.current.forget(keys)

    async def close(self) -> None:
        await self.current.close()
