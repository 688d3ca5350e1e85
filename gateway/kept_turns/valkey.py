"""The Valkey or Redis backing, for several machines."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Final, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.kept_turns.backing import Change, Found
from gateway.kept_turns.sealing import CannotOpenError
from gateway.kept_turns.valkey_server import LARGEST_BYTES, ValkeyServer
from gateway.secret import Secret

PREFIX: Final = b"dragoman:turn:"


class ValkeyBacking:
    """A `Backing` on a server that several machines share; all need the same secret."""

    def __init__(self, url: Secret, secret: Secret, keep_seconds: float, wall: Callable[[], float] = time.time) -> None:
        self._server = ValkeyServer(url, secret, wall)
        self._sealer = self._server.sealer
        self._keep_seconds = math.ceil(keep_seconds)

    @property
    def place(self) -> str:
        return self._server.place

    @property
    def largest(self) -> int:
        return LARGEST_BYTES

    async def open(self) -> None:
        """Check that the server answers, and whether others use the same secret."""
        await self._server.reach()

    async def read(self, keys: Sequence[bytes]) -> Found:
        names = [self._name(key) for key in keys]
        sealed = cast("Sequence[bytes | None]", await self._server.ask(lambda client: client.mget(names)))
        return await self._server.in_thread(lambda: self._opened(keys, sealed))

    async def write(self, changes: Sequence[Change]) -> None:
        """Send these changes in one pipeline."""
        sealed = await self._server.in_thread(lambda: self._sealed(changes))

        async def send(client: Redis) -> None:
            async with client.pipeline(transaction=False) as pipeline:
                for name, value in sealed.items():
                    if value is None:
                        pipeline.unlink(name)
                    else:
                        pipeline.set(name, value, ex=self._keep_seconds)
                # An exception raised by the pipeline would quote the command with its value.
                answers = await pipeline.execute(raise_on_error=False)
            if refusal := next((answer for answer in answers if isinstance(answer, RedisError)), None):
                raise refusal

        await self._server.ask(send)

    def used(self, keys: Sequence[bytes]) -> None:
        """Nothing to do: the server tracks use itself."""

    async def close(self) -> None:
        await self._server.close()

    def _name(self, key: bytes) -> bytes:
        return PREFIX + self._sealer.place(key).hex().encode()

    def _sealed(self, changes: Sequence[Change]) -> dict[bytes, bytes | None]:
        return {
            self._name(key): None if value is None else self._sealer.seal(key, value, moment)
            for key, value, moment in changes
        }

    def _opened(self, keys: Sequence[bytes], sealed: Sequence[bytes | None]) -> Found:
        values: dict[bytes, tuple[bytes, float]] = {}
        unreadable = 0
        for key, data in zip(keys, sealed, strict=True):
            if data is not None:
                try:
                    values[key] = self._sealer.open(key, data)
                except CannotOpenError:
                    unreadable += 1
        return Found(values, unreadable)
