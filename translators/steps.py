"""Long computations in steps, so that other work can run in between: generators that return their result."""

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")


def in_one_go(steps: Generator[None, None, T]) -> T:
    """Run all steps at once; returns the result."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        result: T = end.value
        return result
