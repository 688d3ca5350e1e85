"""The strategies that can be compared, by name."""

from collections.abc import Sequence
from itertools import cycle
from random import Random
from typing import Final

from benchmarks.pool.balancers import Balancer, Plain
from benchmarks.pool.world import ApiKey

PLAIN: Final = ("round_robin", "random")
STRATEGIES: Final = PLAIN


def balancer(strategy: str, keys: Sequence[ApiKey], seed: int) -> Balancer:
    """A fresh balancer over these keys."""
    names = [key.name for key in keys]
    if strategy == "random":
        return Plain(names, Random(seed).choice)
    turns = cycle(names)
    return Plain(names, lambda ready: next(name for name in turns if name in ready))
