"""How blocks of upstream's making come back out of a caller's hands; `frame.py` has the other side."""

from collections.abc import Sequence
from typing import Protocol


class Opener(Protocol):
    """Opens what was sealed for the same caller and model."""

    def open(self, text: str, /) -> Sequence[bytes] | None:
        """The blocks of a text, verbatim; None where it is foreign, altered or unreadable."""
        ...

    @property
    def summaries(self) -> "Opener":
        """Opens what every model may read."""
        ...
