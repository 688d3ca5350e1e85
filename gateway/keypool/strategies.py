"""In which order keys are considered for a request; whether one can serve is the pool's to say."""

import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Final, Literal, Protocol, TypeAlias

from gateway.keypool.demand import Demand
from gateway.keypool.domains import KeyState, Organisation, Workspace
from gateway.keypool.ranking import Rank, Ranking, fill_first, least_busy, next_turn
from gateway.keypool.ring import Ring
from gateway.keypool.warmth import Cache

StrategyName: TypeAlias = Literal["affinity", "least_busy", "weighted", "priority"]

# How far above the mean a workspace may be loaded by requests that could go elsewhere: a hot prompt spills then. Where
# a cache is warm there is more to lose.
_COLD_BOUND: Final = 1.25
_WARM_BOUND: Final = 2.0
# Few requests at once are no load, however they are spread.
_COLD_SLACK: Final = 4
_WARM_SLACK: Final = 8


class Strategy(Protocol):
    """An order of keys.

    `heeds_headroom` says whether a key with little left gives way to one with more, `heeds_caches` whether it pays to
    wait for a key because of what is cached there.
    """

    heeds_headroom: bool
    heeds_caches: bool

    def add(self, state: KeyState) -> None:
        """One more key."""
        ...

    def remove(self, state: KeyState) -> None:
        """One key less."""
        ...

    def settle(self, workspace: Workspace) -> None:
        """Take in what has become of a workspace: its keys, and how much it can take."""
        ...

    def best(self, demand: Demand, caches: Sequence[Cache]) -> KeyState | None:
        """The first of the candidates: nearly always it can serve, and no other is looked at."""
        ...

    def candidates(self, demand: Demand, caches: Sequence[Cache]) -> Generator[KeyState]:
        """The keys, best first; `caches` hold the request's prefix."""
        ...

    def candidates_of(self, organisation: Organisation, demand: Demand, caches: Sequence[Cache]) -> Generator[KeyState]:
        """The same of one organisation's keys, those where the prefix is cached before all others."""
        ...

    def is_crowded(self, state: KeyState, caches: Sequence[Cache]) -> bool:
        """Whether a key has so much to do that the next in order is asked first."""
        ...

    def taken(self, state: KeyState, *, is_in_order: bool = True) -> None:
        """A key serves one more request; not in this order, if it was the request's account that chose it."""
        ...

    def given_back(self, state: KeyState) -> None:
        """A key serves one request less."""
        ...


class Ranked:
    """All keys in one order, whatever the request."""

    heeds_headroom = True
    heeds_caches = False

    def __init__(self, rank: Callable[[KeyState], Rank]) -> None:
        self._rank = rank
        self._ranking = Ranking(rank)

    def add(self, state: KeyState) -> None:
        self._ranking.add(state)

    def remove(self, state: KeyState) -> None:
        self._ranking.remove(state)

    def settle(self, workspace: Workspace) -> None:
        """Workspaces do not matter."""

    def best(self, demand: Demand, caches: Sequence[Cache]) -> KeyState | None:
        return self._ranking.best()

    def candidates(self, demand: Demand, caches: Sequence[Cache]) -> Generator[KeyState]:
        return self._ranking.best_first()

    def candidates_of(self, organisation: Organisation, demand: Demand, caches: Sequence[Cache]) -> Generator[KeyState]:
        warm = organisation.workspaces.intersection(cache.workspace.current() for cache in caches)
        others = []
        with closing(self._order_of(organisation).best_first()) as order:
            for state in order:
                if not warm or state.workspace in warm:
                    yield state
                else:
                    others.append(state)
            yield from others

    def _order_of(self, organisation: Organisation) -> Ranking:
        if organisation.ranking is None:
            # From here on it is kept, until the keys of the organisation are other ones.
            organisation.ranking = Ranking(self._rank, organisation.states.values())
        return organisation.ranking

    def is_crowded(self, state: KeyState, caches: Sequence[Cache]) -> bool:
        return False

    def _changed(self, state: KeyState) -> None:
        self._ranking.changed(state)
        if (order := state.organisation.ranking) is not None:
            order.changed(state)

    def taken(self, state: KeyState, *, is_in_order: bool = True) -> None:
        self._changed(state)

    def given_back(self, state: KeyState) -> None:
        self._changed(state)


