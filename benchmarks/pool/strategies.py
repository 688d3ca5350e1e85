"""The strategies that can be compared, by name."""

from itertools import cycle
from random import Random
from typing import Final, cast, get_args

from benchmarks.pool.balancers import Balancer, Plain
from benchmarks.pool.dragoman import Dragoman
from benchmarks.pool.oracle import Oracle
from benchmarks.pool.signatures import Signatures
from benchmarks.pool.simulation import Patience
from benchmarks.pool.workers import Workers
from benchmarks.pool.world import World
from gateway.keypool.strategies import StrategyName

DRAGOMAN: Final = get_args(StrategyName)
STRATEGIES: Final = ("oracle", *DRAGOMAN, "round_robin", "random")


def balancer(strategy: str, world: World, patience: Patience, seed: int, workers: int, signed: float = 0.0) -> Balancer:
    """Fresh balancers over a world's keys, one for each worker."""
    if strategy == "oracle":
        # It sees everything, whoever asks.
        return Oracle(world)
    signatures = Signatures(signed) if signed else None
    balancers = [_balancer(strategy, world, patience, seed + worker, workers, signatures) for worker in range(workers)]
    return Workers(balancers) if workers > 1 else balancers[0]


def _balancer(
    strategy: str, world: World, patience: Patience, seed: int, workers: int, signatures: Signatures | None
) -> Balancer:
    if strategy in DRAGOMAN:
        return Dragoman(
            world,
            cast(StrategyName, strategy),
            share=1 / workers,
            queue_seconds=patience.queue_seconds,
            signatures=signatures,
        )
    names = list(world.keys)
    if strategy == "random":
        return Plain(names, Random(seed).choice)
    turns = cycle(names)
    return Plain(names, lambda ready: next(name for name in turns if name in ready))
