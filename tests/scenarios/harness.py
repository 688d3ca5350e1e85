"""What the scenarios share: requests, clients that see every byte, a clock that the test moves."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
from starlette.routing import Route, Router

from gateway.app import Gateway
from gateway.doors.chat import ChatCompletions
from gateway.keypool import KeyPool
from gateway.process.serving import Server, listen, url_of
from gateway.service.services import Services
from tests.support.gateway import (
    Config,
    GatewayTime,
    KeyConfig,
    RunningGateway,
    StreamingConfig,
    TimeoutsConfig,
    config_for,
    with_settings,
)

PATIENCE_SECONDS = 60.0
PATH = "/v1/chat/completions"
KEY_A = "sk-ant-api03-" + "A" * 40
KEY_B = "sk-ant-api03-" + "B" * 40
_PATIENT = {"connect_seconds": 5.0, "first_byte_seconds": 10.0, "idle_seconds": 10.0}


@contextlib.asynccontextmanager
async def quick_gateway(
    *keys: KeyConfig, config: Config | None = None, callers_base_url: str = "http://127.0.0.1:9"
) -> AsyncIterator[RunningGateway]:
    """A real gateway on a real socket that is stopped at once.

    `running_gateway` stops as Ctrl-C does, which takes uvicorn a quarter of a second: too long for so many tests.
    """
    gateway_time = GatewayTime()
    gateway = Gateway(config or config_for(*keys), callers_base_url=callers_base_url, times=gateway_time.times())
    listener = listen(gateway.config.server.host, gateway.config.server.port)
    server = Server(gateway)
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup(sockets=[listener])
    serving = asyncio.create_task(_nothing())
    try:
        async with contextlib.AsyncExitStack() as clients:
            yield RunningGateway(url_of(listener), gateway, server, serving, clients, gateway_time)
    finally:
        gateway.interrupts.shut_down()
        for listening in server.servers:
            listening.close()
        for connection in [*server.server_state.connections]:
            connection.transport.abort()
        await asyncio.gather(serving, *server.server_state.tasks, return_exceptions=True)
        await server.lifespan.shutdown()
        listener.close()


async def _nothing() -> None:
    """What a task does that is only needed for its type."""


def asking(text: str = "Hi", *, stream: bool = False, **more: Any) -> dict[str, Any]:
    """A chat completion that upstream is asked for in the same manner, streamed or not."""
    return {
        "model": "claude-sonnet-5-5",
        "messages": [{"role": "user", "content": text}],
        "max_tokens": 2000,
        "stream": stream,
        **more,
    }


def hasty(*keys: KeyConfig, **seconds: float) -> Config:
    """A configuration with these time limits, by their names in the section `timeouts`."""
    config = config_for(*keys)
    return with_settings(config, timeouts=TimeoutsConfig(**{**_PATIENT, **seconds}))


def lively(*keys: KeyConfig, keepalive_seconds: float) -> Config:
    """A configuration that lets streams be silent for so long."""
    return with_settings(config_for(*keys), streaming=StreamingConfig(keepalive_seconds=keepalive_seconds))


@dataclass(slots=True)
class Clock:
    """Monotonic seconds that pass only when the test, or a pause between two attempts, says so."""

    now: float = 1000.0
    pauses: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Pass the time of a pause at once."""
        self.pauses.append(seconds)
        self.now += seconds


def chat_of(gateway: Gateway) -> ChatCompletions:
    """The endpoint of a running gateway."""
    app: Any = gateway.app
    while not isinstance(app, Router):
        app = app._app if hasattr(app, "_app") else app.app
    found = next(route for route in app.routes if isinstance(route, Route) and route.path == PATH)
    endpoint: Any = found.endpoint
    assert isinstance(endpoint, ChatCompletions)
    return endpoint


def services_of(running: RunningGateway) -> Services:
    """What the gateway's exchanges work with."""
    return running.gateway.services


def pool_of(running: RunningGateway) -> KeyPool:
    """The gateway's keys."""
    return services_of(running).pool


def without_pauses(running: RunningGateway) -> Clock:
    """Let the gateway live by a clock of the test's own, from now on."""
    clock = Clock()
    running.time.clock, running.time.sleep = clock, clock.sleep
    return clock


async def soon(event: asyncio.Event) -> None:
    """Wait for what should happen at once, and fail instead of hanging where it does not."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        await event.wait()


async def no_lease_is_out(running: RunningGateway) -> None:
    """Until every lease has come back; the gateway notes the end of a request right after its last byte."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        # There is no event to wait for, and it takes a turn of the loop or two.
        while pool_of(running).in_flight or len(running.gateway.interrupts):  # noqa: ASYNC110
            await asyncio.sleep(0)


