"""The fields of a request's log line, collected from everywhere that knows them."""

import logging
from typing import Final

from msgspec import Struct, field
from starlette.types import Scope

_KEY: Final = "dragoman.notes"


class Notes(Struct):
    """The additional fields of the log line, and its level.

    `words` hold the caller's own words or may quote them: they are logged on a separate line at level `debug`. `data`
    is only included in JSON logs. `error` is the kind of the error that the caller was told.
    """

    fields: dict[str, object] = field(default_factory=dict)
    words: dict[str, object] = field(default_factory=dict)
    data: dict[str, object] = field(default_factory=dict)
    level: int = logging.INFO
    error: str | None = None


def attach_notes(scope: Scope) -> Notes:
    """Create a request's notes, and store them in the scope."""
    notes = scope[_KEY] = Notes()
    return notes


def notes_of(scope: Scope) -> Notes:
    notes: Notes = scope[_KEY]
    return notes
