"""Stores for tests: clocks that the test moves, and something behind a memory that does what the test says."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from gateway.kept_turns.backing import Backing, Change, Found, TroubleError
from gateway.kept_turns.database import Database
from gateway.kept_turns.files import DatabaseFiles
from gateway.kept_turns.layered import LayeredStore
from gateway.kept_turns.memory import Memory
from gateway.kept_turns.sqlite import SqliteBacking
from gateway.kept_turns.sqlite_file import Bounds
from gateway.secret import Secret

MIB = 1024 * 1024
WEEK = 604800.0
SECRET = Secret("a secret of an operator")


def key(number: int) -> bytes:
    """A key as digests are."""
    return number.to_bytes(16, "big")


class Time:
    """Seconds that pass when the test says so."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Clocks:
    """The two clocks of a store, which go together."""

    def __init__(self) -> None:
        self.monotonic = Time(50.0)
        self.wall = Time(1_800_000_000.0)

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.monotonic.now += seconds
        self.wall.now += seconds


class Shelf:
    """A `Backing` in a dictionary that stores may share; it can be closed to readers or writers, or broken."""

    def __init__(self) -> None:
        self.kept: dict[bytes, tuple[bytes, float]] = {}
        self.largest = MIB
        self.reads: list[list[bytes]] = []
        self.batches: list[list[Change]] = []
        self.readers, self.writers = asyncio.Event(), asyncio.Event()
        self.readers.set()
        self.writers.set()
        self.why: Exception | None = None
        self.uses: list[bytes] = []
        self.unreadable = 0
        self.is_closed = False

    async def open(self) -> None:
        await self.write(())

    async def read(self, keys: Sequence[bytes]) -> Found:
        self.reads.append([*keys])
        found = {key: self.kept[key] for key in keys if key in self.kept}
        await self.readers.wait()
        if self.why:
            raise self.why
        return Found(found, self.unreadable)

    async def write(self, changes: Sequence[Change]) -> None:
        self.batches.append([*changes])
        await self.writers.wait()
        if self.why:
            raise self.why
        for changed, value, moment in changes:
            if value is None:
                self.kept.pop(changed, None)
            else:
                self.kept[changed] = value, moment

    def used(self, keys: Sequence[bytes]) -> None:
        self.uses += keys

    async def close(self) -> None:
        self.is_closed = True


def over(backing: Backing | None, clocks: Clocks, memory_bytes: int = MIB, keep_seconds: float = WEEK) -> LayeredStore:
    """A store with a memory of this size before something."""
    memory = Memory(memory_bytes, keep_seconds)
    return LayeredStore(
        memory, backing, keep_seconds=keep_seconds, place="here", clock=clocks.monotonic, wall=clocks.wall
    )


def on_disk(
    file: Path,
    clocks: Clocks | None = None,
    *,
    secret: Secret | None = SECRET,
    disk_bytes: int = 64 * MIB,
    memory_bytes: int = MIB,
    keep_seconds: float = WEEK,
) -> LayeredStore:
    """A store with SQLite behind it."""
    clocks = clocks or Clocks()
    bounds = Bounds(disk_bytes, keep_seconds)
    backing = SqliteBacking(DatabaseFiles(Database, file, bounds, secret, clocks.wall), bounds, clocks.wall)
    return over(backing, clocks, memory_bytes, keep_seconds)


TROUBLE = TroubleError("the shelf is broken")
