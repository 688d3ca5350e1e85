"""How many values some JSON has, told without building it."""

from collections.abc import Generator
from typing import Final

from translators.limits import MAX_VALUES, too_many_values
from translators.weight import values_in_steps

# Of upstream's answers, whose texts are not told apart from what stands around them.
MAX_SEPARATORS: Final = 2_000_000

# One of these stands before each value and each name.
_SEPARATORS: Final = b",:[{"
_ALL_ELSE: Final = bytes(sorted(set(range(256)) - set(_SEPARATORS)))


def separators(data: bytes) -> int:
    """At least how many values some JSON has, with what looks like it in its texts."""
    return len(data.translate(None, _ALL_ELSE))


def check_values(body: bytes) -> Generator[None, None, None]:
    """See to it, in steps, that a body does not have more than `MAX_VALUES` values."""
    if (yield from values_in_steps(body, MAX_VALUES)) > MAX_VALUES:
        raise too_many_values(None, MAX_VALUES)
