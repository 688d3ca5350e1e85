"""Which files are trusted: those that no other user can have created or can change.

They must not be symbolic links: a user who can create a link in the folder could make the gateway
read, write or expose any other file of its user. A `ValueError` says what is wrong with a file, and what to do.
"""

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

_NOBODY_ELSE: Final = 0o600
_OTHERS: Final = 0o077
_OTHERS_WRITE: Final = 0o022
_EVERYBODY_WRITES: Final = 0o002
_EVERYBODY_READS: Final = 0o004


def open_own(file: Path, flags: int) -> int:
    """Open a regular file that is ours, or create it if the flags say so; raises `OSError` and `ValueError`."""
    # O_NONBLOCK: opening a pipe would wait for a writer.
    more = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    if file.is_symlink():
        raise _is_link(file)
    descriptor = os.open(file, flags | more, _NOBODY_ELSE)
    try:
        _check(file, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def check_own(file: Path) -> None:
    """The same checks for a file that SQLite will open; it need not exist."""
    with suppress(FileNotFoundError):
        _check(file, os.lstat(file))


def make_private(file: Path) -> None:
    """Set the mode of a file of ours to 600; raises `ValueError` if that is impossible and others can change it."""
    if os.lstat(file).st_mode & _OTHERS:
        with suppress(OSError):
            os.chmod(file, _NOBODY_ELSE)
    if _has_owners() and os.lstat(file).st_mode & _OTHERS_WRITE:
        raise ValueError(f"{file} can be changed by other users: chmod 600 {file}")


def check_unread(file: Path) -> None:
    """Raise `ValueError` if other users can read a secret."""
    if _has_owners() and os.lstat(file).st_mode & _EVERYBODY_READS:
        raise ValueError(f"{file} can be read by other users: chmod 600 {file}")


def check_folder(folder: Path) -> None:
    """Raise `ValueError` if other users can replace files in a folder; a link to it must be ours or the system's.

    In a folder with the sticky bit, like /tmp, users can create files but not replace those of others.
    """
    if not _has_owners():
        return
    for status in (os.lstat(folder), os.stat(folder)):
        if status.st_uid not in _owners():
            raise ValueError(f"{folder} belongs to another user (uid {status.st_uid}): choose another path")
    if status.st_mode & _EVERYBODY_WRITES and not status.st_mode & stat.S_ISVTX:
        raise ValueError(f"other users can replace files in {folder}: chmod o-w {folder}")


def _check(file: Path, status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise _is_link(file)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{file} is not a regular file: remove it")
    if _has_owners() and status.st_uid not in _owners():
        raise ValueError(f"{file} belongs to another user (uid {status.st_uid}): remove it, or chown it to this one")


def _is_link(file: Path) -> ValueError:
    return ValueError(f"{file} is a symbolic link, which is not followed: name the file itself")


def _has_owners() -> bool:
    return sys.platform != "win32"


def _owners() -> tuple[int, ...]:
    """The trusted owners: this user, and root, who can do anything anyway."""
    return (os.geteuid(), 0) if sys.platform != "win32" else ()
