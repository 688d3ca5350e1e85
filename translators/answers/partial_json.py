"""Extracts values from a JSON object that is still arriving: the raw text of the wanted values, piece by piece."""

import re
from collections.abc import Collection
from typing import Final, NamedTuple, TypeAlias

import msgspec

Path: TypeAlias = tuple[str, ...]

_BLANK: Final = " \t\r\n"
# What can be consumed at once: the inside of a string with complete escapes, or any other run between strings and
# punctuation. Possessive, since a pattern with backtracking stores each step.
_INSIDE: Final = re.compile(r'(?:[^"\\]++|\\.)*+', re.DOTALL)
_RUN: Final = re.compile(r'[ \t\r\n]++|[^ \t\r\n"{}\[\],:]++|.', re.DOTALL)
# The part of a string's inside that can be decoded: the two halves of a surrogate pair must not be separated.
_COMPLETE: Final = re.compile(r'(?:[^"\\]++|\\[^u]|\\u[dD][89abAB].{8}|\\u(?![dD][89abAB]).{4})*+', re.DOTALL)


class Piece(NamedTuple):
    """Some text of the value at `path`, as JSON; `is_last` if it ends the value."""

    path: Path
    text: str
    is_last: bool


class JsonExtractor:
    """Follows one JSON text through its objects and returns the text of the values at the wanted paths.

    Everything inside an array has the path of the array. Invalid JSON is passed on as far as possible: its consumer
    will report it.
    """

    def __init__(self, wanted: Collection[Path]) -> None:
        self._wanted = frozenset(wanted)
        self._longest = max(map(len, self._wanted), default=0)
        self._keys: list[str] = []
        self._open: list[str] = []
        self._objects = 0
        self._is_in_string = False
        # The pieces of a string that is a key.
        self._key: list[str] = []
        self._is_escaped = False
        self._expects_key = False
        self._value_depth: int | None = None
        self._value_path: Path = ()
        self._piece: list[str] = []
        self._is_scalar = False

    def feed(self, text: str) -> list[Piece]:
        """The pieces of wanted values in this text."""
        pieces: list[Piece] = []
        at = 0
        while at < len(text):
            if self._is_in_string:
                at = self._in_string(text, at, pieces)
            else:
                run = _RUN.match(text, at)
                assert run is not None, "it takes any character"
                self._take(run[0], pieces)
                at = run.end()
        if self._value_depth is not None and self._piece:
            pieces.append(Piece(self._value_path, "".join(self._piece), False))
            self._piece.clear()
        return pieces

    def _take(self, run: str, pieces: list[Piece]) -> None:
        """Process a punctuation character, or a run of other characters."""
        if run[0] in _BLANK:
            self._keep(run)
        elif run == '"':
            self._begin_value(run)
            self._is_in_string = True
            self._key = [run]
        elif run in "{[":
            self._begin_value(run)
            self._open.append(run)
            self._objects += run == "{"
            self._expects_key = run == "{"
        elif run in "}]":
            self._close(run, pieces)
        elif run == ",":
            self._end_scalar(pieces)
            if self._open and self._open[-1] == "{":
                self._end_member()
            self._keep(run)
        elif run == ":":
            self._keep(run)
        else:
            self._begin_value(run)
            self._is_scalar = True

    def _in_string(self, text: str, at: int, pieces: list[Piece]) -> int:
        """Continue a string at `at`; returns where it ends."""
        # An escape that was open at the end of the last piece takes one arbitrary character.
        inside = _INSIDE.match(text, at + self._is_escaped)
        end = inside.end() if inside else len(text)
        is_closed = text[end : end + 1] == '"'
        self._is_escaped = text[end : end + 1] == "\\"
        run = text[at : end + 1]
        self._keep(run)
        if self._expects_key:
            self._key.append(run)
        if is_closed:
            self._is_in_string = False
            if self._expects_key:
                self._keys.append(decoded("".join(self._key)))
                self._expects_key = False
            elif self._value_depth == len(self._open):
                self._finish(pieces)
        return end + 1

    def _begin_value(self, run: str) -> None:
        """A value or a key begins; the text of a wanted value is kept from its first character."""
        is_key = self._expects_key and run == '"'
        if not is_key and self._value_depth is None and not self._is_scalar and self._is_wanted():
            self._value_depth = len(self._open)
            self._value_path = tuple(self._keys)
        self._keep(run)

    def _is_wanted(self) -> bool:
        return len(self._keys) <= self._longest and tuple(self._keys) in self._wanted

    def _close(self, bracket: str, pieces: list[Piece]) -> None:
        self._end_scalar(pieces)
        if not self._open:
            return
        is_object = self._open.pop() == "{"
        self._objects -= is_object
        if is_object and len(self._keys) > self._objects:
            self._end_member()
        self._expects_key = False
        self._keep(bracket)
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

    def _finish(self, pieces: list[Piece]) -> None:
        pieces.append(Piece(self._value_path, "".join(self._piece), True))
        self._piece.clear()
        self._value_depth = None

    def _keep(self, run: str) -> None:
        if self._value_depth is not None:
            self._piece.append(run)


