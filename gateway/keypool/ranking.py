"""Keys in an order that changes with every lease: the best is found without looking at the others."""

from collections.abc import Callable, Generator, Iterable, Iterator
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from gateway.keypool.domains import KeyState

Rank: TypeAlias = tuple[float, float]
# So few are looked at one by one, and there is nothing to keep up to date.
_FEW: Final = 8
# Outdated entries stay in the heap until they come up; more of them than this for each key, and it is made anew.
_ENTRIES_A_KEY: Final = 8
_SMALL: Final = 64


def least_busy(state: "KeyState") -> Rank:
    """By what is in flight, and among equals by whose turn was longest ago; both for its weight."""
    weight = state.key.weight
    return (state.in_flight + 1) / weight, state.turns / weight


def next_turn(state: "KeyState") -> Rank:
    """By turns: in rounds in which each key has as many as its weight says, evenly spread."""
    return (state.turns + 0.5) / state.key.weight, 0.0


def fill_first(state: "KeyState") -> Rank:
    """By the operator's priorities, lower ones first, and within one by what is in flight."""
    return float(state.key.priority), (state.in_flight + 1) / state.key.weight


class Ranking:
    """A heap of keys, with entries that are outdated passed over."""

    __slots__ = ("_entries", "_is_few", "_rank", "_states")

    def __init__(self, rank: Callable[["KeyState"], Rank], states: "Iterable[KeyState]" = ()) -> None:
        self._rank = rank
        self._states: dict[int, KeyState] = {state.place: state for state in states}
        self._entries: list[tuple[Rank, int, KeyState]] = []
        self._rebuild()

    def __len__(self) -> int:
        return len(self._states)

    def __iter__(self) -> Iterator["KeyState"]:
        return iter(self._states.values())

    def add(self, state: "KeyState") -> None:
        """One more key."""
        self._states[state.place] = state
        if self._is_few:
            self._rebuild()
        else:
            heappush(self._entries, (self._rank(state), state.place, state))

    def remove(self, state: "KeyState") -> None:
        """One key less."""
        del self._states[state.place]
        if len(self._states) <= _FEW:
            self._rebuild()

    def changed(self, state: "KeyState") -> None:
        """A key that is one of these may have another rank than before."""
        if self._is_few:
            return
        heappush(self._entries, (self._rank(state), state.place, state))
        if len(self._entries) > _SMALL + len(self._states) * _ENTRIES_A_KEY:
            self._rebuild()

    def best(self) -> "KeyState | None":
        """The first in order."""
        states, entries = self._states, self._entries
        if self._is_few:
            if len(states) == 1:
                return next(iter(states.values()))
            return min(states.values(), key=self._rank, default=None)
        while entries:
            found, place, state = entries[0]
            if states.get(place) is state and found == self._rank(state):
                return state
            heappop(entries)
        return None

    def best_first(self) -> Generator["KeyState"]:
        """The keys in their order; whoever does not need them all closes the iterator."""
        states, entries, rank = self._states, self._entries, self._rank
        if self._is_few:
            # Of equals the first one stays the first.
            yield from sorted(states.values(), key=rank)
            return
        seen: dict[int, KeyState] = {}
        try:
            while entries:
                found, place, state = heappop(entries)
                if place not in seen and states.get(place) is state and found == rank(state):
                    seen[place] = state
                    yield state
        finally:
            for place, state in seen.items():
                heappush(entries, (rank(state), place, state))

    def _rebuild(self) -> None:
        self._is_few = len(self._states) <= _FEW
        if self._is_few:
            self._entries = []
            return
        self._entries = [(self._rank(state), state.place, state) for state in self._states.values()]
        heapify(self._entries)
