"""Text that has to be changed on its way to the caller, piece by piece."""

import re
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from translators.answers.partial_json import JsonExtractor, ObjectNames, StringContent, decoded
from translators.answers.shape import INPUT_PROPERTY, VALUE_PROPERTY

_FENCE: Final = "```"
_OPENING: Final = re.compile(r"```[a-zA-Z]*[ \t]*\r?\n")
# What a closing fence consists of.
_CLOSING: Final = "` \t\r\n"
# An opening fence with its language is short: what has not become one by then is text, however it is cut.
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
    """Takes the Markdown fence off an answer that is one fenced block; any other text passes unchanged.

    Each character is looked at once, however many pieces are held back.
    """

    def __init__(self) -> None:
        # White space before the beginning; later what may be the closing fence.
        self._held: list[str] = []
        self._begun = ""
        self._has_decided = False
        self._is_fenced = False

    def feed(self, text: str) -> str:
        """Everything but what may still be a fence."""
        if not self._has_decided:
            return self._decide(text)
        return self._release(text) if self._is_fenced else text

    def end(self) -> str:
        """The rest, without the closing fence."""
        rest = "".join(self._held) + self._begun
        self._held, self._begun = [], ""
        fence = rest.rstrip() if self._is_fenced else ""
        return fence.removesuffix(_FENCE).rstrip() if fence.endswith(_FENCE) else rest

    def _decide(self, text: str) -> str:
        """Hold the beginning back until it is certain whether it is a fence."""
        begun = self._begun + text
        if not self._begun:
            begun = text.lstrip()
            self._held.append(text[: len(text) - len(begun)])
        opening = _OPENING.match(begun, 0, _LONGEST_OPENING + 1)
        if opening is None and _may_be_opening(begun):
            self._begun = begun
            return ""
        blanks, self._held, self._begun = self._held, [], ""
        self._has_decided = True
        self._is_fenced = opening is not None
        return self._release(begun[opening.end() :]) if opening else "".join(blanks) + begun

    def _release(self, text: str) -> str:
        """Up to where no closing fence can have begun: white space and backticks at the end wait."""
        certain = text.rstrip(_CLOSING)
        released = "".join(self._held) + certain if certain else ""
        if certain:
            self._held.clear()
        if len(certain) < len(text):
            self._held.append(text[len(certain) :])
        return released


def _may_be_opening(begun: str) -> bool:
    if "\n" in begun or len(begun) > _LONGEST_OPENING:
        return False
    return _FENCE.startswith(begun[:3]) if len(begun) < 3 else begun.startswith(_FENCE)


class Unchanged:
    """Passes everything on."""

    def feed(self, text: str) -> str:
        """The same text."""
        return text

    def end(self) -> str:
        """Nothing is held back."""
        return ""


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


class RestoredNames:
    """Arguments whose outermost names are replaced; `names` has the new ones by those that come."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        self._reader = ObjectNames()

    def feed(self, text: str) -> str:
        """All but a name that has not ended yet."""
        return "".join(self._restored(piece.text) if piece.is_name else piece.text for piece in self._reader.feed(text))

    def end(self) -> str:
        """The beginning of a name whose end never came."""
        return self._reader.end()

    def _restored(self, raw: str) -> str:
        name = self._names.get(decoded(raw))
        return raw if name is None else msgspec.json.encode(name).decode()


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
