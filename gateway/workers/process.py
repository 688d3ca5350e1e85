"""A worker as its parent sees it: a process, the channel to it, and its load."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from enum import Enum, auto
from pathlib import Path
from typing import Final

from gateway.workers.assignment import Assignment
from gateway.workers.channel import ParentsEnd
from gateway.workers.load import Load
from gateway.workers.talk import Answerer, Talk

# The variable that carries the parent's PYTHONPATH to a worker.
_PARENTS: Final = "DRAGOMAN_PARENTS_PYTHONPATH"
# How long a stuck worker has to log where it is stuck.
_LAST_WORDS_SECONDS: Final = 1.0
# Linux's letters for process states.
_STATES: Final = {"R": "running", "S": "sleeping", "D": "waiting for a device", "T": "stopped", "t": "traced"}


class Phase(Enum):
    """A worker's life cycle; only a serving worker gets connections."""

    STARTING = auto()
    SERVING = auto()
    LEAVING = auto()


class Worker:
    """One worker's process; `is_ready` becomes true when it can serve, false if it ends before that."""

    def __init__(self, number: int, process: asyncio.subprocess.Process, channel: ParentsEnd) -> None:
        self.number = number
        self.process = process
        self.channel = channel
        self.talk: Talk | None = None
        self.phase = Phase.STARTING
        self.load = Load()
        self.is_given_up = False
        # Its talk has ended, and nothing was done about it yet.
        self.is_cut_off = False
        self.is_ready: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def leave(self, command: bytes) -> None:
        """Tell it to stop serving, with this command."""
        self.phase = Phase.LEAVING
        self.channel.command(command)

    def give_up(self) -> None:
        """End a worker whose event loop is stuck: with a signal that lets Python log where, then by killing it."""
        self.is_given_up = True
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGQUIT)
        asyncio.get_running_loop().call_later(_LAST_WORDS_SECONDS, self.kill)

    def cut_off(self) -> None:
        """Its talk has ended."""
        self.is_cut_off = True

    async def end_talk(self, seconds: float) -> None:
        """Read what it said before its process ended, and close the talk."""
        if self.talk is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.talk.ended.wait()
        self.talk.close()

    @property
    def is_serving(self) -> bool:
        """Whether it has requests, or may get some: from the time when it is ready to its end."""
        return self.is_ready.done() and self.is_ready.result()

    @property
    def state(self) -> str | None:
        """The system's name for the process's state; None if the system does not tell."""
        try:
            stat = Path(f"/proc/{self.process.pid}/stat").read_text("ascii", "replace")
        except OSError:
            return None
        # The state follows the program's name, which is in parentheses and can contain anything.
        return _STATES.get(stat.rpartition(")")[2].strip()[:1])

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()


async def start_worker(
    assignment: Assignment, answerers_for: Callable[[Worker], Mapping[str, Answerer]] = lambda worker: {}
) -> Worker:
    """Start a worker's process, which may ask and tell what `answerers_for` answers; raises `OSError`."""
    (ours, theirs), (our_talk, their_talk) = socket.socketpair(), socket.socketpair()
    with theirs, their_talk:
        try:
            process = await _spawn(assignment.number, theirs, their_talk)
        except OSError:
            ours.close()
            our_talk.close()
            raise
    assert process.stdin is not None
    process.stdin.write(assignment.encode())
    process.stdin.close()
    worker = Worker(assignment.number, process, ParentsEnd(ours))
    worker.talk = await Talk.over(our_talk, answerers_for(worker), worker.cut_off)
    return worker


async def _spawn(number: int, channel: socket.socket, talk: socket.socket) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "gateway.workers.worker",
        str(number),
        str(channel.fileno()),
        str(talk.fileno()),
        stdin=asyncio.subprocess.PIPE,
        pass_fds=[channel.fileno(), talk.fileno()],
        env=worker_environment(),
        # The terminal's Ctrl-C must reach only the parent, which tells its workers what to do.
        start_new_session=True,
    )


def worker_environment() -> dict[str, str]:
    """This process's environment, with a PYTHONPATH that finds the same modules."""
    # Absolute paths, so that nothing is imported from the working directory.
    modules = os.pathsep.join(os.path.abspath(path) for path in sys.path)
    return {**os.environ, "PYTHONPATH": modules, _PARENTS: os.environ.get("PYTHONPATH", "")}


def restore_environment() -> None:
    """Restore the parent's PYTHONPATH, for the commands that print secrets."""
    os.environ.pop("PYTHONPATH", None)
    if parents := os.environ.pop(_PARENTS, ""):
        os.environ["PYTHONPATH"] = parents
