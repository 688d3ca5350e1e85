"""The strategies that can be compared, by name."""

from itertools import cycle
from random import Random
from typing import Final

from benchmarks.pool.balancers import Balancer, Plain
from benchmarks.pool.oracle import Oracle
from benchmarks.pool.world import World

STRATEGIES: Final = ("oracle", "round_robin", "random")


def balancer(strategy: str, world: World, seed: int) -> Balancer:
    """A fresh balancer over a world's keys."""
    if strategy == "oracle":
        return Oracle(world)
    names = list(world.keys)
    if strategy == "random":
        return Plain(names, Random(seed).choice)
    turns = cycle(names)
    return Plain(names, lambda ready: next(name for name in turns if name in ready))
