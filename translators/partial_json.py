"""Values out of a JSON object that is still arriving: the raw text of the wanted ones, piece by piece."""

from collections.abc import Collection
from typing import Final, NamedTuple, TypeAlias

import msgspec

Path: TypeAlias = tuple[str, ...]

_BLANK: Final = " \t\r\n"
_ESCAPE_LENGTH: Final = 6  # \uXXXX


class Piece(NamedTuple):
    """Some text of the value at `path`, as JSON; `is_last` when the value ends with it."""

    path: Path
    text: str
    is_last: bool


class JsonExtractor:
    """Follows one JSON text through its objects and gives what belongs to the wanted paths.

    Arrays are looked through, not into: what stands inside one has the path of the array. Broken JSON is passed on as
    far as it makes sense: whoever assembles the pieces finds out.
    """

    def __init__(self, wanted: Collection[Path]) -> None:
        self._wanted = frozenset(wanted)
        self._keys: list[str] = []
        self._open: list[str] = []
        self._string: list[str] | None = None
        self._is_escaped = False
        self._expects_key = False
        self._value_depth: int | None = None
        self._value_path: Path = ()
        self._piece: list[str] = []
        self._is_scalar = False

    def feed(self, text: str) -> list[Piece]:
        """What these characters add to the wanted values."""
        pieces: list[Piece] = []
        for character in text:
            self._take(character, pieces)
        if self._value_depth is not None and self._piece:
            pieces.append(Piece(self._value_path, "".join(self._piece), False))
            self._piece.clear()
        return pieces

    def _take(self, character: str, pieces: list[Piece]) -> None:
        if self._string is not None:
            self._in_string(character, pieces)
        elif character in _BLANK:
            self._keep(character)
        elif character == '"':
            self._begin_value(character)
            self._string = [character]
        elif character in "{[":
            self._begin_value(character)
            self._open.append(character)
            self._expects_key = character == "{"
        elif character in "}]":
            self._close(character, pieces)
        elif character == ",":
            self._end_scalar(pieces)
            if self._open and self._open[-1] == "{":
                self._end_member()
            self._keep(character)
        elif character == ":":
            self._keep(character)
        else:
            self._begin_value(character)
            self._is_scalar = True

    def _in_string(self, character: str, pieces: list[Piece]) -> None:
        assert self._string is not None
        self._string.append(character)
        self._keep(character)
        if self._is_escaped:
            self._is_escaped = False
        elif character == "\\":
            self._is_escaped = True
        elif character == '"':
            text = "".join(self._string)
            self._string = None
            if self._expects_key:
                self._keys.append(_decoded(text))
                self._expects_key = False
            elif self._value_depth == len(self._open):
                self._finish(pieces)

    def _begin_value(self, character: str) -> None:
        """A value begins, or a key; a wanted value is kept from its first character on."""
        is_key = self._expects_key and character == '"'
        if not is_key and self._value_depth is None and not self._is_scalar and tuple(self._keys) in self._wanted:
            self._value_depth = len(self._open)
            self._value_path = tuple(self._keys)
        self._keep(character)

    def _close(self, character: str, pieces: list[Piece]) -> None:
        self._end_scalar(pieces)
        if not self._open:
            return
        closed = self._open.pop()
        if closed == "{" and len(self._keys) > self._depth_of_objects():
            self._end_member()
        self._expects_key = False
        self._keep(character)
        if self._value_depth is not None and self._value_depth == len(self._open):
            self._finish(pieces)

    def _end_scalar(self, pieces: list[Piece]) -> None:
        if self._is_scalar:
            self._is_scalar = False
            if self._value_depth == len(self._open):
                self._finish(pieces)

    def _end_member(self) -> None:
        if self._keys:
            self._keys.pop()
        self._expects_key = True

    def _depth_of_objects(self) -> int:
        return self._open.count("{")

    def _finish(self, pieces: list[Piece]) -> None:
        pieces.append(Piece(self._value_path, "".join(self._piece), True))
        self._piece.clear()
        self._value_depth = None

    def _keep(self, character: str) -> None:
        if self._value_depth is not None:
            self._piece.append(character)


class StringContent:
    """The text inside a JSON string whose raw form comes in pieces; half an escape waits for its other half."""

    def __init__(self) -> None:
        self._held = ""
        self._has_begun = False

    def feed(self, raw: str) -> str:
        """The characters that are complete."""
        text = self._held + raw
        if not self._has_begun:
            self._has_begun = text.startswith('"')
            text = text.removeprefix('"')
        end = _complete_length(text)
        self._held = text[end:]
        return _decoded(f'"{text[:end]}"') if end else ""


def _complete_length(text: str) -> int:
    """How much of a string's inside can be decoded: up to its closing quote, or to an escape that is not whole."""
    place = 0
    while place < len(text):
        if text[place] == '"':
            return place
        if text[place] != "\\":
            place += 1
            continue
        length = _ESCAPE_LENGTH if text[place + 1 : place + 2] == "u" else 2
        # The two halves of a character beyond the basic plane belong together.
        if text[place + 1 : place + 4].lower() in ("ud8", "ud9", "uda", "udb"):
            length = 2 * _ESCAPE_LENGTH
        if place + length > len(text):
            return place
        place += length
    return place


def _decoded(text: str) -> str:
    try:
        return msgspec.json.decode(text, type=str)
    except msgspec.DecodeError:
        return text[1:-1]
