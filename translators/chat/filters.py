"""Text that has to be changed on its way to the caller, piece by piece."""

import re
from typing import Final, Protocol

from translators.chat.shape import INPUT_PROPERTY, VALUE_PROPERTY
from translators.partial_json import JsonExtractor, StringContent

_FENCE: Final = "```"
_OPENING: Final = re.compile(r"\s*```[a-zA-Z]*[ \t]*\r?\n")
_CLOSING: Final = re.compile(r"\s*```\s*\Z")
# An opening fence with its language is short: what has not become one by then is text.
_LONGEST_OPENING: Final = 32


class TextFilter(Protocol):
    """Takes text as it comes and gives what of it can go on."""

    def feed(self, text: str) -> str:
        """What these characters make certain."""
        ...

    def end(self) -> str:
        """What was held back until the end."""
        ...


class FenceStripper:
    """Takes the Markdown fence off an answer that is one fenced block; any other text passes unchanged."""

    def __init__(self) -> None:
        self._held = ""
        self._has_decided = False
        self._is_fenced = False

    def feed(self, text: str) -> str:
        """Everything but what may still be a fence."""
        self._held += text
        if not self._has_decided:
            opening = _OPENING.match(self._held)
            if opening is None and self._may_be_opening():
                return ""
            self._has_decided = True
            self._is_fenced = opening is not None
            self._held = self._held[opening.end() :] if opening else self._held
        return self._release(self._safe_length() if self._is_fenced else len(self._held))

    def end(self) -> str:
        """The rest, without the closing fence."""
        if self._is_fenced:
            self._held = _CLOSING.sub("", self._held)
        return self._release(len(self._held))

    def _may_be_opening(self) -> bool:
        begun = self._held.lstrip()
        if "\n" in begun or len(begun) > _LONGEST_OPENING:
            return False
        return _FENCE.startswith(begun[:3]) if len(begun) < 3 else begun.startswith(_FENCE)

    def _safe_length(self) -> int:
        """Up to where no closing fence can have begun: white space and backticks at the end wait."""
        return len(self._held.rstrip("` \t\r\n"))

    def _release(self, length: int) -> str:
        released, self._held = self._held[:length], self._held[length:]
        return released


class WrappedArguments:
    """The arguments inside `{"value": ...}`."""

    def __init__(self) -> None:
        self._extractor = JsonExtractor({(VALUE_PROPERTY,)})

    def feed(self, text: str) -> str:
        """The raw JSON of the value."""
        return "".join(piece.text for piece in self._extractor.feed(text))

    def end(self) -> str:
        """Nothing is held back."""
        return ""


class CustomInput:
    """The free text inside `{"input": "..."}`; anything else than a text in that place is passed on as its JSON."""

    def __init__(self) -> None:
        self._extractor = JsonExtractor({(INPUT_PROPERTY,)})
        self._content: StringContent | None = None
        self._has_begun = False

    def feed(self, text: str) -> str:
        """The text that is complete."""
        return "".join(self._read(piece.text) for piece in self._extractor.feed(text))

    def end(self) -> str:
        """Nothing is held back that could still become text."""
        return ""

    def _read(self, raw: str) -> str:
        if not self._has_begun and raw:
            self._has_begun = True
            self._content = StringContent() if raw.startswith('"') else None
        return self._content.feed(raw) if self._content is not None else raw
