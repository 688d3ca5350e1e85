"""A real gateway on a real socket, in the test's own event loop."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

import httpx2
from msgspec.structs import replace
from openai import AsyncOpenAI

from gateway.app import Gateway
from gateway.config import (
    AccountsConfig,
    ClientConfig,
    Config,
    KeyConfig,
    LogConfig,
    PoolConfig,
    RetriesConfig,
    ServerConfig,
    StoreConfig,
    StreamingConfig,
    TimeoutsConfig,
)
from gateway.process.serving import Server, listen, url_of
from gateway.secret import Secret
from gateway.service.times import Times

__all__ = [
    "AccountsConfig",
    "ClientConfig",
    "Config",
    "KeyConfig",
    "LogConfig",
    "PoolConfig",
    "RetriesConfig",
    "RunningGateway",
    "Secret",
    "ServerConfig",
    "StoreConfig",
    "StreamingConfig",
    "TimeoutsConfig",
    "config_for",
    "key",
    "running_gateway",
    "with_settings",
]


class _QuietServer(Server):
    """The gateway's server, except that signals stay with the test runner."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(slots=True)
class GatewayTime:
    """The time that a gateway under test lives in: the real one, until a test brings its own."""

    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def times(self) -> Times:
        """The same for the gateway, which goes by whatever is set here."""
        return Times(lambda: self.clock(), lambda: self.now(), lambda seconds: self.sleep(seconds))


@dataclass(slots=True)
class RunningGateway:
    """A gateway that can be reached at `url` until the block ends."""

    url: str
    gateway: Gateway
    server: Server
    serving: "asyncio.Task[None]"
    clients: contextlib.AsyncExitStack
    time: GatewayTime

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes."""
        return f"{self.url}/v1"

    def openai(self, *, api_key: str = "any", max_retries: int = 0) -> AsyncOpenAI:
        """The official client; without retries of its own, so that every answer is seen."""
        client = AsyncOpenAI(base_url=self.base_url, api_key=api_key, max_retries=max_retries)
        self.clients.push_async_callback(client.close)
        return client

    def http(self) -> httpx2.AsyncClient:
        """A plain HTTP client, for what the official one would hide."""
        client = httpx2.AsyncClient(base_url=self.url, timeout=60)
        self.clients.push_async_callback(client.aclose)
        return client

    def begin_shutdown(self) -> None:
        """What the first Ctrl-C does."""
        self.server.should_exit = True


def key(base_url: str, name: str = "main", api_key: str = "sk-ant-test", weight: int = 1) -> KeyConfig:
    """One key of the pool."""
    return KeyConfig(name=name, api_key=Secret(api_key), base_url=base_url, weight=weight)


def config_for(*keys: KeyConfig, clients: Sequence[ClientConfig] = ()) -> Config:
    """A configuration for tests: any free port, little patience, keys that are used in turn."""
    return Config(
        server=ServerConfig(port=0, shutdown_grace_seconds=5.0),
        keys=tuple(keys),
        clients=tuple(clients),
        pool=PoolConfig(strategy="weighted", queue_timeout_seconds=0.05),
        timeouts=TimeoutsConfig(connect_seconds=30, first_byte_seconds=60, idle_seconds=60),
        store=StoreConfig(kind="memory"),
        accounts=AccountsConfig(kind="off"),
        log=LogConfig(level="error"),
    )


@contextlib.asynccontextmanager
async def running_gateway(
    *keys: KeyConfig, config: Config | None = None, callers_base_url: str = "http://127.0.0.1:9"
) -> AsyncIterator[RunningGateway]:
    """A gateway over these keys (or this whole configuration), stopped the way Ctrl-C stops it."""
    gateway_time = GatewayTime()
    gateway = Gateway(config or config_for(*keys), callers_base_url=callers_base_url, times=gateway_time.times())
    tls = gateway.config.server.tls
    listener = listen(gateway.config.server.host, gateway.config.server.port)
    url = url_of(listener, is_secure=tls is not None)
    ready = asyncio.Event()
    server = _QuietServer(gateway, ready.set)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not ready.is_set():
        waiting.cancel()
        await serving
        raise RuntimeError("The gateway did not start.")
    try:
        async with contextlib.AsyncExitStack() as clients:
            yield RunningGateway(url, gateway, server, serving, clients, gateway_time)
    finally:
        server.should_exit = True
        await serving
        listener.close()


def with_settings(config: Config, **sections: object) -> Config:
    """The same configuration with other sections."""
    return replace(config, **sections)
