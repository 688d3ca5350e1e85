"""A gateway in a process of its own, the ways to attack it, and what it holds."""

import asyncio
import contextlib
import os
import re
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx2

from tests.scenarios.harness import PATH
from tests.scenarios.hostile.upstream import Script
from tests.support.commands import Running, started
from tests.support.scripted import ScriptedUpstream, scripted_upstream

HONEST_KEY = "honest-client-of-this-test"
HOSTILE_KEY = "hostile-client-of-this-test"
ADMIN_KEY = "admin-of-this-test-alone"
# Whoever is slowed down by address is the attacker alone.
HOSTILE_ADDRESS = "127.0.0.2"
PATIENCE_SECONDS = 60.0
PIECE_BYTES = 256 * 1024
_CONFIG = """
keys:
  - {{name: a, api_key: sk-ant-a-of-this-test, base_url: "{url}"}}
  - {{name: b, api_key: sk-ant-b-of-this-test, base_url: "{url}"}}
clients:
  - {{name: honest, api_key: {honest}}}
  - {{name: hostile, api_key: {hostile}}}
admin: {{api_key: {admin}}}
store: {{kind: sqlite, path: "{folder}/store.db", memory_bytes: 1048576}}
responses: {{memory_bytes: 1048576}}
log: {{level: warning}}
"""
_NUMBERS = count(1)


@dataclass(slots=True)
class Target:
    """A running gateway; `log` is what it has written to standard error so far."""

    running: Running
    upstream: ScriptedUpstream
    script: Script
    log: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.running.url

    def client(self, key: str = HONEST_KEY) -> httpx2.AsyncClient:
        """A client of the gateway that shows a key."""
        return httpx2.AsyncClient(
            base_url=self.url, timeout=PATIENCE_SECONDS, headers={"authorization": f"Bearer {key}"}
        )

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A hostile connection; it is broken off at the end of the block."""
        host, port = self.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), local_addr=(HOSTILE_ADDRESS, 0))
        try:
            yield reader, writer
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def say(self, data: bytes, *, half_close: bool = False, seconds: float = PATIENCE_SECONDS) -> bytes:
        """Send any bytes; gives all that comes back until the gateway closes, or until so much time has passed."""
        answer = bytearray()
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(seconds), self.connection() as (reader, writer):
                sending = asyncio.create_task(_send(writer, data, half_close=half_close))
                try:
                    while piece := await reader.read(PIECE_BYTES):
                        answer += piece
                finally:
                    sending.cancel()
        return bytes(answer)

    async def post(
        self, body: bytes, path: str = PATH, *, key: str = HOSTILE_KEY, more: bytes = b"", seconds: float = 60.0
    ) -> tuple[int, bytes]:
        """Ask once, on a connection of its own; gives the status (0 for none), and the answer behind its head."""
        fields = b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body)
        return await self._ask(b"POST", path, key, more + fields, body, seconds)

    async def ask(self, method: str, path: str, *, key: str = HOSTILE_KEY, seconds: float = 60.0) -> tuple[int, bytes]:
        """The same without a body."""
        return await self._ask(method.encode(), path, key, b"", b"", seconds)

    async def _ask(
        self, method: bytes, path: str, key: str, more: bytes, body: bytes, seconds: float
    ) -> tuple[int, bytes]:
        head = b"%b %b HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer %b\r\nconnection: close\r\n%b\r\n"
        answer = await self.say(head % (method, path.encode(), key.encode(), more) + body, seconds=seconds)
        status = re.match(rb"HTTP/1\.1 (\d+)", answer)
        return int(status[1]) if status else 0, answer.partition(b"\r\n\r\n")[2]

    # What it holds, and the time it had.

    def clock(self) -> float:
        """Seconds that pass while the gateway runs or sleeps, and not while it waits for a core of a busy machine."""
        with contextlib.suppress(OSError):
            waited = Path(f"/proc/{self.running.process.pid}/schedstat").read_text().split()[1]
            return time.perf_counter() - int(waited) / 1e9
        return time.perf_counter()

    @property
    def resident_bytes(self) -> int:
        """The memory of the process."""
        pages = int(Path(f"/proc/{self.running.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def descriptors(self) -> int:
        """How many files and sockets the process has open."""
        return len(os.listdir(f"/proc/{self.running.process.pid}/fd"))

    async def pool(self) -> dict[str, Any]:
        """What `/admin/pool` says."""
        async with self.client(ADMIN_KEY) as client:
            view: dict[str, Any] = (await client.get("/admin/pool")).json()["pool"]
            return view

    async def at_rest(self) -> int:
        """How many descriptors it has open beside the ones of `until`, with no connection to upstream."""
        fewest = self.descriptors
        looks = count()

        def is_still() -> bool:
            nonlocal fewest
            fewest = self.descriptors
            return next(looks) > 5 and self.upstream.open_connections == 0

        assert await self.until(is_still)
        return fewest

    async def until(self, is_so: Callable[[], bool]) -> bool:
        """Wait for what the gateway needs a moment for, while upstream's idle connections are closed."""
        async with self.client() as client:
            due = time.monotonic() + PATIENCE_SECONDS
            while time.monotonic() < due:
                self.upstream.close_idle_connections()
                # It is awake meanwhile, and its collector has its turns.
                await client.get("/health")
                if is_so():
                    return True
                await asyncio.sleep(0.02)
        return False


@asynccontextmanager
async def target(upstream: ScriptedUpstream, folder: Path) -> AsyncIterator[Target]:
    """A gateway with two keys for the upstream, an honest client and a hostile one, and little to keep."""
    config = folder / "config.yaml"
    config.write_text(
        _CONFIG.format(url=upstream.base_url, honest=HONEST_KEY, hostile=HOSTILE_KEY, admin=ADMIN_KEY, folder=folder)
    )
    async with started("serve", "--config", str(config)) as running:
        found = Target(running, upstream, Script(upstream))
        reading = asyncio.create_task(_read_log(running, found.log))
        try:
            yield found
        finally:
            reading.cancel()


@asynccontextmanager
async def attacked_and_calm(folder: Path) -> AsyncIterator[tuple[Target, Target]]:
    """Two gateways in the same state, each with an upstream of its own."""
    for name in ("attacked", "calm"):
        (folder / name).mkdir()
    async with (
        scripted_upstream() as first,
        scripted_upstream() as second,
        target(first, folder / "attacked") as attacked,
        target(second, folder / "calm") as calm,
    ):
        yield attacked, calm


def order(name: str) -> str:
    """Words in a request that tell the scripted upstream what to answer; each time another request's."""
    return f"order={name}/{next(_NUMBERS)};"


def can_attack() -> bool:
    """Whether this machine has what the measurements need: `/proc`, and a second address of its own."""
    with contextlib.suppress(OSError), socket.socket() as trying:
        trying.bind((HOSTILE_ADDRESS, 0))
        return Path("/proc/self/statm").exists()
    return False


async def each(work: Iterable[Any]) -> None:
    """All of it at once."""
    await asyncio.gather(*work)


async def _send(writer: asyncio.StreamWriter, data: bytes, *, half_close: bool) -> None:
    with contextlib.suppress(ConnectionError):
        for start in range(0, len(data), PIECE_BYTES):
            writer.write(data[start : start + PIECE_BYTES])
            await writer.drain()
        if half_close:
            writer.write_eof()


async def _read_log(running: Running, lines: list[str]) -> None:
    assert running.process.stderr is not None
    while line := await running.process.stderr.readline():
        lines.append(line.decode(errors="replace"))
