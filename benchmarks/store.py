"""What the store costs: memory alone, and with SQLite behind it on this machine's disk."""

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from typing import Final

from gateway.config import StoreConfig
from gateway.kept_turns import LayeredStore, open_store

_VALUE: Final = os.urandom(5000)
_KEYS: Final = [os.urandom(16) for _ in range(1000)]
_IN_A_ROUND: Final = 200


def store(seconds: float) -> Iterator[tuple[str, str]]:
    """Name and figure of each measure, of values of 5 KB."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        config = StoreConfig(kind="sqlite", path=f"{folder}/store.db")
        yield from runner.run(_measured(config, seconds))


async def _measured(config: StoreConfig, seconds: float) -> list[tuple[str, str]]:
    kept = open_store(config)
    await asyncio.gather(*(kept.put(key, _VALUE) for key in _KEYS))
    hit, miss, several = _KEYS[:1], [os.urandom(16)], _KEYS[:20]
    figures = [
        ("store: peek of a key that is there", _plainly(lambda: kept.peek(hit), seconds)),
        ("store: peek of a key that is not", _plainly(lambda: kept.peek(miss), seconds)),
        ("store: peek of 20 keys that are there", _plainly(lambda: kept.peek(several), seconds)),
        ("store: fetch of a key known to be nowhere", await _awaited(lambda _: kept.fetch(miss), seconds)),
        ("store: fetch of a key from SQLite", await _awaited(_fetching(kept, 1), seconds)),
        ("store: fetch of 20 keys from SQLite", await _awaited(_fetching(kept, 20), seconds)),
        ("store: put with SQLite, one after another", await _awaited(_putting(kept, 1), seconds)),
        ("store: put with SQLite, 50 at once, each", await _awaited(_putting(kept, 50), seconds) / 50),
    ]
    await kept.close()
    return [(name, f"{microseconds:.2f} µs") for name, microseconds in figures]


def _fetching(kept: LayeredStore, keys: int) -> Callable[[int], Awaitable[object]]:
    async def fetch(turn: int) -> None:
        begin = turn * keys % (len(_KEYS) - keys)
        asked = _KEYS[begin : begin + keys]
        for key in asked:
            kept.memory.forget(key)
        await kept.fetch(asked)

    return fetch


def _putting(kept: LayeredStore, at_once: int) -> Callable[[int], Awaitable[object]]:
    if at_once == 1:
        return lambda turn: kept.put(os.urandom(16), _VALUE)
    return lambda turn: asyncio.gather(*(kept.put(os.urandom(16), _VALUE) for _ in range(at_once)))


def _plainly(action: Callable[[], object], seconds: float) -> float:
    return _fastest(lambda: _seconds_of(action, 10_000), seconds) / 10_000 * 1e6


def _fastest(round_of: Callable[[], float], seconds: float) -> float:
    ends_at = time.perf_counter() + seconds
    fastest = round_of()
    while time.perf_counter() < ends_at:
        fastest = min(fastest, round_of())
    return fastest


def _seconds_of(action: Callable[[], object], runs: int) -> float:
    began_at = time.perf_counter()
    for _ in range(runs):
        action()
    return time.perf_counter() - began_at


async def _awaited(action: Callable[[int], Awaitable[object]], seconds: float) -> float:
    """The median of rounds: here other threads take part, and the fastest would be the luckiest."""
    turns = count()
    rounds: list[float] = []
    ends_at = time.perf_counter() + seconds
    while len(rounds) < 3 or time.perf_counter() < ends_at:
        began_at = time.perf_counter()
        for _ in range(_IN_A_ROUND):
            await action(next(turns))
        rounds.append((time.perf_counter() - began_at) / _IN_A_ROUND)
    return sorted(rounds)[len(rounds) // 2] * 1e6
