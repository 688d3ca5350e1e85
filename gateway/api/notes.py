"""What a request's line in the log says, put together by whoever knows it."""

import logging
from typing import Final

from msgspec import Struct, field
from starlette.types import Scope

_KEY: Final = "dragoman.notes"


class Notes(Struct):
    """What the line says beside what all lines say, and how important it is.

    `words` are the caller's own, or may quote them: they stand in a line of their own, at the level `debug`. `data` is
    what only programs want, who read the log as JSON.
    """

    fields: dict[str, object] = field(default_factory=dict)
    words: dict[str, object] = field(default_factory=dict)
    data: dict[str, object] = field(default_factory=dict)
    level: int = logging.INFO


def attach_notes(scope: Scope) -> Notes:
    """Begin a request's notes, where everybody finds them."""
    notes = scope[_KEY] = Notes()
    return notes


def notes_of(scope: Scope) -> Notes:
    """A request's notes."""
    notes: Notes = scope[_KEY]
    return notes
