"""Long work in steps, so that others have their turns in between: a generator that gives its result at the end."""

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")


def in_one_go(steps: Generator[None, None, T]) -> T:
    """What the steps give in the end, where nobody waits meanwhile."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        result: T = end.value
        return result