class FillFirst(Ranked):
    """The lower priorities first, up to what they can take."""

    heeds_headroom = False

    def __init__(self) -> None:
        super().__init__(fill_first)


class InTurn(Ranked):
    """Shares by weight, in turn; whoever is not ready when its turn comes has had it."""

    heeds_headroom = False

    def __init__(self) -> None:
        super().__init__(next_turn)
        # The keys of the last request, in their order.
        self._asked: list[KeyState] = []

    def candidates(self, demand: Demand, caches: Sequence[Cache]) -> Generator[KeyState]:
        self._asked.clear()
        for state in self._ranking.best_first():
            self._asked.append(state)
            yield state

    def taken(self, state: KeyState, *, is_in_order: bool = True) -> None:
        if is_in_order:
            for passed in itertools.takewhile(lambda asked: asked is not state, self._asked):
                # It could not serve when its turn came.
                passed.turns += 1
                self._changed(passed)
        self._asked.clear()
        self._changed(state)

    def given_back(self, state: KeyState) -> None:
        """Turns do not come back."""


class Affinity:
    """Where the prefix is warm, else at its home on the ring; within a workspace the least busy key."""

    heeds_headroom = True
    heeds_caches = True

    def __init__(self, in_flight: Callable[[], int]) -> None:
        self._in_flight = in_flight
        self._ring = Ring()

    def add(self, state: KeyState) -> None:
        self._ring.put(state.workspace)

    def remove(self, state: KeyState) -> None:
        self._ring.put(state.workspace)

    def settle(self, workspace: Workspace) -> None:
        self._ring.put(workspace)

    def best(self, demand: Demand, caches: Sequence[Cache]) -> KeyState | None:
        if demand.prefix is None or caches:
            return next(self.candidates(demand, caches), None)
        home = self._ring.home(demand.prefix)
        return home.ranking.best() if home is not None else None

    def candidates(self, demand: Demand, caches: Sequence[Cache]) -> Generator[KeyState]:
        if demand.prefix is None:
            # Rare: nothing is known of how the request begins.
            states = [state for workspace in self._ring.workspaces for state in workspace.ranking]
            yield from sorted(states, key=least_busy)
            return
        warm = [cache.workspace.current() for cache in caches]
        for workspace in _warm_first(self._ring.from_home(demand.prefix), warm):
            yield from workspace.ranking.best_first()

    def candidates_of(self, organisation: Organisation, demand: Demand, caches: Sequence[Cache]) -> Generator[KeyState]:
        if demand.prefix is None:
            yield from sorted(organisation.states.values(), key=least_busy)
            return
        nearest = self._ring.nearest(demand.prefix, organisation.workspaces)
        for workspace in _warm_first(nearest, [cache.workspace.current() for cache in caches]):
            with closing(workspace.ranking.best_first()) as order:
                # The configuration may have put keys of several organisations into one.
                yield from (state for state in order if state.organisation is organisation)

    def is_crowded(self, state: KeyState, caches: Sequence[Cache]) -> bool:
        workspace = state.workspace
        if workspace.in_flight < _COLD_SLACK:
            return False
        bound, slack = _COLD_BOUND, _COLD_SLACK
        if caches and any(cache.workspace.current() is workspace for cache in caches):
            bound, slack = _WARM_BOUND, _WARM_SLACK
        share = workspace.capacity / self._ring.capacity
        return workspace.in_flight >= slack + bound * share * (self._in_flight() + 1)

    def taken(self, state: KeyState, *, is_in_order: bool = True) -> None:
        """Workspaces keep their own order."""

    def given_back(self, state: KeyState) -> None:
        """Here as well."""


def _warm_first(order: Iterator[Workspace], warm: list[Workspace]) -> Iterator[Workspace]:
    """Workspaces in their order from a prefix's home, those that have it in their caches before the others."""
    if warm:
        first = next(order, None)
        # A home that is still warm comes before where the prefix has spilled to; a cold one comes after it.
        if first in warm:
            warm.sort(key=lambda workspace: workspace is not first)
        yield from warm
        if first is not None and first not in warm:
            yield first
    yield from order


def strategy_of(name: StrategyName, in_flight: Callable[[], int]) -> Strategy:
    """The strategy of that name; `in_flight` tells how many leases are out."""
    if name == "affinity":
        return Affinity(in_flight)
    return {"least_busy": lambda: Ranked(least_busy), "weighted": InTurn, "priority": FillFirst}[name]()
