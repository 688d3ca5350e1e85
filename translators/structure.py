"""Bounds the number of values in JSON without parsing it."""

from collections.abc import Generator
from typing import Final

from translators.limits import MAX_VALUES, too_many_values
from translators.weight import values_in_steps

# For upstream's answers, in which texts are not distinguished from structure.
MAX_SEPARATORS: Final = 2_000_000

# One of these precedes each value and each name.
_SEPARATORS: Final = b",:[{"
_ALL_ELSE: Final = bytes(sorted(set(range(256)) - set(_SEPARATORS)))


def separators(data: bytes) -> int:
    """An upper bound for the number of values in JSON: separators inside texts are counted too."""
    return len(data.translate(None, _ALL_ELSE))


def check_values(body: bytes) -> Generator[None, None, None]:
    """Check, in steps, that a body has at most `MAX_VALUES` values."""
    if (yield from values_in_steps(body, MAX_VALUES)) > MAX_VALUES:
        raise too_many_values(None, MAX_VALUES)
