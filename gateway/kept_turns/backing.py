"""The interface of what backs the memory: SQLite or Valkey."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

OTHER_KEY: Final = (
    "The store was written with another encryption key: its turns are not found any more, and will expire"
)


class TroubleError(Exception):
    """The backing cannot be used at the moment; the text says why, for the log, and holds no secret."""


class Found(NamedTuple):
    """Values with the times when they were put (seconds since 1970), and how many could not be decrypted."""

    values: Mapping[bytes, tuple[bytes, float]]
    unreadable: int = 0


class Change(NamedTuple):
    """A value to keep under a key, put at `moment` (seconds since 1970); None deletes what is there."""

    key: bytes
    value: bytes | None
    moment: float


class Backing(Protocol):
    """Storage that outlives the process; every method raises only `TroubleError`."""

    @property
    def largest(self) -> int:
        """The size limit: larger values are not sent there."""
        ...

    async def open(self) -> None:
        """Check that it can be used. Optional: the other methods open it on demand."""
        ...

    async def read(self, keys: Sequence[bytes]) -> Found:
        """Read the values of these keys in one query."""
        ...

    async def write(self, changes: Sequence[Change]) -> None:
        """Make all of these changes or none; each key occurs once."""
        ...

    def used(self, keys: Sequence[bytes]) -> None:
        """These keys were used in memory; their time of use is written with the next change."""
        ...

    async def close(self) -> None:
        """Release all resources; a later read or write opens it again."""
        ...
