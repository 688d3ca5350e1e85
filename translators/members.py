"""The members of JSON objects with duplicate names kept, since readers may differ in which one they use."""

import re
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Raw

from translators.errors import TranslationError
from translators.reading import decode

T = TypeVar("T")

# Of a whole body.
MAX_MEMBERS: Final = 1_000
# The text before a member's value. Possessive, since a pattern with backtracking stores each step.
_NAME: Final = re.compile(rb'[\s{,]*+"[^"\\]*+(?:\\.[^"\\]*+)*+"\s*+:\s*+', re.DOTALL)


class Name(str):
    """A member's name; no two are equal, so that a dictionary keeps duplicates."""

    __slots__ = ()
    __hash__ = object.__hash__
    __eq__ = object.__eq__


class _TooManyError(Exception):
    """There are more members than allowed."""


class MemberReader(Generic[T]):
    """Reads objects of type `kind` with at most `most` members in total; their values are not parsed."""

    def __init__(self, kind: Any, most: int) -> None:
        self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(kind, dec_hook=self._name)
        self._most = most
        self._left = 0

    def read(self, data: bytes | Raw, path: str = "") -> T:
        """The value; raises `TranslationError`."""
        self._left = self._most
        try:
            return decode(self._decoder, data, path)
        except _TooManyError:
            message = f"{path or 'The body'} has too many fields: expected at most {self._most}."
            raise TranslationError(message, param=path or None) from None

    def _name(self, _kind: type[object], text: str) -> Name:
        self._left -= 1
        if self._left < 0:
            raise _TooManyError
        return Name(text)


Named = dict[Name, Raw]
# A request has about two dozen members; tools and blocks have fewer.
OBJECT: Final[MemberReader[Named]] = MemberReader(Named, 100)
OBJECTS: Final[MemberReader[list[Named]]] = MemberReader(list[Named], 20_000)
_BODY: Final[MemberReader[Named]] = MemberReader(Named, MAX_MEMBERS)


def each_once(members: Named, path: str = "") -> dict[str, Raw]:
    """The members by name; raises `TranslationError` for a duplicate name."""
    values: dict[str, Raw] = {}
    for name, value in members.items():
        text = str(name)
        if text in values:
            place = f"{path}.{text}" if path else text
            raise TranslationError(f"{place}: there are several members of this name.", param=place)
        values[text] = value
    return values


class Members:
    """The members of the outer object, in order: names (decoded) and values (unchanged); names may repeat."""

    __slots__ = ("_body", "_found")

    def __init__(self, body: bytes) -> None:
        """Read the members; `TranslationError` if this is not JSON, not an object, or has more than `MAX_MEMBERS`."""
        self._body = body
        self._found = _BODY.read(body)

    @property
    def names(self) -> list[str]:
        """Every name, in order, as plain strings that compare as usual."""
        return list(map(str, self._found))

    @property
    def values(self) -> dict[str, Raw]:
        """The value of each name; of duplicates the last one, as JSON parsers have it."""
        return dict(zip(self.names, self._found.values(), strict=True))

    def span(self, wanted: str) -> tuple[int, int]:
        """The start and end of the value of the first member with that name."""
        at = 0
        for name, value in self._found.items():
            before = _NAME.match(self._body, at)
            assert before is not None, "the decoder has read a name here"
            at = before.end() + len(value)
            if str.__eq__(name, wanted):
                return before.end(), at
        raise KeyError(wanted)
