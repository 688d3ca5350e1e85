"""The members of JSON objects by name; duplicate names are refused, because parsers disagree about them."""

from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Raw

from translators.errors import TranslationError
from translators.reading import decode

T = TypeVar("T")


class _Name:
    """A member's name, compared by identity, so that msgspec keeps duplicates."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class _TooManyError(Exception):
    """There are more members than the limit."""


class Members(Generic[T]):
    """Reads objects with a limit on their members, over all objects of `kind` together; values are not decoded."""

    def __init__(self, kind: Any, most: int) -> None:
        self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(kind, dec_hook=self._name)
        self._most = most
        self._left = 0

    def read(self, data: bytes | Raw, path: str = "") -> T:
        """Decode `data`; raises `TranslationError`."""
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
# A request has two dozen members, a tool or a block a handful.
OBJECT: Final[Members[Named]] = Members(Named, 100)
OBJECTS: Final[Members[list[Named]]] = Members(list[Named], 20_000)


def each_once(members: Named, path: str = "") -> dict[str, Raw]:
    """The members by name; raises `TranslationError` for a duplicate name."""
    values: dict[str, Raw] = {}
    for name, value in members.items():
        if name.text in values:
            place = f"{path}.{name.text}" if path else name.text
            raise TranslationError(f"{place}: there are several members of this name.", param=place)
        values[name.text] = value
    return values
