"""The members of JSON objects, each with its name: two of one name could be read in two ways, and decide nothing."""

from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Raw

from translators.errors import TranslationError
from translators.reading import decode

T = TypeVar("T")


class _Name:
    """A member's name; no two are the same key, so that none is lost."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class _TooManyError(Exception):
    """There are more members than anybody has a use for."""


class Members(Generic[T]):
    """Reads what has so many members at most, all objects of `kind` together; their values are left alone."""

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
            raise TranslationError(f"{path or 'The body'} has too many members.", param=path or None) from None

    def _name(self, _kind: type[object], text: str) -> _Name:
        self._left -= 1
        if self._left < 0:
            raise _TooManyError
        return _Name(text)


Named = dict[_Name, Raw]
# A request has two dozen members, a tool a handful, a block no more.
OBJECT: Final[Members[Named]] = Members(Named, 100)
OBJECTS: Final[Members[list[Named]]] = Members(list[Named], 20_000)


def each_once(members: Named, path: str = "") -> dict[str, Raw]:
    """The members by name; raises `TranslationError` where two have the same."""
    values: dict[str, Raw] = {}
    for name, value in members.items():
        if name.text in values:
            place = f"{path}.{name.text}" if path else name.text
            raise TranslationError(f"{place}: there are several members of this name.", param=place)
        values[name.text] = value
    return values
