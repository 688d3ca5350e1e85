"""The secret in a file beside the database, created if there is none."""

import base64
import contextlib
import os
import secrets
from pathlib import Path
from typing import Final

from gateway.private_files.database import make_folder
from gateway.private_files.ownership import check_folder, check_unread, make_private, open_own
from gateway.secret import Secret

_SECRET_BYTES: Final = 32
# Another user may have put the file there, so no more than this is read.
_MOST_BYTES: Final = 4096
_SHORTEST: Final = 16


def secret_beside(database: Path) -> Secret:
    """The secret in the file `<database>.key`, which is created if it does not exist.

    Raises `OSError`, and `ValueError` if something is wrong with the file.
    """
    file = key_file(database)
    try:
        return _read(file)
    except FileNotFoundError:
        _make(file)
        # Another worker may have created it first.
        return _read(file)


def secret_of_database(database: Path) -> Secret:
    """The same for a database that need not exist yet."""
    make_folder(database.parent)
    check_folder(database.parent)
    return secret_beside(database)


def key_file(database: Path) -> Path:
    return database.with_name(f"{database.name}.key")


def _read(file: Path) -> Secret:
    with open(open_own(file, os.O_RDONLY), "rb") as opened:
        make_private(file)
        check_unread(file)
        text = opened.read(_MOST_BYTES).decode("ascii", "replace").strip()
    if len(text) < _SHORTEST:
        raise ValueError(f"{file} holds no key; remove it, and the gateway will create a new one")
    return Secret(text)


def _make(file: Path) -> None:
    """Create the file atomically, and only if there is none: a hard link to a complete file does both."""
    draft = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as opened:
            opened.write(base64.b64encode(secrets.token_bytes(_SECRET_BYTES)) + b"\n")
            opened.flush()
            os.fsync(descriptor)
        with contextlib.suppress(FileExistsError):
            os.link(draft, file)
    finally:
        os.unlink(draft)
