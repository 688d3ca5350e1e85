"""The one JSON value in an answer that was to be JSON: the words and the fence around it are cut."""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

# So many characters are held while no value has begun; what is longer goes out as it is.
MAX_HELD: Final = 64 * 1024

_BLANK: Final = r"[ \t\r\n]{0,32}+"
_KEY: Final = r'"(?:[^"\\\x00-\x1f]|\\.){0,64}+"'
# Brackets occur in words, too: "see [1]", "replace {name}". What begins with a key, a colon and a value is an object.
_OBJECT: Final = rf'(?:\[{_BLANK}){{0,4}}+\{{{_BLANK}{_KEY}{_BLANK}:{_BLANK}(?:["{{\[0-9-]|true|false|null)'
# An array has no such mark, so it counts at the beginning of the text or of a fence, and only with more than a number.
_ITEM: Final = rf"(?:-?[0-9][0-9.eE+-]{{0,32}}+|true|false|null){_BLANK},"
_NESTED: Final = rf'\[{_BLANK}[\]\["{{0-9-]|\{{{_BLANK}[}}"]'
_FENCE: Final = r"```[a-zA-Z]{0,20}+[ \t]{0,8}+\r?\n"
_BEGINNING: Final = re.compile(rf'({_OBJECT})|{_FENCE}{_BLANK}(\[{_BLANK}(?:"|{_ITEM}|{_NESTED}))', re.DOTALL)
# The longest text that the pattern fits; what has not become a beginning after so many characters will not.
_LONGEST_BEGINNING: Final = 400
_CANDIDATE: Final = re.compile(r"[`\[{]")
# The beginning of the text counts as the beginning of a fence.
_TEXT_BEGINS: Final = "```\n"

_SIGN: Final = re.compile(r'["\\{}\[\]]')
_BRACKET: Final = re.compile(r"[\[{]")
_FENCED: Final = re.compile(r"```[a-zA-Z]*[ \t]*\r?\n(.*?)```", re.DOTALL)
# So many brackets that are never closed are looked behind.
_MAX_UNCLOSED: Final = 8


class JsonValue:
    """Passes on the first JSON object or array of a text, from its first bracket to its last.

    Until one has begun the text is held; one without any goes out as it is. Where a value begins does not depend on
    how the text is cut.
    """

    def __init__(self) -> None:
        self._held: list[str] = []
        self._held_length = 0
        # The end of what is held, in which a value may have begun.
        self._tail = _TEXT_BEGINS
        self._nesting: _Nesting | None = None
        self._has_given_up = False

    def feed(self, text: str) -> str:
        """What of the value these characters bring."""
        if self._nesting is not None:
            return self._nesting.take(text)
        return text if self._has_given_up else self._seek(text)

    def end(self) -> str:
        """A value that was too short or too odd to be sure of; without one, everything that was held."""
        text = "".join(self._held)
        self._held.clear()
        return value_in(text)

    def _seek(self, text: str) -> str:
        """Hold the text until a value begins in it."""
        room = MAX_HELD - self._held_length
        searched = self._tail + text[:room]
        self._held.append(text)
        self._held_length += len(text)
        if (found := _BEGINNING.search(searched)) is not None:
            self._held.clear()
            self._nesting = _Nesting()
            return self._nesting.take(searched[found.start(found.lastindex or 0) :] + text[room:])
        if self._held_length > MAX_HELD:
            self._has_given_up = True
            held = "".join(self._held)
            self._held.clear()
            return held
        candidate = _CANDIDATE.search(searched, max(0, len(searched) - _LONGEST_BEGINNING))
        self._tail = searched[candidate.start() :] if candidate else ""
        return ""


class _Nesting:
    """Follows a value from its first bracket to the one that closes it."""

    __slots__ = ("_depth", "_is_in_string", "_skipped", "has_ended")

    def __init__(self) -> None:
        self.has_ended = False
        self._depth = 0
        self._is_in_string = False
        # Characters at the beginning of the next piece that a backslash has taken the meaning of.
        self._skipped = 0

    def take(self, text: str, start: int = 0) -> str:
        """What of a text, from `start` on, belongs to the value."""
        if self.has_ended:
            return ""
        skipped = start + self._skipped
        for found in _SIGN.finditer(text, start):
            sign, place = found[0], found.start()
            if place < skipped:
                continue
            if self._is_in_string:
                if sign == "\\":
                    skipped = place + 2
                self._is_in_string = sign != '"'
            elif sign == '"':
                self._is_in_string = True
            elif sign in "{[":
                self._depth += 1
            elif sign in "}]":
                self._depth -= 1
                if self._depth == 0:
                    self.has_ended = True
                    return text[start : found.end()]
        self._skipped = max(0, skipped - len(text))
        return text[start:]


def value_in(text: str) -> str:
    """The JSON value in a whole text: all of it, what a fence holds, or the longest among the words; else the text."""
    if _is_json(text):
        return text
    for fenced in _FENCED.finditer(text):
        if _is_json(fenced[1]):
            return fenced[1].strip()
    return max(filter(_is_json, _bracketed(text)), key=len, default=text)


def _bracketed(text: str) -> Iterator[str]:
    """What stands between brackets that belong together and is no figure of speech, as `[1]` and `{}` may be."""
    unclosed, place = 0, 0
    while unclosed < _MAX_UNCLOSED and (opening := _BRACKET.search(text, place)) is not None:
        nesting = _Nesting()
        taken = nesting.take(text, opening.start())
        if nesting.has_ended:
            if '"' in taken or text[place : opening.start()].rstrip().endswith(":"):
                yield taken
            place = opening.start() + len(taken)
        else:
            unclosed += 1
            place = opening.end()


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True
