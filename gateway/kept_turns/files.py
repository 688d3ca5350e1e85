"""The files of the database: created private, opened by one process at a time, moved aside if corrupt."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, NamedTuple, TypeVar

from gateway.kept_turns.backing import OTHER_KEY
from gateway.kept_turns.sealing import Sealer
from gateway.kept_turns.sqlite_file import Bounds, SqliteFile
from gateway.private_files.database import Identity, alone, identity_of, move_aside, prepare
from gateway.private_files.keyfile import key_file, secret_beside
from gateway.private_files.sqlite import is_broken
from gateway.secret import Secret

MOVED_ASIDE: Final = "The store's database was corrupt; it was moved aside, and a new one was created"

D = TypeVar("D", bound=SqliteFile)


class Opened(NamedTuple, Generic[D]):
    """A database with its sealer, and the identity of its file, which stays the same if the name is reused."""

    database: D
    sealer: Sealer
    identity: Identity


class Notice(NamedTuple):
    """A warning for the log."""

    message: str
    file: Path


class DatabaseFiles(Generic[D]):
    """Opens the database at `file`, for several threads and processes.

    Without a `secret` it is the one beside `key_owner`, which is the database itself if there is no other. Raises
    `sqlite3.Error`, `OSError`, and `ValueError` if something is wrong with the file of the secret.
    """

    def __init__(
        self,
        kind: Callable[[Path, Bounds], D],
        file: Path,
        bounds: Bounds,
        secret: Secret | None = None,
        wall: Callable[[], float] = time.time,
        *,
        key_owner: Path | None = None,
    ) -> None:
        self.file = file
        self._kind = kind
        self._key_owner = key_owner or file
        self._bounds = bounds
        self._secret = secret
        self._wall = wall
        self._sealer: Sealer | None = None
        self._in_this_process = threading.Lock()
        self._notices: list[Notice] = []

    def open(self) -> Opened[D]:
        """A new connection for the calling thread."""
        with self._alone():
            prepare(self.file)
            sealer = self._sealer = self._sealer or Sealer(self._secret or secret_beside(self._key_owner))
            try:
                return self._opened(sealer)
            except sqlite3.Error as error:
                if not is_broken(error):
                    raise
                self._move_aside()
                return self._opened(sealer)

    def identity(self) -> Identity:
        """The identity of the file that has the name now; None if there is none."""
        return identity_of(self.file)

    def replace(self, broken: Identity) -> None:
        """Move a corrupt database aside, unless another process has done so already."""
        with self._alone():
            if self.identity() == broken:
                self._move_aside()

    def take_notices(self) -> list[Notice]:
        """The warnings since the last call."""
        notices, self._notices = self._notices, []
        return notices

    def _opened(self, sealer: Sealer) -> Opened[D]:
        database = self._kind(self.file, self._bounds)
        try:
            self._introduce(database, sealer)
        except BaseException:
            database.close()
            raise
        return Opened(database, sealer, self.identity())

    def _introduce(self, database: D, sealer: Sealer) -> None:
        """Record the secret in the database; notice if another one was used before."""
        probes = database.probes()
        if sealer.has_sealed(probes.get(sealer.name, b"")):
            return
        if probes:
            self._notices.append(Notice(OTHER_KEY, key_file(self._key_owner) if self._secret is None else self.file))
        database.add_probe(sealer.name, sealer.probe(self._wall()))

    def _move_aside(self) -> None:
        self._notices.append(Notice(MOVED_ASIDE, move_aside(self.file)))

    def _alone(self) -> contextlib.AbstractContextManager[None]:
        return alone(self.file, self._in_this_process)
