"""Counts the values in a piece of JSON without parsing it: the cost of parsing is proportional to this number."""

import math
from collections.abc import Generator, Iterator
from itertools import accumulate
from typing import Final

from msgspec import Raw

from translators.steps import in_one_go

# Processed in pieces: each takes up to 1 ms, and its copies take little memory.
_PIECE_BYTES: Final = 64 * 1024
# Counting a byte is quicker.
_QUICK_BYTES: Final = 256 * 1024
_VALUES: Final = (b",", b"{", b"[")
_NO_VALUES: Final = bytes(set(range(256)) - set(b",{["))
_NO_STRUCTURE: Final = bytes(set(range(256)) - set(b",{}[]"))
_BACKSLASH: Final = b"\\"
# How each byte of structure changes the depth.
_STEPS: Final = [0] * 256
for _byte in b"{[":
    _STEPS[_byte] = 1
for _byte in b"}]":
    _STEPS[_byte] = -1
_COMMA: Final = ord(",")


def count_values(json: bytes | Raw) -> int:
    return in_one_go(values_in_steps(bytes(json)))


def has_more_values(json: bytes | Raw, limit: int) -> bool:
    """Whether JSON holds more values than `limit`; short texts need no count."""
    return len(json) > limit and in_one_go(values_in_steps(bytes(json), limit)) > limit


def values_in_steps(json: bytes, enough: float = math.inf) -> Generator[None, None, int]:
    """The number of commas and opening brackets outside strings, which is about the number of values.

    Counting stops above `enough`. Where the strings hold few of them as well, they are counted too: finding out where
    strings end costs ten times as much.
    """
    if enough < math.inf:
        most = 0
        for begin in range(0, len(json), _QUICK_BYTES):
            most += sum(json.count(byte, begin, begin + _QUICK_BYTES) for byte in _VALUES)
            if most > enough:
                break
            yield
        else:
            return most
    count = 0
    for outside in _outside_strings(json):
        count += len(outside.translate(None, _NO_VALUES))
        if count > enough:
            break
        yield
    return count


def fields_in_steps(json: bytes, enough: float = math.inf) -> Generator[None, None, int]:
    """The number of commas between fields of the top-level object; counting stops above `enough`."""
    count = depth = 0
    for outside in _outside_strings(json):
        structure = outside.translate(None, _NO_STRUCTURE)
        depths = list(accumulate(map(_STEPS.__getitem__, structure), initial=depth))
        depth = depths[-1]
        count += sum(at == 1 and byte == _COMMA for at, byte in zip(depths, structure, strict=False))
        if count > enough:
            break
        yield
    return count


def _outside_strings(json: bytes) -> Iterator[bytes]:
    """The parts outside strings, piece by piece."""
    begin = is_inside = 0
    while begin < len(json):
        end = begin + _PIECE_BYTES
        piece = json[begin:end]
        if piece.endswith(_BACKSLASH) and (len(piece) - len(piece.rstrip(_BACKSLASH))) % 2:
            # A backslash and the escaped character belong together.
            end += 1
            piece = json[begin:end]
        if _BACKSLASH in piece:
            piece = piece.replace(rb"\\", b"").replace(rb"\"", b"")
        parts = piece.split(b'"')
        yield b"".join(parts[is_inside::2])
        is_inside ^= (len(parts) - 1) & 1
        begin = end
