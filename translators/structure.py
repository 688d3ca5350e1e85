"""What a body of JSON is made of, told without building it: how many values it has, and the outer object's members."""

import re
from collections.abc import Generator
from typing import Any, Final

import msgspec
from msgspec import Raw

from translators.errors import TranslationError
from translators.reading import decode

# Far more than fit into any model's context, and few enough to be decoded within some 20 ms.
MAX_VALUES: Final = 500_000
MAX_MEMBERS: Final = 1_000
# The same for upstream's answers, whose texts are not told apart from what stands around them.
MAX_SEPARATORS: Final = 2_000_000

# One of these stands before each value and each name.
_SEPARATORS: Final = b",:[{"
_ALL_ELSE: Final = bytes(sorted(set(range(256)) - set(_SEPARATORS)))
_PIECE_BYTES: Final = 256 * 1024
# Above this members are counted while they are read. Below it there cannot be enough of them to matter.
_LARGE_BYTES: Final = 64 * 1024

# Escapes in a row with a little text between, as many as take a tenth of a millisecond.
_ESCAPES: Final = re.compile(rb'(?:\\.[^"\\]{0,64}+){1,1024}+', re.DOTALL)
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
    """See to it, in steps, that a body does not have more than `MAX_VALUES` values; linear, and without memory."""
    # Most bodies do not even have so many separators with those in their texts, and these are quickly counted.
    count = 0
    for begin in range(0, len(body), _PIECE_BYTES):
        count += separators(body[begin : begin + _PIECE_BYTES])
        yield
    if count > MAX_VALUES:
        yield from _check_outside_of_strings(body)


def _check_outside_of_strings(body: bytes) -> Generator[None, None, None]:
    count = at = 0
    while at < len(body):
        quote = body.find(b'"', at, at + _PIECE_BYTES)
        end = quote if quote >= 0 else at + _PIECE_BYTES
        count += separators(body[at:end])
        if count > MAX_VALUES:
            raise TranslationError(f"The body has too many values: expected at most {MAX_VALUES}.")
        at = end if quote < 0 else (yield from _end_of_string(body, quote + 1))
        yield


def _end_of_string(body: bytes, at: int) -> Generator[None, None, int]:
    """Where a string has ended whose inside begins there.

    Text without escapes is searched, which is much quicker than to match it, and each byte is searched only once.
    """
    quote = -1
    while at < len(body):
        if quote < at:
            quote = body.find(b'"', at, at + _PIECE_BYTES)
        end = quote if quote >= 0 else at + _PIECE_BYTES
        escape = body.find(b"\\", at, end)
        if escape >= 0:
            found = _ESCAPES.match(body, escape)
            # A backslash that nothing follows ends a body that is cut off.
            at = found.end() if found is not None else len(body)
        elif quote >= 0:
            return quote + 1
        else:
            at = end
        yield
    return at


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
