"""Detecting changes of the files that a configuration was read from."""

import os
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias


class Stamp(NamedTuple):
    """The properties that change if a file is replaced; symbolic links are followed, since Kubernetes swaps them."""

    modified_ns: int
    size: int
    inode: int


Stamps: TypeAlias = Mapping[str, Stamp | None]
"""By absolute path; None for a file that is not there."""


def stamp_of(path: str) -> Stamp | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return Stamp(status.st_mtime_ns, status.st_size, status.st_ino)


def stamps_of(paths: Mapping[str, object]) -> Stamps:
    return {path: stamp_of(path) for path in paths}
