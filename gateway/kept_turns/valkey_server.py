"""The connection to a Valkey or Redis server: queries, their time limits, and the secret that all machines share."""

import asyncio
import contextlib
import logging
import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar, cast
from urllib.parse import unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.kept_turns.backing import OTHER_KEY, TroubleError
from gateway.kept_turns.sealing import Sealer
from gateway.secret import Secret, redact
from gateway.telemetry.logs import log_event

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


class ValkeyServer:
    """A server that several machines share; all need the same secret."""

    def __init__(self, url: Secret, secret: Secret, wall: Callable[[], float] = time.time) -> None:
        self.place = place_of(url)
        self.sealer = Sealer(secret)
        self._url = url
        self._wall = wall
        self._client: Redis | None = None
        # Sealing would block the event loop.
        self._thread: ThreadPoolExecutor | None = None
        self._is_introduced = False

    async def reach(self, *, only: bool = False) -> None:
        """Check that the server answers; unless `only` that is wanted, also whether others use the same secret.

        Raises `TroubleError`.
        """
        self._is_introduced = self._is_introduced or only
        await self.ask(lambda client: client.ping())

    async def close(self) -> None:
        client, self._client = self._client, None
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=False)
        if client is not None:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(WHOLE_SECONDS):
                    await client.aclose()

    async def ask(self, question: Callable[[Redis], Any]) -> Any:
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
        if not self.sealer.has_sealed(probes.get(self.sealer.name.encode(), b"")):
            if probes:
                log_event(logging.WARNING, OTHER_KEY, store=self.place)
            probe = self.sealer.probe(self._wall())
            await client.hset(PROBES, self.sealer.name, probe)
        self._is_introduced = True

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run some work that takes long in a thread."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "store-sealing")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


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
