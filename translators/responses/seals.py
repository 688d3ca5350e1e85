"""What carries blocks of upstream's making through a caller's hands."""

from collections.abc import Sequence
from typing import Protocol


class Sealer(Protocol):
    """Seals blocks for one caller and one model."""

    def seal(self, blocks: Sequence[bytes], /) -> str:
        """The blocks as a text that tells its holder nothing."""
        ...

    def open(self, text: str, /) -> Sequence[bytes] | None:
        """The blocks of a text, verbatim; None where it is foreign, altered or unreadable."""
        ...
