"""The command line as it is typed, and what it says: in a process of its own where it serves, else in this one."""

import asyncio
import contextlib
import io
import logging
import os
import re
import resource
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from gateway.cli import main

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60
# Programs for Node.js and agents take long to start on a busy machine.
_PROGRAM_SECONDS = 120
# What the commands keep goes here, and away with the tests.
_STATE = tempfile.TemporaryDirectory()
_LOGS = ("dragoman", "uvicorn.error", "asyncio")


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


async def outcome_of_process(*arguments: str, **more: str) -> tuple[int, str, str]:
    """Run a command that begins to serve in a process of its own, to its end; the same as `outcome` gives."""
    process = await start(*arguments, **more)
    async with asyncio.timeout(PATIENCE_SECONDS):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def outcome(*arguments: str, cwd: str = _STATE.name, **more: str) -> tuple[int, str, str]:
    """Run a command to its end: exit code, standard output, standard error.

    In this process, in a thread with an event loop of its own: to start another one takes half a second of CPU. What
    the command finds of its surroundings is that of a process all the same.
    """
    return await asyncio.to_thread(_outcome, arguments, cwd, environ(**more))


def _outcome(arguments: tuple[str, ...], cwd: str, variables: dict[str, str]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    typed = [str(ROOT / "gateway" / "__main__.py"), *arguments]
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        patch.object(sys, "argv", typed),
        patch.dict(os.environ, variables, clear=True),
        contextlib.chdir(cwd),
        _logs_of_its_own(),
        _limits_of_its_own(),
    ):
        try:
            code = main(arguments)
        except SystemExit as end:
            # Of argparse: it prints by itself.
            code = end.code if isinstance(end.code, int) else 0
    return code, out.getvalue(), err.getvalue()


@contextlib.contextmanager
def _logs_of_its_own() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _LOGS]
    before = [(log, [*log.handlers], log.propagate, log.level) for log in loggers]
    for log in loggers:
        log.handlers = []
    try:
        yield
    finally:
        for log, handlers, propagate, level in before:
            log.handlers, log.propagate = handlers, propagate
            log.setLevel(level)


@contextlib.contextmanager
def _limits_of_its_own() -> Iterator[None]:
    """A command that serves raises the limit of open files, which tests of the pytest process do not ask for."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


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
        url = re.search(r"listens on (https?://\S+)/v1", said)
        assert url
        yield Running(process, said, url[1])
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def run_alone(*command: str | Path, cwd: Path, **variables: str) -> tuple[int, str, str]:
    """The exit code, the output and the errors of a command that gets nothing of this environment's settings."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd), **variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_PROGRAM_SECONDS):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def said_by(*command: str | Path, cwd: Path, **variables: str) -> str:
    """What such a command prints, which has to end well."""
    code, out, err = await run_alone(*command, cwd=cwd, **variables)
    assert code == 0, err
    return out
