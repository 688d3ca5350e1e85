"""Gateways in processes of their own, what they say in their logs, and streams through them."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx2

from tests.scenarios.harness import PATH, asking
from tests.support.commands import PATIENCE_SECONDS, Running, started
from tests.support.scripted import ScriptedUpstream


@dataclass(slots=True)
class Fleet:
    """A gateway, its workers if it has any, and its log as far as it was read."""

    running: Running
    log: str = ""

    async def said(self, pattern: str, times: int = 1) -> list[str]:
        """Read the log until it holds the pattern so many times; gives its first group each time."""
        assert self.running.process.stderr is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(found := re.findall(pattern, self.log)) < times:
                line = await self.running.process.stderr.readline()
                assert line, self.log
                self.log += line.decode()
        return found

    async def pids(self, times: int = 2) -> list[int]:
        """The workers' process ids in the order in which they became ready."""
        return [int(pid) for pid in await self.said(r"is ready worker=\d pid=(\d+)", times)]

    def signal(self, number: int) -> None:
        """Send the parent a signal."""
        self.running.process.send_signal(number)

    async def end(self) -> int:
        """Wait for the end of all processes, which hold the log open; gives the exit code."""
        code, rest = await self.running.end()
        self.log += rest
        return code

    def served(self) -> Counter[str]:
        """How many requests each worker has served."""
        return Counter(re.findall(rf"POST {PATH} .* worker=(\d)", self.log))


@asynccontextmanager
async def serving(upstream: ScriptedUpstream, *arguments: str, **more: str) -> AsyncIterator[Fleet]:
    """A gateway with the scripted upstream's address and a key for it in its environment, and more variables."""
    environment = {"ANTHROPIC_API_KEY": "sk-ant-test", "ANTHROPIC_BASE_URL": upstream.base_url, **more}
    async with started("serve", *arguments, **environment) as running:
        yield Fleet(running)


def fleet(upstream: ScriptedUpstream, *arguments: str, **more: str) -> AbstractAsyncContextManager[Fleet]:
    """The same with two workers."""
    return serving(upstream, "--workers", "2", *arguments, **more)


def client_of(fleet: Fleet) -> httpx2.AsyncClient:
    """A client with connections of its own."""
    return httpx2.AsyncClient(base_url=fleet.running.url, timeout=PATIENCE_SECONDS)


class Streams:
    """Streams that have begun, each on a connection of its own."""

    def __init__(self, fleet: Fleet, stack: AsyncExitStack) -> None:
        self._fleet = fleet
        self._stack = stack
        self._open: list[tuple[bytes, AsyncIterator[bytes]]] = []

    async def open(self, count: int) -> None:
        """Begin more streams; each has shown its first piece."""
        await asyncio.gather(*(self._begin() for _ in range(count)))

    async def rest(self) -> list[str]:
        """All that each stream says to its end; one that breaks off ends with BROKEN."""
        return list(await asyncio.gather(*(self._rest_of(*stream) for stream in self._open)))

    async def _begin(self) -> None:
        client = await self._stack.enter_async_context(client_of(self._fleet))
        answer = await self._stack.enter_async_context(client.stream("POST", PATH, json=asking(stream=True)))
        pieces = answer.aiter_bytes()
        self._open.append((await anext(pieces), pieces))

    async def _rest_of(self, first: bytes, pieces: AsyncIterator[bytes]) -> str:
        text = first
        try:
            async for piece in pieces:
                text += piece
        except httpx2.TransportError:
            text += b"BROKEN"
        return text.decode()


@asynccontextmanager
async def streams(fleet: Fleet) -> AsyncIterator[Streams]:
    """Streams that end with the block at the latest."""
    async with AsyncExitStack() as stack:
        yield Streams(fleet, stack)


async def while_waiting_for(work: Coroutine[object, object, object]) -> AsyncIterator[None]:
    """Turns until the work is done."""
    task = asyncio.create_task(work)
    while not task.done():
        yield
    await task


async def ask(fleet: Fleet, **more: str) -> str:
    """The answer to one request on a connection of its own."""
    async with client_of(fleet) as client:
        return (await client.post(PATH, json=asking(stream=True, **more))).text
