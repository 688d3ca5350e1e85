"""The store that endpoints hold, whichever it is by now: a reload may bring another one."""

from collections.abc import Sequence

from gateway.store.layered import LayeredStore


class StoreSwitch:
    """Passes on to the store of the present configuration, also for requests that began before."""

    def __init__(self, store: LayeredStore) -> None:
        self.current = store

    def replace(self, store: LayeredStore) -> LayeredStore:
        """Use another one from now on, which takes over what the memory holds; gives the old one, to be closed."""
        old, self.current = self.current, store
        store.adopt(old)
        return old

    def peek(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """What the memory has of these, at once."""
        return self.current.peek(keys)

    async def fetch(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """What there is under these keys."""
        return await self.current.fetch(keys)

    async def put(self, key: bytes, value: bytes) -> bool:
        """Keep a value, and whether that can be."""
        return await self.current.put(key, value)

    def forget(self, keys: Sequence[bytes]) -> None:
        """Keep these no longer."""
        self.current.forget(keys)

    async def close(self) -> None:
        """Write what waits to be written."""
        await self.current.close()
