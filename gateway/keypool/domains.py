"""The domains that a key belongs to: an organization with rate limits, a workspace with prompt caches, the key itself.

Upstream's answers tell the organization and workspace of a key. Until then each key is assumed to be on its own, or
in the organization and workspace that the configuration names.
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

# A success this recent outweighs a refusal: what worked a moment ago has not been revoked.
RECENT_SECONDS: Final = 60.0
# The minimum interval between probes of a doubted key, so that callers cannot provoke them at will.
DOUBT_AGAIN_SECONDS: Final = 5.0
# After this many refused requests in a row a key is tried after the others for a while, even if its probes succeed.
_DOUBTS_TO_AVOID: Final = 3
_LONGEST_AVOIDED_SECONDS: Final = 60.0

# Smaller is better; the key's position makes each rank unique.
Rank: TypeAlias = "tuple[float, float, int, KeyState]"


class KeyOrder:
    """Keys, best first: a sorted list in which a key moves when its rank changes.

    A move costs about the same for ten keys as for ten thousand, and the best key is found without a search.
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
        """Move a key to its new rank, if that has changed."""
        old, new, ranks = state.rank, self._rank(state), self.ranks
        if new == old:
            return
        state.rank = new
        # Usually the first key is taken and goes to the end, or the last one comes back.
        if ranks[-1] is old:
            ranks.pop()
        else:
            del ranks[0 if ranks[0] is old else bisect_left(ranks, old)]
        if not ranks or new > ranks[-1]:
            ranks.append(new)
        else:
            insort(ranks, new)


def least_busy(state: "KeyState") -> Rank:
    """By requests in flight, then by the longest time since the last use; both relative to the weight."""
    weight = state.key.weight
    if weight == 1:
        return state.in_flight + 1.0, state.turns, state.place, state
    return (state.in_flight + 1) / weight, state.turns / weight, state.place, state


def next_turn(state: "KeyState") -> Rank:
    """By turns: in each round a key gets as many turns as its weight, evenly spread."""
    return (state.turns + 0.5) / state.key.weight, 0.0, state.place, state


def fill_first(state: "KeyState") -> Rank:
    """By the operator's priorities, lower numbers first; within a priority by requests in flight."""
    return float(state.key.priority), (state.in_flight + 1) / state.key.weight, state.place, state


@dataclass(slots=True, eq=False)
class Organization:
    """An organization: its keys share rate limits for each class of models."""

    name: str
    # This process's share of every limit.
    share: float
    _: KW_ONLY
    is_known: bool
    # Its keys, by position.
    states: "dict[int, KeyState]" = field(default_factory=dict)
    # The number of requests that wait for keys of this organization only, by class of models.
    awaited: dict[str, int] = field(default_factory=dict)
    # Incremented when one of its keys may be ready earlier than predicted.
    version: int = 0
    # While it is out of funds.
    backoff: Backoff = field(default_factory=Backoff)
    # By class of models, or by model.
    limits_by_class: dict[str, RateLimits] = field(default_factory=dict)
    # The latest input tokens per minute, by class.
    limits: dict[str, float] = field(default_factory=dict)
    # Models that turned out to have their own limits.
    own_models: set[str] = field(default_factory=set)

    @property
    def workspaces(self) -> "set[Workspace]":
        """The workspaces of its keys."""
        return {state.workspace for state in self.states.values()}

    def rate_limits(self, limit_class: str, model: str) -> RateLimits:
        """The limits that requests for a model count against."""
        name = model if self.own_models and model in self.own_models else limit_class
        if (found := self.limits_by_class.get(name)) is None:
            if len(self.limits_by_class) >= MAX_NOTED_MODELS:
                # Prefer to drop limits about which no answer has told anything.
                blank = (other for other, rate_limits in self.limits_by_class.items() if rate_limits.is_blank)
                del self.limits_by_class[next(blank, next(iter(self.limits_by_class)))]
            found = self.limits_by_class[name] = RateLimits(self.share)
        return found

    def split(self, model: str, cooling_until: float) -> RateLimits:
        """Give a model its own limits, since upstream reported others than its class has; `cooling_until` is theirs."""
        if len(self.own_models) >= MAX_NOTED_MODELS:
            self.own_models.clear()
        self.own_models.add(model)
        own = self.rate_limits(model, model)
        own.cool(cooling_until)
        return own

    def take_over(self, other: "Organization") -> None:
        """Merge another organization that has turned out to be this one, including its pauses."""
        self.backoff.until = max(self.backoff.until, other.backoff.until)
        for name, rate_limits in other.limits_by_class.items():
            if rate_limits.cooling_until:
                self.rate_limits(name, name).cool(rate_limits.cooling_until)


