"""Stop sequences that Messages does not take, those of white space only: the gateway looks for them itself."""

from collections.abc import Iterable
from typing import Final

from translators.answers.filters import TextFilter

# api.openai.com takes four stop sequences in all.
MAX_BLANK_STOPS: Final = 16
MAX_BLANK_LENGTH: Final = 256


def blank_stops(stops: Iterable[str]) -> tuple[str, ...]:
    """Those of white space only that can be looked for, each once; an empty one stops nothing."""
    blank = dict.fromkeys(stop for stop in stops if stop and len(stop) <= MAX_BLANK_LENGTH and not stop.strip())
    return tuple(blank)[:MAX_BLANK_STOPS]


class StopCutter:
    """Passes text on up to the first stop sequence that is complete; `has_stopped` says that there was one.

    Where it cuts does not depend on how the text comes in pieces. `then` filters what is left.
    """

    def __init__(self, stops: tuple[str, ...], then: TextFilter | None = None) -> None:
        self.has_stopped = False
        self._stops = stops
        self._then = then
        # The end of the text where a stop sequence may have begun.
        self._held = ""

    def feed(self, text: str) -> str:
        """What of the text comes before a stop sequence for certain."""
        if self.has_stopped:
            return ""
        text = self._held + text
        places = [(place + len(stop), place) for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            self.has_stopped = True
            end = min(places)[1]
        else:
            end = len(text) - self._beginning_at_end(text)
        self._held = "" if self.has_stopped else text[end:]
        return self._filtered(text[:end])

    def end(self) -> str:
        """What was held back until the end."""
        held, self._held = self._held, ""
        return self._filtered(held) + (self._then.end() if self._then is not None else "")

    def _filtered(self, text: str) -> str:
        return self._then.feed(text) if self._then is not None and text else text

    def _beginning_at_end(self, text: str) -> int:
        """How many characters at the end may be the beginning of a stop sequence."""
        if not text[-1:].isspace():
            return 0
        return max(
            (size for stop in self._stops for size in range(1, len(stop)) if text.endswith(stop[:size])), default=0
        )
