"""The files of the database: made for nobody else's eyes, opened by one at a time, moved aside when they are broken."""

import contextlib
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from gateway.secret import Secret
from gateway.store.backing import OTHER_KEY
from gateway.store.database import Bounds, Database
from gateway.store.keyfile import key_file, secret_beside
from gateway.store.ownership import check_folder, check_own, make_private, open_own
from gateway.store.sealing import Sealer

# SQLite puts these names behind the database's for its write-ahead log.
_WITH_LOG: Final = ("", "-wal", "-shm")
# One broken database is kept for those who want to look into it; the next one takes its place.
_ASIDE: Final = ".corrupt"
_BROKEN: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
MOVED_ASIDE: Final = "The store's database was broken; it was moved aside, and a new one begun"

_Identity: TypeAlias = tuple[int, int] | None


class Opened(NamedTuple):
    """A database with what seals its values, and which file it is, whatever has its name later."""

    database: Database
    sealer: Sealer
    identity: _Identity


class Notice(NamedTuple):
    """Something to say in the log."""

    message: str
    file: Path


def is_broken(error: sqlite3.Error) -> bool:
    """Whether an error says that the file is no whole database."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _BROKEN


class DatabaseFiles:
    """Opens the database at `file`, for several threads and processes; without a secret it takes the one beside it.

    Raises `sqlite3.Error`, `OSError`, and `ValueError` with what is wrong with the file of the secret.
    """

    def __init__(
        self, file: Path, bounds: Bounds, secret: Secret | None = None, wall: Callable[[], float] = time.time
    ) -> None:
        self.file = file
        self._bounds = bounds
        self._secret = secret
        self._wall = wall
        self._sealer: Sealer | None = None
        self._in_this_process = threading.Lock()
        self._notices: list[Notice] = []

    def open(self) -> Opened:
        """A connection of its own for the thread that calls."""
        with self._alone():
            _make(self.file)
            for suffix in _WITH_LOG:
                # SQLite, which opens them by their names, follows no links of its own logs', either.
                check_own(_beside(self.file, suffix))
            make_private(self.file)
            sealer = self._sealer = self._sealer or Sealer(self._secret or secret_beside(self.file))
            try:
                return self._opened(sealer)
            except sqlite3.Error as error:
                if not is_broken(error):
                    raise
                self._move_aside()
                return self._opened(sealer)

    def identity(self) -> _Identity:
        """Which file has the name now; None where there is none."""
        try:
            status = os.lstat(self.file)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def replace(self, broken: _Identity) -> None:
        """Move a broken database aside, unless somebody else has done so."""
        with self._alone():
            if self.identity() == broken:
                self._move_aside()

    def take_notices(self) -> list[Notice]:
        """What the log has to say since it was asked last."""
        notices, self._notices = self._notices, []
        return notices

    def _opened(self, sealer: Sealer) -> Opened:
        database = Database(self.file, self._bounds)
        try:
            self._introduce(database, sealer)
        except BaseException:
            database.close()
            raise
        return Opened(database, sealer, self.identity())

    def _introduce(self, database: Database, sealer: Sealer) -> None:
        """Say with which secret is written here from now on."""
        probes = database.probes()
        if sealer.has_sealed(probes.get(sealer.name, b"")):
            return
        if probes:
            self._notices.append(Notice(OTHER_KEY, key_file(self.file) if self._secret is None else self.file))
        database.add_probe(sealer.name, sealer.probe(self._wall()))

    def _move_aside(self) -> None:
        # SQLite sees that an open database has moved, and leaves the new one's log alone.
        aside = f"{self.file}{_ASIDE}"
        for suffix in _WITH_LOG:
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{self.file}{suffix}", f"{aside}{suffix}")
        _make(self.file)
        self._notices.append(Notice(MOVED_ASIDE, Path(aside)))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """A block in which no other thread or process opens or replaces the files."""
        with self._in_this_process:
            _make_folder(self.file.parent)
            check_folder(self.file.parent)
            descriptor = open_own(_beside(self.file, ".lock"), os.O_RDWR | os.O_CREAT)
            try:
                if sys.platform != "win32":
                    # On Windows there is one process only.
                    import fcntl

                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)


def _beside(file: Path, suffix: str) -> Path:
    return file.with_name(f"{file.name}{suffix}")


def _make(file: Path) -> None:
    """Make the file for nobody else's eyes if there is nothing of that name; its log takes over who may read it."""
    # A file that exists is not opened here: to close it again would end the locks that this process has on it.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        # Not with `parents`, which would give all but the last to everybody.
        _make_folder(folder.parent)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
