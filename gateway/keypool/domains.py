"""What a key belongs to: an organization, which has limits; a workspace, which has prompt caches; and the key itself.

Upstream's answers say whose a key is; until then it is taken to be alone, or together with those that the configuration
puts beside it.
"""

import math
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, field
from typing import Final, TypeAlias

from gateway.keypool.backoff import FIRST_BACKOFF_SECONDS, MAX_COUNTED_REFUSALS, Backoff
from gateway.keypool.host import MAX_NOTED_MODELS, Host, forget_oldest
from gateway.keypool.lease_request import Key
from gateway.keypool.rate_limits import RateLimits
from translators.errors import ErrorKind

# An answer that is no older than this outweighs a refusal: what was served a moment ago is not gone.
RECENT_SECONDS: Final = 60.0
# A key that is doubted and found well is not asked about again sooner, whatever callers make upstream say.
DOUBT_AGAIN_SECONDS: Final = 5.0
# A key that so many requests in a row were refused with, though it is found well, comes after the others for a while.
_DOUBTS_TO_AVOID: Final = 3
_LONGEST_AVOIDED_SECONDS: Final = 60.0

# Smaller is better; the key's place makes it unique.
Rank: TypeAlias = "tuple[float, float, int, KeyState]"


class KeyOrder:
    """Keys, the best first: a sorted list, in which a key is moved when its rank changes.

    That costs about the same for ten keys as for ten thousand, and the best one is there without a search.
    """

    __slots__ = ("_rank", "ranks")

    def __init__(self, rank: "Callable[[KeyState], Rank]") -> None:
        self._rank = rank
        self.ranks: list[Rank] = []

    def __iter__(self) -> "Iterator[KeyState]":
        return (rank[3] for rank in self.ranks)

    def first(self) -> "KeyState | None":
        return self.ranks[0][3] if self.ranks else None

    def add(self, state: "KeyState") -> None:
        state.order = self
        state.rank = self._rank(state)
        insort(self.ranks, state.rank)

    def remove(self, state: "KeyState") -> None:
        del self.ranks[bisect_left(self.ranks, state.rank)]

    def move(self, state: "KeyState") -> None:
        """A key of these may have another rank than before."""
        old, new, ranks = state.rank, self._rank(state), self.ranks
        if new == old:
            return
        state.rank = new
        # Usually the first one is taken, and what is taken or comes back is then the last.
        if ranks[-1] is old:
            ranks.pop()
        else:
            del ranks[0 if ranks[0] is old else bisect_left(ranks, old)]
        if not ranks or new > ranks[-1]:
            ranks.append(new)
        else:
            insort(ranks, new)


def least_busy(state: "KeyState") -> Rank:
    """By what is in flight, and among equals by whose turn was longest ago; both for its weight."""
    weight = state.key.weight
    if weight == 1:
        return state.in_flight + 1.0, state.turns, state.place, state
    return (state.in_flight + 1) / weight, state.turns / weight, state.place, state


def next_turn(state: "KeyState") -> Rank:
    """By turns: in rounds in which each key has as many as its weight says, evenly spread."""
    return (state.turns + 0.5) / state.key.weight, 0.0, state.place, state


def fill_first(state: "KeyState") -> Rank:
    """By the operator's priorities, lower ones first, and within one by what is in flight."""
    return float(state.key.priority), (state.in_flight + 1) / state.key.weight, state.place, state


@dataclass(slots=True, eq=False)
class Organization:
    """Whose keys share limits: rate limits for each class of models."""

    name: str
    # This process's part of every limit.
    share: float
    _: KW_ONLY
    is_known: bool
    # Its keys by their places.
    states: "dict[int, KeyState]" = field(default_factory=dict)
    # How many wait for just its keys, by class of models.
    awaited: dict[str, int] = field(default_factory=dict)
    # Grows when one of its keys may have become ready before the time that was foreseen.
    version: int = 0
    # Out of money.
    backoff: Backoff = field(default_factory=Backoff)
    # By class of models, or by model.
    limits_by_class: dict[str, RateLimits] = field(default_factory=dict)
    # Tokens of input a minute by class, as they were told last.
    limits: dict[str, float] = field(default_factory=dict)
    # Models that turned out to have limits of their own.
    own_models: set[str] = field(default_factory=set)

    @property
    def workspaces(self) -> "set[Workspace]":
        """Those that its keys are in."""
        return {state.workspace for state in self.states.values()}

    def rate_limits(self, limit_class: str, model: str) -> RateLimits:
        """What a model's requests count against."""
        name = model if self.own_models and model in self.own_models else limit_class
        if (found := self.limits_by_class.get(name)) is None:
            if len(self.limits_by_class) >= MAX_NOTED_MODELS:
                # Rather one of those that no answer was about.
                blank = (other for other, rate_limits in self.limits_by_class.items() if rate_limits.is_blank)
                del self.limits_by_class[next(blank, next(iter(self.limits_by_class)))]
            found = self.limits_by_class[name] = RateLimits(self.share)
        return found

    def split(self, model: str, cooling_until: float) -> RateLimits:
        """Give a model limits of its own, since upstream told of others than its class has; that one cools so long."""
        if len(self.own_models) >= MAX_NOTED_MODELS:
            self.own_models.clear()
        self.own_models.add(model)
        own = self.rate_limits(model, model)
        own.cool(cooling_until)
        return own

    def take_over(self, other: "Organization") -> None:
        """It has turned out to be this one: what it is not to be asked for yet, this one is not either."""
        self.backoff.until = max(self.backoff.until, other.backoff.until)
        for name, rate_limits in other.limits_by_class.items():
            if rate_limits.cooling_until:
                self.rate_limits(name, name).cool(rate_limits.cooling_until)


