"""In which order keys are considered for a request; whether one can serve is the pool's to say."""

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

# How far above the mean a workspace may be loaded by requests that could go elsewhere: a hot prompt spills then. Where
# a cache is warm there is more to lose.
_COLD_BOUND: Final = 1.25
_WARM_BOUND: Final = 2.0
# Few requests at once are no load, however they are spread.
COLD_SLACK: Final = 4
_WARM_SLACK: Final = 8


class Strategy:
    """All keys in one order, whatever the request.

    `heeds_headroom` says whether a key with little left gives way to one with more, `counts_turns` whether a key that
    cannot serve when its turn comes has had it, `heeds_caches` whether it matters what is cached where.
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
        """Take in what has become of a workspace: its keys, and how much it can take."""

    def first(self, request: LeaseRequest, caches: Sequence[Cache]) -> KeyState | None:
        """The first of the candidates: nearly always it can serve, and no other is looked at."""
        return self._order.first()

    def candidates(self, request: LeaseRequest, caches: Sequence[Cache]) -> Iterable[KeyState]:
        """The keys, best first; `caches` hold the request's prefix."""
        return self._order

    def candidates_of(
        self, organization: Organization, request: LeaseRequest, caches: Sequence[Cache]
    ) -> Iterable[KeyState]:
        """The same of one organization's keys, those where the prefix is cached before all others."""
        warm = {cache.workspace for cache in caches}
        return sorted(organization.states.values(), key=lambda state: (state.workspace not in warm, state.rank))

    def is_crowded(self, workspace: Workspace, caches: Sequence[Cache], in_flight: int) -> bool:
        """Whether a workspace has so much of all that is in flight that the next in order is asked first."""
        return False

    def pass_over(self, chosen: KeyState) -> None:
        """The keys before a chosen one could not serve when their turn came: they have had it."""
        for state in list(itertools.takewhile(lambda state: state is not chosen, self._order)):
            state.turns += 1
            self._order.move(state)


class Affinity(Strategy):
    """Where the prefix is warm, else at its home on the ring; within a workspace the least busy key."""

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
        """The least busy key at a prefix's home, or where it is warm if that is not."""
        if request.prefix is None:
            ranks = [workspace.order.ranks[0] for workspace in self._ring.workspaces]
            return min(ranks)[3] if ranks else None
        place = self._ring.home(request.prefix)
        if caches and not any(cache.workspace is place for cache in caches):
            place = caches[0].workspace
        return place.order.ranks[0][3] if place is not None and place.order.ranks else None

    def candidates(self, request: LeaseRequest, caches: Sequence[Cache]) -> Iterable[KeyState]:
        if request.prefix is None:
            # Rare: nothing is known of how the request begins.
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
    """Workspaces in their order from a prefix's home, those that have it in their caches before the others.

    One that is warm comes up twice.
    """
    if caches:
        first = next(order, None)
        # A home that is still warm comes before where the prefix has spilled to; a cold one comes after it.
        yield from sorted((cache.workspace for cache in caches), key=lambda workspace: workspace is not first)
        if first is not None:
            yield first
    yield from order


def strategy_of(name: StrategyName) -> Strategy:
    """The strategy of that name."""
    if name == "affinity":
        return Affinity()
    if name == "least_busy":
        return Strategy(least_busy, heeds_headroom=True)
    return Strategy(next_turn, counts_turns=True) if name == "weighted" else Strategy(fill_first)
