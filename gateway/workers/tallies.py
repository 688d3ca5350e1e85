"""Counts that only grow, as dictionaries of dictionaries of numbers: the sum over workers, and what bounds it."""

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

# `Any` stands for int | float | Tally: msgspec decodes no recursive aliases.
Tally: TypeAlias = dict[str, Any]
"""Names to numbers, or to further tallies."""

MAX_COUNTS: Final = 100_000
"""The numbers that a sum holds at most; names beyond that are not counted."""


def total(tallies: Iterable[Tally], most: int = MAX_COUNTS) -> Tally:
    """The sum, as a new tally; a name that one of them lacks counts as 0 there."""
    summed: Tally = {}
    room = most
    for tally in tallies:
        room = _add(summed, tally, room)
    return summed


def _add(summed: Tally, tally: Tally, room: int) -> int:
    """Add one tally to another, with at most `room` new numbers; returns the room that is left."""
    for name, value in tally.items():
        known = summed.get(name)
        if known is None and room <= 0:
            continue
        if isinstance(value, dict):
            inner = summed.setdefault(name, {})
            if isinstance(inner, dict):
                room = _add(inner, value, room)
        elif known is None:
            summed[name] = value
            room -= 1
        elif not isinstance(known, dict):
            summed[name] = known + value
    return room
