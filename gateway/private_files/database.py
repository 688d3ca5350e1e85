"""The files of an SQLite database: created private, opened or replaced by one process at a time, moved aside."""

import contextlib
import errno
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

from gateway.private_files.ownership import check_folder, check_own, make_private, open_own

# The suffixes of SQLite's files: the database, and its write-ahead log.
WITH_LOG: Final = ("", "-wal", "-shm")
# One corrupt database is kept for inspection; the next one replaces it.
ASIDE: Final = ".corrupt"
# What the log of a database is called in whose place there is another one.
_REPLACED: Final = ".replaced"

# Opening takes milliseconds, and a migration little more.
_PATIENCE_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.005

# Of a file, which stays the same if its name is reused; None if there is no file.
Identity: TypeAlias = tuple[int, int] | None


def prepare(file: Path) -> None:
    """Create the database with mode 600 if there is none, and check its files; raises `OSError` and `ValueError`."""
    make(file)
    for suffix in WITH_LOG:
        # SQLite opens these files by name: none of them may be another user's, or a symbolic link.
        check_own(beside(file, suffix))
    make_private(file)


def make(file: Path) -> None:
    """Create the file with mode 600 if it does not exist; SQLite gives its log the same mode."""
    # An existing file is not opened here: closing it would release the locks that this process holds on it (POSIX).
    with contextlib.suppress(FileExistsError):
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def make_folder(folder: Path) -> None:
    """Create a folder and those above it with mode 700, where there is none."""
    if not folder.is_dir():
        # Not with `parents`, which ignores the mode for all but the last folder.
        make_folder(folder.parent)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)


def identity_of(file: Path) -> Identity:
    """The identity of the file that has the name now."""
    try:
        status = os.lstat(file)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def set_log_aside(file: Path, log: Identity) -> None:
    """Rename the write-ahead log of a database in whose place there is another file: it is not that one's.

    `log` is the identity of the old one's, which another process may have renamed already.
    """
    if log is not None and identity_of(beside(file, "-wal")) == log:
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.replace(beside(file, suffix), beside(file, f"{_REPLACED}{suffix}"))


def is_missing(file: Path) -> bool:
    """Whether there is certainly no file of that name; one that cannot be looked for may exist."""
    try:
        os.lstat(file)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def move_aside(file: Path) -> Path:
    """Rename a corrupt database with its log, and create an empty one; returns the old one's new name."""
    # SQLite notices that an open database was moved, and does not touch the new one's log.
    aside = beside(file, ASIDE)
    for suffix in WITH_LOG:
        with contextlib.suppress(FileNotFoundError):
            os.replace(f"{file}{suffix}", f"{aside}{suffix}")
    make(file)
    return aside


def beside(file: Path, suffix: str) -> Path:
    """The file of the same name with this at its end."""
    return file.with_name(f"{file.name}{suffix}")


@contextlib.contextmanager
def alone(file: Path, in_this_process: threading.Lock) -> Iterator[None]:
    """Exclude other threads and processes from opening or replacing a database; creates its folder.

    Raises `OSError`, and `ValueError` if other users could replace the file.
    """
    with in_this_process:
        make_folder(file.parent)
        check_folder(file.parent)
        descriptor = open_own(beside(file, ".lock"), os.O_RDWR | os.O_CREAT)
        try:
            if sys.platform != "win32":
                # On Windows there is only one process.
                _lock(descriptor)
            yield
        finally:
            os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Wait for the lock, but not for a process that is stuck with it."""
    import fcntl

    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                raise OSError(errno.EWOULDBLOCK, "another process has been opening the file for too long") from None
            time.sleep(_LOOK_SECONDS)
