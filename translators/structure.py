"""What a body of JSON is made of, told without building it: how many values it has, and the outer object's members."""

import re
from collections.abc import Generator
from typing import Any, Final

import msgspec
from msgspec import Raw

from translators.errors import TranslationError
from translators.limits import MAX_VALUES, too_many_values
from translators.reading import decode
from translators.weight import values_in_steps

MAX_MEMBERS: Final = 1_000
# Of upstream's answers, whose texts are not told apart from what stands around them.
MAX_SEPARATORS: Final = 2_000_000

# One of these stands before each value and each name.
_SEPARATORS: Final = b",:[{"
_ALL_ELSE: Final = bytes(sorted(set(range(256)) - set(_SEPARATORS)))
# Above this members are counted while they are read. Below it there cannot be enough of them to matter.
_LARGE_BYTES: Final = 64 * 1024

# What stands before a member's value. Possessive, since a pattern that may go back remembers each step.
_NAME: Final = re.compile(rb'[\s{,]*+"[^"\\]*+(?:\\.[^"\\]*+)*+"\s*+:\s*+', re.DOTALL)


class _Name(str):
    """A member's name; no two are equal, so that a dictionary keeps each of several members with one name."""

    __slots__ = ()
    __hash__ = object.__hash__
    __eq__ = object.__eq__


def _as_name(_type: type, name: Any) -> _Name:
    return _Name(name)


_DECODER: Final = msgspec.json.Decoder(dict[_Name, Raw], dec_hook=_as_name)


class Members:
    """The outer object's members, in order: names (decoded) and values (as they stand); names may repeat."""

    __slots__ = ("_body", "_found")

    def __init__(self, body: bytes) -> None:
        """Read the members; `TranslationError` for what is no object, no JSON, or has more than `MAX_MEMBERS`."""
        self._body = body
        self._found = decode(_DECODER if len(body) <= _LARGE_BYTES else _counting_decoder(), body)
        if len(self._found) > MAX_MEMBERS:
            raise _too_many_members()

    @property
    def names(self) -> list[str]:
        """Every name, in order; what is asked about them is asked of plain strings."""
        return list(map(str, self._found))

    @property
    def values(self) -> dict[str, Raw]:
        """The value of each name; of several members with one name the last counts, as it does everywhere."""
        return dict(zip(self.names, self._found.values(), strict=True))

    def span(self, wanted: str) -> tuple[int, int]:
        """Where the value of the first member of that name stands in the body."""
        at = 0
        for name, value in self._found.items():
            before = _NAME.match(self._body, at)
            assert before is not None, "the decoder has read a name here"
            at = before.end() + len(value)
            if str.__eq__(name, wanted):
                return before.end(), at
        raise KeyError(wanted)


def separators(data: bytes) -> int:
    """At least how many values some JSON has, with what looks like it in its texts."""
    return len(data.translate(None, _ALL_ELSE))


def check_values(body: bytes) -> Generator[None, None, None]:
    """See to it, in steps, that a body does not have more than `MAX_VALUES` values."""
    if (yield from values_in_steps(body, MAX_VALUES)) > MAX_VALUES:
        raise too_many_values(None, MAX_VALUES)


def _counting_decoder() -> "msgspec.json.Decoder[dict[_Name, Raw]]":
    count = 0

    def counted(_type: type, name: Any) -> _Name:
        nonlocal count
        count += 1
        if count > MAX_MEMBERS:
            raise _too_many_members()
        return _Name(name)

    return msgspec.json.Decoder(dict[_Name, Raw], dec_hook=counted)


def _too_many_members() -> TranslationError:
    return TranslationError(f"The body has too many fields: expected at most {MAX_MEMBERS}.")