@dataclass(slots=True, eq=False)
class Workspace:
    """Whose keys share prompt caches."""

    name: str
    _: KW_ONLY
    is_known: bool
    in_flight: int = 0
    # The weights of its keys, added up.
    weight: int = 0
    # What it can take next to others: its part of its organization's limits.
    capacity: float = 1.0
    # Its keys by their places, and in the order in which `affinity` takes them.
    states: "dict[int, KeyState]" = field(default_factory=dict)
    order: KeyOrder = field(default_factory=lambda: KeyOrder(least_busy))
    merged_into: "Workspace | None" = None
    # Out of its own money, or without its own encryption key: which of the two.
    backoff: Backoff = field(default_factory=Backoff)
    backs_off_for: ErrorKind = ErrorKind.WORKSPACE_LIMIT

    def current(self) -> "Workspace":
        """Itself, or what it has turned out to be."""
        workspace = self
        while workspace.merged_into is not None:
            workspace = workspace.merged_into
        return workspace


@dataclass(slots=True, eq=False)
class KeyState:
    """What is known of one key; `place` is its own among the keys, `turns` how many it has had or let pass."""

    key: Key
    place: int
    organization: Organization
    workspace: Workspace
    host: Host
    ceiling: float = math.inf
    # The order that the strategy has put it in, and its rank there.
    order: KeyOrder = field(init=False)
    rank: Rank = field(init=False)
    # Adaptive: halved when upstream says slow down, and then a request more for each round that went well.
    window: float = math.inf
    # How many requests at once it may have now.
    room: float = math.inf
    turns: float = 0.0
    in_flight: int = 0
    is_gone: bool = False
    # Refused: out until a probe succeeds, then on trial, one request at a time, until one of these succeeds.
    is_rejected: bool = False
    is_on_trial: bool = False
    is_probed: bool = False
    # In doubt: refused, perhaps for the request's sake; when to ask about it, infinity where there is no doubt.
    probe_at: float = math.inf
    found_well_at: float = -math.inf
    # How often in a row that was, and until when others are asked first for it.
    doubts: int = 0
    avoided_until: float = 0.0
    is_introduced: bool = False
    backoff: Backoff = field(default_factory=Backoff)
    model_backoffs: dict[str, Backoff] = field(default_factory=dict)
    # When it has answered for a model last.
    served_at: dict[str, float] = field(default_factory=dict)
    slowed_at: float = -math.inf
    last_error: str = ""
    last_error_at: float = 0.0

    def set_room(self) -> None:
        """Work out how many requests at once it may have now."""
        self.room = 1.0 if self.is_on_trial else max(1.0, min(self.window, self.ceiling))

    def served(self, model: str, now: float) -> None:
        """It has answered for a model."""
        if model not in self.served_at:
            forget_oldest(self.served_at)
        self.served_at[model] = now
        if self.doubts:
            self.doubts = 0
            self.probe_at = math.inf
            self.avoided_until = 0.0

    def has_served(self, now: float, model: str | None = None) -> bool:
        """Whether it has answered a moment ago: for a model, or at all."""
        if model is not None:
            return now - self.served_at.get(model, -math.inf) < RECENT_SECONDS
        return any(now - moment < RECENT_SECONDS for moment in self.served_at.values())

    def doubt(self, now: float) -> None:
        """It was refused, perhaps for the request's sake: it serves on, and is asked about."""
        if self.probe_at == math.inf:
            self.probe_at = max(now, self.found_well_at + DOUBT_AGAIN_SECONDS)
        self.doubts = min(self.doubts + 1, MAX_COUNTED_REFUSALS)
        if self.doubts >= _DOUBTS_TO_AVOID:
            seconds = FIRST_BACKOFF_SECONDS * 2 ** (self.doubts - _DOUBTS_TO_AVOID)
            self.avoided_until = now + min(seconds, _LONGEST_AVOIDED_SECONDS)

    def reject(self, now: float, seconds: float = 0.0) -> None:
        """It is out, until a probe succeeds; where it has just answered it is probed at once, the first time."""
        if not self.is_rejected:
            asks_at_once = not self.backoff.refusals and self.has_served(now)
            self.backoff.refuse(now, seconds)
            if asks_at_once:
                self.backoff.until = now
            self.is_rejected = True
        self.is_on_trial = False
        self.probe_at = math.inf
        self.set_room()

    def accept(self, now: float) -> None:
        """A probe was not refused: on trial, unless it was a single refusal of a key that has just answered."""
        self.is_rejected = False
        self.is_on_trial = self.backoff.refusals > 1 or not self.has_served(now)
        self.set_room()

    def slow_down(self, acquired_at: float, now: float) -> None:
        """Upstream found the growth of traffic too steep: at most half of what is under way from now on."""
        if acquired_at > self.slowed_at:
            self.window = max(1.0, min(self.window, self.in_flight + 1) / 2)
            self.slowed_at = now
            self.set_room()

    def speed_up(self) -> None:
        """An answer has come to its end, below the ceiling."""
        self.window += 1 / self.window
        self.set_room()
