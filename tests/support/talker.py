"""The other end of a talk, in a process of its own: `python -m tests.support.talker DESCRIPTOR`."""

import asyncio
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from gateway.workers.talk import Answerer, Talk
from tests.support.commands import ROOT


@asynccontextmanager
async def talker(answerers: Mapping[str, Answerer] | None = None) -> AsyncIterator[tuple[Talk, Process]]:
    """A talk with another process, which has begun to answer; both end with the block."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.talker", str(theirs.fileno()), pass_fds=[theirs.fileno()], cwd=ROOT
        )
    talk = await Talk.over(ours, answerers or {})
    try:
        await talk.ask("echo", seconds=60)
        yield talk, process
    finally:
        talk.close()
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _main(descriptor: int) -> None:
    async def never(body: bytes) -> bytes:
        await asyncio.Event().wait()
        return b""

    async def back(body: bytes) -> bytes:
        """Ask the parent what it was asked itself."""
        return await talk.ask("back", body, seconds=60)

    def wrong(body: bytes) -> bytes:
        raise ValueError("Nobody understands this.")

    answerers: dict[str, Answerer] = {"echo": lambda body: body, "never": never, "wrong": wrong, "back": back}
    talk = await Talk.over(socket.socket(fileno=descriptor), answerers)
    await talk.ended.wait()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
