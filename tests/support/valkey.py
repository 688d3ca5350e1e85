"""A real Valkey or Redis server for a test, on a socket in a folder of its own or on a free port."""

import asyncio
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import quote

PROGRAM = shutil.which("valkey-server") or shutil.which("redis-server")
PATIENCE_SECONDS = 60


@dataclass(slots=True)
class Server:
    """A server that can be killed and started again; what it held is gone then."""

    url: str
    arguments: list[str]
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it; returns when it can be asked."""
        assert PROGRAM is not None
        self.process = await asyncio.create_subprocess_exec(
            PROGRAM, *self.arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            while b"ready to accept connections" not in (line := await self.process.stdout.readline()).lower():
                assert line, "the server did not start"

    async def kill(self) -> None:
        """End it at once, without a word to anybody."""
        if self.process is not None:
            self.process.kill()
            await self.process.communicate()
            self.process = None


@asynccontextmanager
async def server(*more: str) -> AsyncIterator[Server]:
    """A server on a socket, which is faster than a port, and cannot be taken by somebody else."""
    # Not in a folder of pytest: the path of a socket has to be short.
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/valkey.sock"
        arguments = ["--port", "0", "--unixsocket", path, *_plain(folder), *more]
        async with _running(Server(f"unix://{path}", arguments)) as it:
            yield it


@asynccontextmanager
async def server_on_a_port(password: str) -> AsyncIterator[Server]:
    """A server as in a network, with a password."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["--port", str(port), "--bind", "127.0.0.1", "--requirepass", password, *_plain(folder)]
        async with _running(Server(f"valkey://:{quote(password, safe='')}@127.0.0.1:{port}/3", arguments)) as it:
            yield it


@asynccontextmanager
async def _running(server: Server) -> AsyncIterator[Server]:
    await server.start()
    try:
        yield server
    finally:
        await server.kill()


def _plain(folder: str) -> list[str]:
    return ["--save", "", "--appendonly", "no", "--dir", folder]
