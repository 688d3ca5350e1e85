"""A worker as its parent sees it: a process, the channel to it, and what it has to do."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from enum import Enum, auto
from pathlib import Path
from typing import Final

from gateway.workers.assignment import Assignment
from gateway.workers.channel import ParentsEnd
from gateway.workers.load import Load

# Where a worker finds its parent's PYTHONPATH.
_PARENTS: Final = "DRAGOMAN_PARENTS_PYTHONPATH"
# So long one that is stuck has to say where.
_LAST_WORDS_SECONDS: Final = 1.0
# The letters of Linux.
_STATES: Final = {"R": "running", "S": "sleeping", "D": "waiting for a device", "T": "stopped", "t": "traced"}


class Phase(Enum):
    """A worker's life; only one that is serving gets connections."""

    STARTING = auto()
    SERVING = auto()
    LEAVING = auto()


class Worker:
    """One worker's process; `is_ready` becomes true when it can serve, false when it ends before it could."""

    def __init__(self, number: int, process: asyncio.subprocess.Process, channel: ParentsEnd) -> None:
        self.number = number
        self.process = process
        self.channel = channel
        self.phase = Phase.STARTING
        self.load = Load()
        self.is_given_up = False
        self.is_ready: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def leave(self, command: bytes) -> None:
        """End its service with this command."""
        self.phase = Phase.LEAVING
        self.channel.command(command)

    def give_up(self) -> None:
        """End one whose event loop is stuck: asked first, since Python may still say where; then without asking."""
        self.is_given_up = True
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGQUIT)
        asyncio.get_running_loop().call_later(_LAST_WORDS_SECONDS, self.kill)

    @property
    def state(self) -> str | None:
        """What the system says that the process is doing, where it tells."""
        try:
            stat = Path(f"/proc/{self.process.pid}/stat").read_text("ascii", "replace")
        except OSError:
            return None
        # Behind the program's name, which may hold anything, in its parentheses.
        return _STATES.get(stat.rpartition(")")[2].strip()[:1])

    def kill(self) -> None:
        """End it without asking."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()


async def start_worker(assignment: Assignment) -> Worker:
    """Start a worker's process; raises `OSError`."""
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = await _spawn(assignment.number, theirs)
        except OSError:
            ours.close()
            raise
    assert process.stdin is not None
    process.stdin.write(assignment.encode())
    process.stdin.close()
    return Worker(assignment.number, process, ParentsEnd(ours))


async def _spawn(number: int, channel: socket.socket) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "gateway.workers.worker",
        str(number),
        str(channel.fileno()),
        stdin=asyncio.subprocess.PIPE,
        pass_fds=[channel.fileno()],
        env=worker_environment(),
        # The terminal's Ctrl-C is for the parent, which says to its workers what it means.
        start_new_session=True,
    )


def worker_environment() -> dict[str, str]:
    """This process's environment, with the same modules as here however they were found."""
    # Absolute paths: never what lies in the working directory.
    modules = os.pathsep.join(os.path.abspath(path) for path in sys.path)
    return {**os.environ, "PYTHONPATH": modules, _PARENTS: os.environ.get("PYTHONPATH", "")}


def restore_environment() -> None:
    """Make a worker's environment its parent's again: the commands that print secrets have modules of their own."""
    os.environ.pop("PYTHONPATH", None)
    if parents := os.environ.pop(_PARENTS, ""):
        os.environ["PYTHONPATH"] = parents