@dataclass(slots=True, eq=False)
class Workspace:
    """A workspace: its keys share prompt caches."""

    name: str
    _: KW_ONLY
    is_known: bool
    in_flight: int = 0
    # The sum of its keys' weights.
    weight: int = 0
    # Its capacity relative to other workspaces: its part of its organization's limits.
    capacity: float = 1.0
    # Its keys, by position and in the order of the `affinity` strategy.
    states: "dict[int, KeyState]" = field(default_factory=dict)
    order: KeyOrder = field(default_factory=lambda: KeyOrder(least_busy))
    merged_into: "Workspace | None" = None
    # While it is out of its own funds, or its encryption key is unavailable; `reason` says which.
    backoff: Backoff = field(default_factory=Backoff)
    backs_off_for: ErrorKind = ErrorKind.WORKSPACE_LIMIT

    def current(self) -> "Workspace":
        """This workspace, or the one that it was merged into."""
        workspace = self
        while workspace.merged_into is not None:
            workspace = workspace.merged_into
        return workspace


@dataclass(slots=True, eq=False)
class KeyState:
    """The state of one key; `place` is its position among the keys, `turns` how many it has had or passed up."""

    key: Key
    place: int
    organization: Organization
    workspace: Workspace
    host: Host
    ceiling: float = math.inf
    # The strategy's order that holds the key, and its rank there.
    order: KeyOrder = field(init=False)
    rank: Rank = field(init=False)
    # Adaptive: halved when upstream asks to slow down, then increased by one for each successful round.
    window: float = math.inf
    # The number of concurrent requests that it may have now.
    room: float = math.inf
    turns: float = 0.0
    in_flight: int = 0
    is_gone: bool = False
    # Refused: out until a probe succeeds, then on trial with one request at a time until one of them succeeds.
    is_rejected: bool = False
    # An operator has taken it out, until one puts it back.
    is_taken_out: bool = False
    is_on_trial: bool = False
    is_probed: bool = False
    # In doubt: a refusal that may have been about the request. When to probe the key; infinity if there is no doubt.
    probe_at: float = math.inf
    found_well_at: float = -math.inf
    # The number of such refusals in a row, and until when other keys are preferred because of them.
    doubts: int = 0
    avoided_until: float = 0.0
    is_introduced: bool = False
    backoff: Backoff = field(default_factory=Backoff)
    model_backoffs: dict[str, Backoff] = field(default_factory=dict)
    # When it last answered for each model.
    served_at: dict[str, float] = field(default_factory=dict)
    slowed_at: float = -math.inf
    last_error: str = ""
    last_error_at: float = 0.0

    def set_room(self) -> None:
        """Compute the number of concurrent requests that it may have now."""
        self.room = 1.0 if self.is_on_trial else max(1.0, min(self.window, self.ceiling))

    def served(self, model: str, now: float) -> None:
        """The key has answered for a model."""
        if model not in self.served_at:
            forget_oldest(self.served_at)
        self.served_at[model] = now
        if self.doubts:
            self.doubts = 0
            self.probe_at = math.inf
            self.avoided_until = 0.0

    def has_served(self, now: float, model: str | None = None) -> bool:
        """Whether the key has answered recently, for a model or at all."""
        if model is not None:
            return now - self.served_at.get(model, -math.inf) < RECENT_SECONDS
        return any(now - moment < RECENT_SECONDS for moment in self.served_at.values())

    def doubt(self, now: float) -> None:
        """The key was refused, perhaps because of the request: it stays in use, and is probed."""
        if self.probe_at == math.inf:
            self.probe_at = max(now, self.found_well_at + DOUBT_AGAIN_SECONDS)
        self.doubts = min(self.doubts + 1, MAX_COUNTED_REFUSALS)
        if self.doubts >= _DOUBTS_TO_AVOID:
            seconds = FIRST_BACKOFF_SECONDS * 2 ** (self.doubts - _DOUBTS_TO_AVOID)
            self.avoided_until = now + min(seconds, _LONGEST_AVOIDED_SECONDS)

    def reject(self, now: float, seconds: float = 0.0) -> None:
        """Take the key out until a probe succeeds; if it has just answered, the first probe is made at once."""
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
        """A probe was not refused: put the key on trial, unless it was refused only once and has just answered."""
        self.is_rejected = False
        self.is_on_trial = self.backoff.refusals > 1 or not self.has_served(now)
        self.set_room()

    def slow_down(self, acquired_at: float, now: float) -> None:
        """Upstream rejected the growth of traffic: from now on at most half of the current requests."""
        if acquired_at > self.slowed_at:
            self.window = max(1.0, min(self.window, self.in_flight + 1) / 2)
            self.slowed_at = now
            self.set_room()

    def speed_up(self) -> None:
        """An answer is complete: widen the window, up to the ceiling."""
        self.window += 1 / self.window
        self.set_room()