class StringContent:
    """Decodes the inside of a JSON string that arrives in pieces; incomplete escapes wait for their rest."""

    def __init__(self) -> None:
        self._held = ""
        self._has_begun = False
        self._has_ended = False

    def feed(self, raw: str) -> str:
        """The characters that are complete."""
        if self._has_ended:
            return ""
        text = self._held + raw
        if not self._has_begun:
            self._has_begun = text.startswith('"')
            text = text.removeprefix('"')
        complete = _COMPLETE.match(text)
        end = complete.end() if complete else 0
        self._has_ended = text[end : end + 1] == '"'
        self._held = text[end:]
        return decoded(f'"{text[:end]}"') if end else ""


class NamePiece(NamedTuple):
    """Some of an object's text: one of its top-level names, as JSON, or other text."""

    text: str
    is_name: bool


class ObjectNames:
    """Separates the top-level names of a JSON object that is still arriving from the rest of its text.

    A name is returned when it is complete; each character is processed once.
    """

    def __init__(self) -> None:
        self._depth = 0
        self._is_object = False
        self._is_in_string = False
        self._is_escaped = False
        self._expects_name = False
        # The pieces of a name.
        self._name: list[str] = []

    def feed(self, text: str) -> list[NamePiece]:
        """The pieces that this text completes."""
        pieces: list[NamePiece] = []
        at = begin = 0
        while at < len(text):
            if not self._is_in_string:
                if text[at] == '"' and self._expects_name:
                    pieces.append(NamePiece(text[begin:at], False))
                    begin = at
                at = self._take(text, at)
                continue
            inside = _INSIDE.match(text, at + self._is_escaped)
            end = inside.end() if inside else len(text)
            self._is_escaped = text[end : end + 1] == "\\"
            at = min(end + 1, len(text))
            if text[end : end + 1] == '"':
                self._is_in_string = False
                if self._expects_name:
                    self._expects_name = False
                    pieces.append(NamePiece("".join((*self._name, text[begin:at])), True))
                    self._name.clear()
                    begin = at
        if self._is_in_string and self._expects_name:
            self._name.append(text[begin:])
        else:
            pieces.append(NamePiece(text[begin:], False))
        return pieces

    def end(self) -> str:
        """The text of a name that never ended."""
        rest = "".join(self._name)
        self._name.clear()
        return rest

    def _take(self, text: str, at: int) -> int:
        """Process text outside strings at `at`; returns where it ends."""
        run = _RUN.match(text, at)
        assert run is not None, "it takes any character"
        sign = run[0]
        if sign == '"':
            self._is_in_string = True
        elif sign in "{[":
            self._depth += 1
            if self._depth == 1:
                self._is_object = self._expects_name = sign == "{"
        elif sign in "}]":
            self._depth -= 1
        elif sign == ",":
            self._expects_name = self._is_object and self._depth == 1
        return run.end()


def decoded(text: str) -> str:
    """The text of a JSON string; if it is invalid, the text between its quotes."""
    try:
        return msgspec.json.decode(text, type=str)
    except msgspec.DecodeError:
        return text[1:-1]
