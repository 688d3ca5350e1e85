"""A store for tests: what a gateway keeps, in a dictionary that tests can look into."""

from collections.abc import Sequence


class DictStore:
    """Keeps everything, until it is told otherwise; counts what it is asked."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.fetches = 0

    def peek(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return {key: self.values[key] for key in keys if key in self.values}

    async def fetch(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        self.fetches += 1
        return self.peek(keys)

    async def put(self, key: bytes, value: bytes) -> bool:
        self.values[key] = value
        return True

    def forget(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            self.values.pop(key, None)

    async def close(self) -> None:
        self.values.clear()
