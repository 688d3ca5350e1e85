"""Starts processes on their cores and ends them again."""

import contextlib
import ctypes
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.load.client import Access
from benchmarks.load.measure import family
from benchmarks.load.reading import AnswerReader
from benchmarks.load.targets import ROOT, System, environment

_PATIENCE_SECONDS: Final = 120.0
_MANY_FILES: Final = 20_000
_PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core is whose; on a machine with one core, it is everybody's."""

    system: int
    load: int

    @property
    def are_apart(self) -> bool:
        """Whether the system under test has a core for itself."""
        return self.system != self.load


@dataclass(frozen=True, slots=True)
class Running:
    """A system that answers; `pid` is 0 where there is no process between, `ready_seconds` from command to answer."""

    system: System
    access: Access
    pid: int
    ready_seconds: float


class StartError(Exception):
    """A system did not start; the text says what it last said."""


def cores() -> Cores:
    """The first core for the system under test, the last for everything else."""
    usable = sorted(os.sched_getaffinity(0))
    return Cores(usable[0], usable[-1])


def settle(core: int) -> None:
    """Put this process on its core, with as many open files as it may have, and let it end with its parent."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    os.sched_setaffinity(0, {core})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most if most > 0 else _MANY_FILES, most))


@contextlib.contextmanager
def upstream(core: int) -> Iterator[int]:
    """The simulated upstream on a core; gives its port."""
    command = [sys.executable, "-m", "benchmarks.load.upstream"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: settle(core), start_new_session=True
    ) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            _end(process)


@contextlib.contextmanager
def started(system: System, core: int, work: Path) -> Iterator[Running]:
    """The system on a core, once it has answered a request; raises `StartError`."""
    assert system.access is not None, system.missing
    if not system.command:
        yield Running(system, system.access, 0, 0.0)
        return
    log = work / f"{system.name}.log"
    with log.open("wb") as output:
        began_at = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in system.command],
            cwd=system.folder,
            env=environment(system),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=lambda: settle(core),
            start_new_session=True,
        )
    try:
        access = _wait_until_ready(process, system, log)
        yield Running(system, access, process.pid, time.perf_counter() - began_at)
    finally:
        _end(process)


def _wait_until_ready(process: "subprocess.Popen[bytes]", system: System, log: Path) -> Access:
    """How the system is called, once it has answered."""
    give_up_at = time.monotonic() + _PATIENCE_SECONDS
    said = ""
    while time.monotonic() < give_up_at and process.poll() is None:
        access = _access(system, log)
        with contextlib.suppress(OSError):
            reader = ask(access.port, access.request())
            if reader.status == 200 and reader.events:
                return access
            said = f"status {reader.status}: {reader.body_start.decode(errors='replace')}"
        time.sleep(0.005)
    last_words = log.read_text("utf-8", errors="replace").strip()[-600:]
    raise StartError("\n".join(filter(None, (said, last_words))) or "it said nothing")


def _access(system: System, log: Path) -> Access:
    assert system.access is not None
    if not system.port_pattern:
        return system.access
    found = re.search(system.port_pattern, log.read_text("utf-8", errors="replace"), re.MULTILINE)
    return replace(system.access, port=int(found[1])) if found else system.access


def ask(port: int, request: bytes) -> AnswerReader:
    """Send one request and wait for its answer."""
    reader = AnswerReader()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        while not reader.is_complete and (data := connection.recv(65536)):
            reader.feed(data)
    return reader


def _end(process: "subprocess.Popen[bytes] | subprocess.Popen[str]", patience_seconds: float = 8.0) -> None:
    """Ask the process to end, then make it and what it has started."""
    members: Sequence[int] = family(process.pid) if process.poll() is None else ()
    process.terminate()
    try:
        process.wait(patience_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for member in members:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)
