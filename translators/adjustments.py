"""What the translation had to change, so that nothing is lost in silence."""

from collections.abc import Iterable
from typing import Final

from translators.errors import TranslationError

HEADER: Final = "x-gateway-adjusted"
MAX_HEADER_BYTES: Final = 2048
_LONGEST_NOTE: Final = 200
_SEPARATOR: Final = "; "


class Adjustments:
    """Collects `field=what:why` notes for the response header; in strict mode the first one refuses the request."""

    def __init__(self, *, reject: bool = False) -> None:
        self.rejects = reject
        self._notes: dict[str, str] = {}
        self._unknown = 0

    def branch(self) -> "Adjustments":
        """Notes of their own under the same rules, to be merged once they are complete."""
        return Adjustments(reject=self.rejects)

    def merge(self, branch: "Adjustments") -> None:
        """Take over the notes of a branch."""
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
        """Note what no caller has sent, so that strict mode does not mind."""
        self._notes[field] = _printable(f"{field}={change}:{reason}")

    def count_unknown(self, count: int) -> None:
        """Note so many more fields that nobody here knows.

        Their names stay out of the header, and strict mode does not mind.
        """
        self._unknown += count

    @property
    def header(self) -> str | None:
        """The value of `x-gateway-adjusted`, at most 2 KB; None when nothing was changed."""
        unknown = (f"unknown:{self._unknown}",) if self._unknown else ()
        return _header_of((*self._notes.values(), *unknown))


def _printable(note: str) -> str:
    """A note as a header can carry it, also where a caller's own word is in it."""
    if note.isascii() and note.isprintable() and len(note) <= _LONGEST_NOTE:
        return note
    return "".join(sign if " " <= sign <= "~" else "?" for sign in note[:_LONGEST_NOTE])


def united(headers: Iterable[str | None]) -> str | None:
    """One header for several requests that became one answer: each note once."""
    return _header_of(dict.fromkeys(note for header in headers if header for note in header.split(_SEPARATOR)))


def _header_of(notes: Iterable[str]) -> str | None:
    text = ""
    for note in notes:
        longer = f"{text}{_SEPARATOR}{note}" if text else note
        if len(longer) > MAX_HEADER_BYTES:
            break
        text = longer
    return text or None
