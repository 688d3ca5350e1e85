"""The Valkey or Redis backing, for several machines."""

import asyncio
import contextlib
import logging
import math
import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar, cast
from urllib.parse import unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.kept_turns.backing import OTHER_KEY, Change, Found, TroubleError
from gateway.kept_turns.sealing import CannotOpenError, Sealer
from gateway.secret import Secret, redact
from gateway.telemetry.logs import log_event

PREFIX: Final = b"dragoman:turn:"
# A hash: the secrets that were used, each with a value that it sealed.
PROBES: Final = "dragoman:probes"
# A server in the same network answers within a millisecond.
ANSWER_SECONDS: Final = 0.25
# For everything: to get a connection, an answer, and one retry if a connection was stale.
WHOLE_SECONDS: Final = 0.75
MOST_CONNECTIONS: Final = 8
# What can sensibly be sent in that time.
LARGEST_BYTES: Final = 8 * 1024 * 1024
# The client library only knows Redis's schemes.
_SCHEMES: Final = {"valkey": "redis", "valkeys": "rediss"}

T = TypeVar("T")


class ValkeyBacking:
    """A `Backing` on a server that several machines share; all need the same secret."""

    def __init__(self, url: Secret, secret: Secret, keep_seconds: float, wall: Callable[[], float] = time.time) -> None:
        self.place = place_of(url)
        self._url = url
        self._sealer = Sealer(secret)
        self._keep_seconds = math.ceil(keep_seconds)
        self._wall = wall
        self._client: Redis | None = None
        # Sealing would block the event loop.
        self._thread: ThreadPoolExecutor | None = None
        self._is_introduced = False

    @property
    def largest(self) -> int:
        return LARGEST_BYTES

    async def open(self) -> None:
        """Check that the server answers, and whether others use the same secret."""
        await self._ask(lambda client: client.ping())

    async def reach(self) -> None:
        """Check only that the server answers; raises `TroubleError`."""
        self._is_introduced = True
        await self._ask(lambda client: client.ping())

    async def read(self, keys: Sequence[bytes]) -> Found:
        names = [self._name(key) for key in keys]
        sealed = cast("Sequence[bytes | None]", await self._ask(lambda client: client.mget(names)))
        return await self._in_thread(lambda: self._opened(keys, sealed))

    async def write(self, changes: Sequence[Change]) -> None:
        """Send these changes in one pipeline."""
        sealed = await self._in_thread(lambda: self._sealed(changes))

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

        await self._ask(send)

    def used(self, keys: Sequence[bytes]) -> None:
        """Nothing to do: the server tracks use itself."""

    async def close(self) -> None:
        client, self._client = self._client, None
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=False)
        if client is not None:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(WHOLE_SECONDS):
                    await client.aclose()

    async def _ask(self, question: Callable[[Redis], Any]) -> Any:
        """Send a query within the time limit; raises `TroubleError`."""
        if self._client is None:
            self._client = _client_of(self._url)
        try:
            async with asyncio.timeout(WHOLE_SECONDS):
                if not self._is_introduced:
                    await self._introduce(self._client)
                return await question(self._client)
        except (RedisError, OSError, TimeoutError) as error:
            raise TroubleError(f"{self.place}: {_text_of(error, self._url)}") from None

    async def _introduce(self, client: Redis) -> None:
        """Record the secret on the server, once; warn if another one was used before."""
        probes = cast("Mapping[bytes, bytes]", await client.hgetall(PROBES))
        if not self._sealer.has_sealed(probes.get(self._sealer.name.encode(), b"")):
            if probes:
                log_event(logging.WARNING, OTHER_KEY, store=self.place)
            probe = self._sealer.probe(self._wall())
            await client.hset(PROBES, self._sealer.name, probe)
        self._is_introduced = True

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "store-sealing")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

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


def place_of(url: Secret) -> str:
    """The server's address without the password."""
    parts = urlsplit(url.reveal())
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _client_of(url: Secret) -> Redis:
    pool = BlockingConnectionPool.from_url(
        re.sub(r"^\w+", lambda scheme: _SCHEMES.get(scheme[0], scheme[0]), url.reveal(), count=1),
        max_connections=MOST_CONNECTIONS,
        timeout=ANSWER_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        # One retry without a pause, for connections that the server closed while idle; the breaker pauses longer.
        retry=Retry(NoBackoff(), 1),
    )
    return Redis.from_pool(pool)


def _text_of(error: Exception, url: Secret) -> str:
    """The reason for an error, on one line and without the password."""
    password = urlsplit(url.reveal()).password or ""
    text = _system_words(error) or " ".join(str(error).split()) or "no answer in time"
    return redact(text, [url, Secret(password), Secret(unquote(password))])


def _system_words(error: BaseException) -> str:
    """What the system says, without its error number; "" for an error that is the client library's own."""
    cause = error if isinstance(error, OSError) else error.__cause__ or error.__context__
    if isinstance(cause, socket.gaierror):
        return "the host's name could not be resolved"
    if isinstance(cause, ssl.SSLError) or not isinstance(cause, OSError) or cause.errno is None:
        return ""
    words = os.strerror(cause.errno)
    return words[:1].lower() + words[1:]
