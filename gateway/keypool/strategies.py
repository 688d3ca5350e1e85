"""The order in which keys are considered for a request; the pool decides whether a key can serve."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Literal, TypeAlias

from gateway.keypool.domains import (
    KeyOrder,
    KeyState,
    Organization,
    Rank,
    Workspace,
    fill_first,
    least_busy,
    next_turn,
)
from gateway.keypool.lease_request import LeaseRequest
from gateway.keypool.ring import Ring
from gateway.keypool.warmth import Cache

StrategyName: TypeAlias = Literal["affinity", "least_busy", "weighted", "priority"]

# The highest load of a workspace, relative to the mean, for requests that could go elsewhere: beyond it a hot prompt
# spills over. The bound is higher where a cache is warm, since leaving it costs more.
_COLD_BOUND: Final = 1.25
_WARM_BOUND: Final = 2.0
# A small number of concurrent requests is no load, however they are distributed.
COLD_SLACK: Final = 4
_WARM_SLACK: Final = 8


class Strategy:
    """The base: all keys in one order, regardless of the request.

    `heeds_headroom`: a key with little headroom yields to one with more. `counts_turns`: a key that cannot serve when
    its turn comes has used that turn. `heeds_caches`: warm caches matter.
    """

    heeds_caches = False

    def __init__(
        self, rank: Callable[[KeyState], Rank], *, heeds_headroom: bool = False, counts_turns: bool = False
    ) -> None:
        self.heeds_headroom = heeds_headroom
        self.counts_turns = counts_turns
        self._order = KeyOrder(rank)

    def add(self, state: KeyState) -> None:
        self._order.add(state)

    def remove(self, state: KeyState) -> None:
        state.order.remove(state)

    def settle(self, workspace: Workspace) -> None:
        """Update what is derived from a workspace: its keys and its capacity."""

    def first(self, request: LeaseRequest, caches: Sequence[Cache]) -> KeyState | None:
        """The best key; it can nearly always serve, so no other one is considered."""
        return self._order.first()

    def candidates(self, request: LeaseRequest, caches: Sequence[Cache]) -> Iterable[KeyState]:
        """The keys, best first; `caches` are those that hold the request's prefix."""
        return self._order

    def candidates_of(
        self, organization: Organization, request: LeaseRequest, caches: Sequence[Cache]
    ) -> Iterable[KeyState]:
        """The same for the keys of one organization; keys with a warm cache come first."""
        warm = {cache.workspace for cache in caches}
        return sorted(organization.states.values(), key=lambda state: (state.workspace not in warm, state.rank))

    def is_crowded(self, workspace: Workspace, caches: Sequence[Cache], in_flight: int) -> bool:
        """Whether a workspace's share of all requests in flight is so large that the next one in order is preferred."""
        return False

    def pass_over(self, chosen: KeyState) -> None:
        """The keys before the chosen one could not serve when their turn came; count these turns as used."""
        for state in list(itertools.takewhile(lambda state: state is not chosen, self._order)):
            state.turns += 1
            self._order.move(state)


class Affinity(Strategy):
    """Prefers the workspace with a warm cache, otherwise the prefix's home on the ring; then the least busy key."""

    heeds_caches = True

    def __init__(self) -> None:
        super().__init__(least_busy, heeds_headroom=True)
        self._ring = Ring()

    def add(self, state: KeyState) -> None:
        state.workspace.order.add(state)
        self._ring.put(state.workspace)

    def remove(self, state: KeyState) -> None:
        super().remove(state)
        self._ring.put(state.workspace)

    def settle(self, workspace: Workspace) -> None:
        self._ring.put(workspace)

    def first(self, request: LeaseRequest, caches: Sequence[Cache]) -> KeyState | None:
        """The least busy key at the prefix's home, or where the cache is warm if the home is cold."""
        if request.prefix is None:
            ranks = [workspace.order.ranks[0] for workspace in self._ring.workspaces]
            return min(ranks)[3] if ranks else None
        place = self._ring.home(request.prefix)
        if caches and not any(cache.workspace is place for cache in caches):
            place = caches[0].workspace
        return place.order.ranks[0][3] if place is not None and place.order.ranks else None

    def candidates(self, request: LeaseRequest, caches: Sequence[Cache]) -> Iterable[KeyState]:
        if request.prefix is None:
            # Rare: the beginning of the request is not known.
            ranks = [rank for workspace in self._ring.workspaces for rank in workspace.order.ranks]
            return (rank[3] for rank in sorted(ranks))
        places = _warm_first(self._ring.from_home(request.prefix), caches)
        return (state for workspace in places for state in workspace.order)

    def candidates_of(
        self, organization: Organization, request: LeaseRequest, caches: Sequence[Cache]
    ) -> Iterable[KeyState]:
        if request.prefix is None:
            return sorted(organization.states.values(), key=lambda state: state.rank)
        places = _warm_first(self._ring.nearest(request.prefix, organization.workspaces), caches)
        # The configuration may have put keys of several organizations into one workspace.
        return (state for workspace in places for state in workspace.order if state.organization is organization)

    def is_crowded(self, workspace: Workspace, caches: Sequence[Cache], in_flight: int) -> bool:
        bound, slack = _COLD_BOUND, COLD_SLACK
        if any(cache.workspace is workspace for cache in caches):
            bound, slack = _WARM_BOUND, _WARM_SLACK
        share = workspace.capacity / self._ring.capacity
        return workspace.in_flight >= slack + bound * share * (in_flight + 1)


def _warm_first(order: Iterator[Workspace], caches: Sequence[Cache]) -> Iterator[Workspace]:
    """Workspaces in order from a prefix's home, with those that have a warm cache first.

    A warm workspace appears twice.
    """
    if caches:
        first = next(order, None)
        # A warm home comes before workspaces that the prefix has spilled to; a cold home comes after them.
        yield from sorted((cache.workspace for cache in caches), key=lambda workspace: workspace is not first)
        if first is not None:
            yield first
    yield from order


def strategy_of(name: StrategyName) -> Strategy:
    if name == "affinity":
        return Affinity()
    if name == "least_busy":
        return Strategy(least_busy, heeds_headroom=True)
    return Strategy(next_turn, counts_turns=True) if name == "weighted" else Strategy(fill_first)
