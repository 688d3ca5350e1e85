"""What lies behind the memory, as the store in front of it sees it."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

OTHER_KEY: Final = (
    "The store was written with another encryption key: what it holds is not found any more, and leaves with time"
)


class TroubleError(Exception):
    """It cannot be used at the moment; the text says why, for the log, and holds no secret."""


class Found(NamedTuple):
    """What was read: values with the moments when they were put (seconds since 1970), and how many cannot be opened."""

    values: Mapping[bytes, tuple[bytes, float]]
    unreadable: int = 0


class Change(NamedTuple):
    """A value to keep under a key from this moment on (seconds since 1970), or None: nothing any more."""

    key: bytes
    value: bytes | None
    moment: float


class Backing(Protocol):
    """A place that outlives the process; what it raises is a `TroubleError`."""

    @property
    def largest(self) -> int:
        """Larger values are not worth to be sent there."""
        ...

    async def open(self) -> None:
        """Make sure that it can be used; everything else does so as well."""
        ...

    async def read(self, keys: Sequence[bytes]) -> Found:
        """What there is under these keys, in one query."""
        ...

    async def write(self, changes: Sequence[Change]) -> None:
        """Make these changes, all or none; each key occurs once."""
        ...

    def used(self, keys: Sequence[bytes]) -> None:
        """These were used, though not from here: to be taken down with the next change."""
        ...

    async def close(self) -> None:
        """Let go of everything; what is read or written later opens it again."""
        ...
