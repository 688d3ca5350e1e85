"""Whether a database could be used, found out without creating or changing anything."""

import os
from pathlib import Path

from gateway.private_files.ownership import check_folder, check_own


def nearest_folder(folder: Path) -> Path:
    """The folder, or the nearest existing one above it; raises `ValueError` if that is no folder."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder")
    return folder


def is_there(file: Path) -> bool:
    """Whether there is a database; raises `ValueError` if this user cannot use it, or could not create it."""
    folder = nearest_folder(file.parent)
    if folder == file.parent:
        check_folder(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"{folder} cannot be written by this user")
    check_own(file)
    if not file.exists():
        return False
    if not os.access(file, os.R_OK | os.W_OK):
        raise ValueError(f"{file} cannot be written by this user")
    return True


def uri_to_look(file: Path) -> str:
    """The URI with which SQLite reads a database and creates nothing beside it."""
    # Without a log nobody has it open, and with `immutable` SQLite creates no files to read it.
    mode = "mode=ro" if file.with_name(f"{file.name}-wal").exists() else "immutable=1"
    return f"{file.absolute().as_uri()}?{mode}"
