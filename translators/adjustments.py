"""Records what the translation had to change, so that no change goes unreported."""

import re
from collections.abc import Iterable
from typing import Final

from translators.errors import TranslationError

HEADER: Final = "x-gateway-adjusted"
MAX_HEADER_BYTES: Final = 2048
_LONGEST_NOTE: Final = 200
_SEPARATOR: Final = "; "
# The names of Anthropic's betas end in a date.
_BETA: Final = "anthropic-beta."
_DATED: Final = re.compile(r"anthropic-beta\.[a-z0-9-]{1,60}-20\d\d-\d\d-\d\d=")


class Adjustments:
    """Collects `field=what:why` notes for the response header; in strict mode the first note rejects the request."""

    def __init__(self, *, reject: bool = False) -> None:
        self.rejects = reject
        self._notes: dict[str, str] = {}
        self._unknown = 0

    def branch(self) -> "Adjustments":
        """A separate collection with the same rules, to be merged when it is complete."""
        return Adjustments(reject=self.rejects)

    def merge(self, branch: "Adjustments") -> None:
        self._notes |= branch._notes
        self._unknown += branch._unknown

    def add(self, field: str, change: str, reason: str) -> None:
        """Note that `field` was changed (`dropped`, `clamped`, `required->auto`) and why (`model`, ...)."""
        if self.rejects:
            raise TranslationError(
                f"'{field}' cannot be honoured as it was sent ({change}, because of: {reason}), "
                "and adjusting it was not allowed (on_unsupported: reject).",
                param=field,
                code="unsupported_parameter",
            )
        self.note(field, change, reason)

    def note(self, field: str, change: str, reason: str) -> None:
        """Note a change of something that no caller has sent; strict mode allows it."""
        self._notes[field] = _printable(f"{field}={change}:{reason}")

    def count_unknown(self, count: int) -> None:
        """Count unknown fields.

        Their names are not listed in the header, and strict mode allows them.
        """
        self._unknown += count

    @property
    def header(self) -> str | None:
        """The value of `x-gateway-adjusted`, at most 2 KB; None if nothing was changed."""
        unknown = (f"unknown:{self._unknown}",) if self._unknown else ()
        return _header_of((*self._notes.values(), *unknown))


def _printable(note: str) -> str:
    """A note as a header can carry it, even if it contains the caller's words."""
    if note.isascii() and note.isprintable() and len(note) <= _LONGEST_NOTE:
        return note
    return "".join(sign if " " <= sign <= "~" else "?" for sign in note[:_LONGEST_NOTE])


def without_words(header: str | None) -> str | None:
    """The header for logs, without what a caller has made up: from the first beta on that has not the form of one."""
    if header is None or _BETA not in header:
        return header
    place = header.find(_BETA)
    while place >= 0:
        if (found := _DATED.match(header, place)) is None:
            # It may hold anything, separators included.
            return f"{header[:place]}{_BETA}?"
        place = header.find(_BETA, found.end())
    return header


def united(headers: Iterable[str | None]) -> str | None:
    """One header for several requests that produced one answer; duplicates are removed."""
    return _header_of(dict.fromkeys(note for header in headers if header for note in header.split(_SEPARATOR)))


def _header_of(notes: Iterable[str]) -> str | None:
    text = ""
    for note in notes:
        longer = f"{text}{_SEPARATOR}{note}" if text else note
        if len(longer) > MAX_HEADER_BYTES:
            break
        text = longer
    return text or None
