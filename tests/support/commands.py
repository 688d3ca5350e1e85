"""The command line as it is typed: real processes, and what they say."""

import asyncio
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 20
# What the commands keep goes here, and away with the tests.
_STATE = tempfile.TemporaryDirectory()


@dataclass(slots=True)
class Running:
    """A started command, and what it has said so far on standard output."""

    process: asyncio.subprocess.Process
    said: str
    url: str

    async def end(self) -> tuple[int, str]:
        """Wait for the end; gives the exit code and everything said on both outputs since then."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            out, err = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, (out + err).decode()


def environ(**more: str) -> dict[str, str]:
    """This environment without any setting of the gateway, and with a state of its own that is still empty."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANTHROPIC_", "DRAGOMAN_"))}
    return {**kept, "XDG_STATE_HOME": tempfile.mkdtemp(dir=_STATE.name), **more}


async def start(*arguments: str, cwd: str = _STATE.name, **more: str) -> asyncio.subprocess.Process:
    """Start a command in a folder without a configuration file of its own, unless another one is named."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        *arguments,
        cwd=cwd,
        env=environ(PYTHONPATH=os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", ""))), **more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def outcome(*arguments: str, **more: str) -> tuple[int, str, str]:
    """Run a command to its end: exit code, standard output, standard error."""
    process = await start(*arguments, **more)
    async with asyncio.timeout(PATIENCE_SECONDS):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def started(*arguments: str, **more: str) -> AsyncIterator[Running]:
    """A command that serves, from its last start-up line on; killed if the test has not ended it."""
    process = await start(*arguments, "--port", "0", **more)
    assert process.stdout is not None
    try:
        said = ""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while "Ctrl-C" not in said:
                line = await process.stdout.readline()
                assert line, (await process.communicate())[1].decode()
                said += line.decode()
        url = re.search(r"listens on (http://\S+)/v1", said)
        assert url
        yield Running(process, said, url[1])
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
