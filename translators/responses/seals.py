"""What the reader needs of a seal: to open `encrypted_content`. `Sealer` in `frame.py` is what the writer needs.

The gateway implements both with `gateway.kept_turns.caller_seals:CallerSeal`.
"""

from collections.abc import Sequence
from typing import Protocol


class Opener(Protocol):
    """Opens texts that were sealed for the same caller and model."""

    def open(self, text: str, /) -> Sequence[bytes] | None:
        """The blocks in a text, unchanged; None for a text of another caller, model or provider, or an altered one."""
        ...

    @property
    def summaries(self) -> "Opener":
        """Opens texts that were sealed for the same caller and every model: summaries of conversations."""
        ...
