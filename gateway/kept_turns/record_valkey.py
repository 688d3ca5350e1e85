"""Records on a Valkey or Redis server, for several machines: each is one hash, which expires and is evicted as a whole.

Its fields: `v` the value, `s` the bytes of all entries, `n` the next place, `o` with a name its place, `e` with a name
the entry. What changes several fields is a script, so that two machines never see half of it.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, cast

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError

from gateway.kept_turns.record_memory import MOST_ENTRIES, MOST_ENTRY_BYTES
from gateway.kept_turns.sealing import opened
from gateway.kept_turns.valkey_server import LARGEST_BYTES, ValkeyServer
from gateway.secret import Secret
from gateway.service.ports import Appended

PREFIX: Final = b"dragoman:record:"
_REPLACE: Final = """
if redis.call('HEXISTS', KEYS[1], 'v') == 0 then return 0 end
redis.call('HSET', KEYS[1], 'v', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
"""
# ARGV: seconds to keep, the most entries, the most bytes; then names and values in turn.
_APPEND: Final = """
if redis.call('HEXISTS', KEYS[1], 'v') == 0 then return 'missing' end
local size = tonumber(redis.call('HGET', KEYS[1], 's') or '0')
local place = tonumber(redis.call('HGET', KEYS[1], 'n') or '0')
local count = math.max(0, (redis.call('HLEN', KEYS[1]) - 3) / 2)
for i = 4, #ARGV, 2 do size = size + #ARGV[i + 1] end
if count + (#ARGV - 3) / 2 > tonumber(ARGV[2]) or size > tonumber(ARGV[3]) then return 'full' end
for i = 4, #ARGV, 2 do
  if redis.call('HSETNX', KEYS[1], 'o' .. ARGV[i], place) == 1 then
    redis.call('HSET', KEYS[1], 'e' .. ARGV[i], ARGV[i + 1])
    place = place + 1
  else
    size = size - #ARGV[i + 1]
  end
end
redis.call('HSET', KEYS[1], 's', size, 'n', place)
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 'kept'
"""
_NAMES: Final = """
local found = {}
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, 1) == 'o' then
    found[#found + 1] = {tonumber(redis.call('HGET', KEYS[1], field)), string.sub(field, 2)}
  end
end
table.sort(found, function(one, other) return one[1] < other[1] end)
for i, each in ipairs(found) do found[i] = each[2] end
return found
"""
_REMOVE: Final = """
local size = redis.call('HSTRLEN', KEYS[1], 'e' .. ARGV[1])
if redis.call('HDEL', KEYS[1], 'e' .. ARGV[1], 'o' .. ARGV[1]) == 0 then return 0 end
redis.call('HINCRBY', KEYS[1], 's', -size)
return 1
"""
_APPENDED: Final = {b"kept": Appended.KEPT, b"missing": Appended.NO_RECORD, b"full": Appended.FULL}


class ValkeyRecords:
    """A `RecordBacking` on a server that several machines share; all need the same secret."""

    def __init__(self, url: Secret, secret: Secret, keep_seconds: float, wall: Callable[[], float] = time.time) -> None:
        self._server = ValkeyServer(url, secret, wall)
        self._sealer = self._server.sealer
        self._keep_seconds = math.ceil(keep_seconds)
        self._wall = wall

    @property
    def place(self) -> str:
        return self._server.place

    @property
    def largest(self) -> int:
        return LARGEST_BYTES

    async def open(self) -> None:
        await self._server.reach()

    async def put(self, key: bytes, value: bytes, renewed: Sequence[bytes]) -> None:
        sealed = (await self._sealed(b"", [(key, value)]))[1]

        def ask(pipeline: Pipeline) -> None:
            pipeline.hset(self._name(key), "v", sealed)
            for each in (key, *renewed):
                pipeline.expire(self._name(each), self._keep_seconds)

        await self._piped(ask)

    async def replace(self, key: bytes, value: bytes) -> bool:
        sealed = (await self._sealed(b"", [(key, value)]))[1]
        return bool(await self._run(_REPLACE, key, sealed, self._keep_seconds))

    async def fetch(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        def ask(pipeline: Pipeline) -> None:
            for key in keys:
                pipeline.hget(self._name(key), "v")

        return await self._opened(b"", keys, await self._piped(ask))

    async def delete(self, key: bytes) -> bool:
        return bool(await self._server.ask(lambda client: client.unlink(self._name(key))))

    async def append(self, key: bytes, entries: Sequence[tuple[bytes, bytes]]) -> Appended:
        sealed = await self._sealed(key, entries)
        limits = (self._keep_seconds, MOST_ENTRIES, MOST_ENTRY_BYTES)
        return _APPENDED[cast("bytes", await self._run(_APPEND, key, *limits, *sealed))]

    async def names(self, key: bytes) -> list[bytes]:
        return cast("list[bytes]", await self._run(_NAMES, key))

    async def entries(self, key: bytes, names: Sequence[bytes] | None) -> dict[bytes, bytes]:
        wanted = await self.names(key) if names is None else names
        if not wanted:
            return {}
        fields = [b"e" + name for name in wanted]
        return await self._opened(
            key, wanted, await self._server.ask(lambda client: client.hmget(self._name(key), fields))
        )

    async def remove(self, key: bytes, name: bytes) -> bool:
        return bool(await self._run(_REMOVE, key, name))

    async def close(self) -> None:
        await self._server.close()

    async def _run(self, script: str, key: bytes, *arguments: bytes | int) -> object:
        name = self._name(key)
        return await self._server.ask(lambda client: client.eval(script, 1, name, *arguments))

    async def _piped(self, ask: Callable[[Pipeline], None]) -> list[Any]:
        """Send several commands in one go; raises the first refusal."""

        async def send(client: Redis) -> list[Any]:
            async with client.pipeline(transaction=True) as pipeline:
                ask(pipeline)
                # An exception raised by the pipeline would quote the command with its value.
                answers = await pipeline.execute(raise_on_error=False)
            if refusal := next((answer for answer in answers if isinstance(answer, RedisError)), None):
                raise refusal
            return answers

        return cast("list[Any]", await self._server.ask(send))

    async def _sealed(self, key: bytes, entries: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
        """Names and sealed values in turn."""
        now, seal = self._wall(), self._sealer.seal
        return await self._server.in_thread(
            lambda: [part for name, value in entries for part in (name, seal(key + name, value, now))]
        )

    async def _opened(self, key: bytes, names: Sequence[bytes], sealed: Sequence[bytes | None]) -> dict[bytes, bytes]:
        found = [(name, data) for name, data in zip(names, sealed, strict=True) if data is not None]
        return await self._server.in_thread(lambda: opened(self._sealer, key, found))

    def _name(self, key: bytes) -> bytes:
        return PREFIX + self._sealer.place(key).hex().encode()
