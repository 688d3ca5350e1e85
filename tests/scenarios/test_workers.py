"""More than one process: streams are spread, a worker may die or be replaced, and the end is orderly."""

import asyncio
import os
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.scenarios.harness import PATH, asking, assert_whole
from tests.support import messages
from tests.support.commands import PATIENCE_SECONDS, Running, outcome, started
from tests.support.scripted import ScriptedUpstream, Wait, stream_answer

EVENTS = messages.text_stream()


@dataclass(slots=True)
class Fleet:
    """A gateway with two workers, and its log as far as it was read."""

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
async def fleet(upstream: ScriptedUpstream, *arguments: str) -> AsyncIterator[Fleet]:
    environment = {"ANTHROPIC_API_KEY": "sk-ant-test", "ANTHROPIC_BASE_URL": upstream.base_url}
    async with started("serve", "--workers", "2", *arguments, **environment) as running:
        yield Fleet(running)


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


@pytest.fixture
def gate(upstream: ScriptedUpstream) -> asyncio.Event:
    """What streams wait for after they have begun."""
    event = asyncio.Event()
    upstream.always(stream_answer(*EVENTS[:3], Wait(event), *EVENTS[3:]))
    return event


async def test_long_streams_are_spread_evenly_and_sigterm_lets_them_finish(
    upstream: ScriptedUpstream, gate: asyncio.Event
) -> None:
    async with fleet(upstream) as both, streams(both) as opened:
        await opened.open(20)
        both.signal(signal.SIGTERM)
        await both.said("Stopping: 20 open requests may finish")
        gate.set()
        bodies = await opened.rest()
        code = await both.end()

    for body in bodies:
        assert_whole(body)
    assert both.served() == {"1": 10, "2": 10}
    assert code == 0
    assert "warning" not in both.log


async def test_a_second_ctrl_c_ends_all_at_once(upstream: ScriptedUpstream, gate: asyncio.Event) -> None:
    async with fleet(upstream) as both, streams(both) as opened:
        await opened.open(2)
        both.signal(signal.SIGINT)
        await both.said("Ctrl-C again stops at once")
        both.signal(signal.SIGINT)
        code = await both.end()
        bodies = await opened.rest()

    assert code == 1
    assert all("[DONE]" not in body for body in bodies)


async def test_a_worker_that_is_killed_takes_only_its_own_streams_with_it_and_is_replaced(
    upstream: ScriptedUpstream, gate: asyncio.Event
) -> None:
    async with fleet(upstream) as both, streams(both) as opened:
        await opened.open(4)
        os.kill((await both.pids())[0], signal.SIGKILL)
        await both.said("A worker has died worker=. pid=.* exit_code=-9")
        await both.pids(3)
        gate.set()
        bodies = sorted(await opened.rest(), key=lambda body: body.endswith("BROKEN"))
        for _ in range(4):
            assert_whole(await ask(both))
        both.signal(signal.SIGTERM)
        code = await both.end()

    assert [body.endswith("BROKEN") for body in bodies] == [False, False, True, True]
    assert set(both.served()) == {"1", "2"}
    assert code == 0


async def test_a_restart_breaks_no_stream_refuses_no_connection_and_reads_the_configuration_again(
    upstream: ScriptedUpstream, gate: asyncio.Event, tmp_path: Path
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("models: {aliases: {mine: claude-opus-5}}")
    async with fleet(upstream, "--config", str(file)) as both, client_of(both) as kept:
        await kept.get("/health")
        async with streams(both) as opened:
            await opened.open(2)
            file.write_text("models: {aliases: {mine: claude-haiku-5-5}}")
            both.signal(signal.SIGHUP)
            async for _ in while_waiting_for(both.pids(4)):
                async with client_of(both) as client:
                    assert (await client.get("/health")).status_code == 200
            last = await kept.get("/health")
            gate.set()
            bodies = await opened.rest()
        await both.said("A worker has ended worker=. pid=.* exit_code=0", 2)
        await ask(both, model="mine")

    for body in bodies:
        assert_whole(body)
    assert last.headers["connection"] == "close"
    assert upstream.received[-1].json["model"] == "claude-haiku-5-5"


async def test_a_restart_with_a_mistake_in_the_configuration_changes_nothing(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("log: {format: json}")
    async with fleet(upstream, "--config", str(file)) as both:
        file.write_text("log: {fromat: json}")
        both.signal(signal.SIGHUP)
        await both.said("No restart.*log.fromat: unknown setting")
        both.signal(signal.SIGTERM)
        code = await both.end()

    assert code == 0
    assert both.log.count("is ready") == 2


async def test_a_worker_that_is_told_to_go_has_a_successor_first(upstream: ScriptedUpstream) -> None:
    async with fleet(upstream) as both:
        os.kill((await both.pids())[1], signal.SIGTERM)
        await both.said("A worker has ended .*exit_code=0")
        both.signal(signal.SIGTERM)
        code = await both.end()

    assert code == 0
    assert re.findall(r"A worker (is ready|has ended)", both.log)[:4] == ["is ready"] * 3 + ["has ended"]


async def test_workers_without_their_parent_finish_and_end(upstream: ScriptedUpstream, gate: asyncio.Event) -> None:
    async with fleet(upstream) as both, streams(both) as opened:
        await opened.open(2)
        both.signal(signal.SIGKILL)
        await both.said("The parent process has died", 2)
        gate.set()
        bodies = await opened.rest()
        await both.end()

    for body in bodies:
        assert_whole(body)
    assert both.served() == {"1": 1, "2": 1}


async def test_a_number_of_workers_that_cannot_be_is_refused() -> None:
    code, _, err = await outcome("serve", "--workers", "0")

    assert code == 1
    assert "--workers has to be a number from 1 to 64, not 0" in err