def data_of(body: str) -> list[Any]:
    """The events of a streamed answer, parsed, `[DONE]` as it stands; comments are passed over."""
    lines = [line for line in body.split("\n") if line and not line.startswith(":")]
    assert all(line.startswith("data: ") for line in lines), lines
    texts = [line.removeprefix("data: ") for line in lines]
    return [text if text == "[DONE]" else json.loads(text) for text in texts]


def content_of(events: list[Any]) -> str:
    """The text that the chunks of a stream add up to."""
    choices = [choice for event in events if event != "[DONE]" for choice in event.get("choices", ())]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def finish_reasons(events: list[Any]) -> list[str]:
    """Every finish reason in a stream."""
    choices = [choice for event in events if event != "[DONE]" for choice in event.get("choices", ())]
    return [choice["finish_reason"] for choice in choices if choice["finish_reason"]]


def assert_whole(body: str, text: str = "Hello, world.") -> None:
    """A stream that says this and ends as a finished answer ends."""
    events = data_of(body)
    assert content_of(events) == text
    assert finish_reasons(events) == ["stop"]
    assert events[-1] == "[DONE]"
    assert events.count("[DONE]") == 1
    assert not [event for event in events[:-1] if "error" in event]


def assert_broken(body: str, *, code: str, text: str = "Hello,") -> dict[str, Any]:
    """A stream that says this, then tells of exactly one error, and does not look finished; gives the error."""
    events = data_of(body)
    errors = [event["error"] for event in events if "error" in event]
    assert content_of(events) == text
    assert len(errors) == 1
    assert "error" in events[-1]
    assert "[DONE]" not in events
    assert finish_reasons(events) == []
    error: dict[str, Any] = errors[0]
    assert {"message", "type", "param", "code"} <= error.keys()
    assert error["code"] == code
    return error


def assert_error(response: httpx2.Response, status: int, type_: str, code: str | None) -> dict[str, Any]:
    """An error answer in OpenAI's shape; gives its object."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"].startswith("req_")
    body = response.json()
    assert list(body) == ["error"]
    error: dict[str, Any] = body["error"]
    assert {"message", "type", "param", "code"} <= error.keys()
    assert error["message"]
    assert (error["type"], error["code"]) == (type_, code)
    return error


class RawClient:
    """A connection that shows what the gateway sends byte by byte, and reads only when it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.status = 0
        self.headers: dict[str, str] = {}

    def send(self, body: object, *, path: str = PATH, headers: Mapping[str, str] | None = None) -> None:
        """Send a request."""
        data = json.dumps(body).encode()
        fields = {"host": "localhost", "content-type": "application/json", "content-length": str(len(data))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in {**fields, **(headers or {})}.items())
        self._writer.write(f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + data)

    def write(self, data: bytes) -> None:
        """Send any bytes."""
        self._writer.write(data)

    async def head(self) -> None:
        """Read the status and the headers of the answer."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            text = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        status_line, *lines = text.removesuffix("\r\n\r\n").split("\r\n")
        self.status = int(status_line.split(" ")[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    async def chunk(self) -> bytes:
        """Read one HTTP chunk; empty at the end of the body."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            data = await self._reader.readexactly(size)
            assert await self._reader.readexactly(2) == b"\r\n"
        return data

    async def chunks(self) -> list[bytes]:
        """Read all the chunks that are left."""
        chunks = []
        while data := await self.chunk():
            chunks.append(data)
        return chunks

    async def ended(self) -> bytes:
        """Read until the gateway closes the connection."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self._reader.read()

    def end(self) -> None:
        """Say that nothing more will be sent."""
        self._writer.write_eof()

    def leave(self) -> None:
        """Break the connection off."""
        self._writer.transport.abort()


@contextlib.asynccontextmanager
async def raw_client(running: RunningGateway, *, limit: int = 2**16) -> AsyncIterator[RawClient]:
    """A connection to the gateway; beyond `limit` bytes it stops reading by itself."""
    host, port = running.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=limit)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def cut(data: bytes, size: int) -> Iterator[bytes]:
    """The same bytes in pieces of this size."""
    return (data[start : start + size] for start in range(0, len(data), size))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what goes on beside the test."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - nobody tells the test
            await asyncio.sleep(0)
