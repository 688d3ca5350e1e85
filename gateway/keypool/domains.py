"""What keys belong to: an organisation, which has limits; a workspace, which has caches; a host, which has a network.

Upstream says in its answers whose a key is; until then it is taken to be alone, or with those that the configuration
puts beside it.
"""

import math
from dataclasses import dataclass, field
from typing import Final, TypeVar

from gateway.keypool.allowance import Allowance
from gateway.keypool.breaker import Breaker
from gateway.keypool.demand import Key
from gateway.keypool.ranking import Ranking, least_busy
from translators.errors import ErrorKind

# A refused key rests, longer with each refusal in a row: a single one may be about one request only, and a key that is
# really bad is still looked at now and then, since it may have been mended upstream.
FIRST_REST_SECONDS: Final = 1.0
LONGEST_REST_SECONDS: Final = 300.0
# Whatever upstream names, or seems to: after this long one request may try.
LONGEST_TOLD_SECONDS: Final = 3600.0
# A trial that has not told anything after this long does not keep others from being one.
TRIAL_SECONDS: Final = 10.0
# An answer that is no older than this outweighs a refusal: what was served a moment ago is not gone.
RECENT_SECONDS: Final = 60.0
# A key that is doubted and found well is not asked about again sooner, whatever callers make upstream say.
DOUBT_AGAIN_SECONDS: Final = 5.0
# A key that so many requests in a row were refused with, though it is found well, comes after the others for a while.
_DOUBTS_TO_AVOID: Final = 3
_LONGEST_AVOIDED_SECONDS: Final = 60.0
_MAX_COUNTED_REFUSALS: Final = 16
# Callers choose the names of models, so what is kept under them is bounded.
MAX_NOTED_MODELS: Final = 256
# A host where streams begin late all at once is not asked first; thinking models answer their head at once, too.
SILENCE_SECONDS: Final = 5.0

T = TypeVar("T")


@dataclass(slots=True)
class Rest:
    """Something that was refused: until when it rests, and how often in a row."""

    until: float = 0.0
    refusals: int = 0
    # When the request that is a trial began.
    tried_at: float = -math.inf

    def refuse(self, now: float, at_least_seconds: float) -> None:
        """Rest from now on."""
        seconds = min(FIRST_REST_SECONDS * 2**self.refusals, LONGEST_REST_SECONDS)
        self.until = max(self.until, now + max(seconds, min(at_least_seconds, LONGEST_TOLD_SECONDS)))
        self.refusals = min(self.refusals + 1, _MAX_COUNTED_REFUSALS)
        self.tried_at = -math.inf

    def begin_trial(self, now: float) -> None:
        """The rest is over, and one request is to show whether the reason for it is."""
        self.until = now + TRIAL_SECONDS
        self.tried_at = now

    def end_trial(self, began_at: float, *, is_well: bool = False) -> None:
        """The request that began then has been answered, or is over; one that was no trial changes nothing."""
        if self.tried_at == began_at:
            self.until, self.tried_at = 0.0, -math.inf
            if is_well:
                self.refusals = 0

    def succeed(self, began_at: float) -> None:
        """The request that began then has been answered to its end."""
        self.end_trial(began_at)
        self.refusals = 0


@dataclass(slots=True)
class Host:
    """Keys behind one address share its network (`breaker`), and its trouble with a class of models (`classes`)."""

    breaker: Breaker = field(default_factory=Breaker)
    classes: dict[str, Breaker] = field(default_factory=dict)
    # Streams whose head has not come, and since when none has.
    awaited: int = 0
    silent_since: float = 0.0
    is_probed: bool = False

    def is_well(self, limit_class: str) -> bool:
        """Whether no breaker stands open for a class of models."""
        breaker = self.classes.get(limit_class)
        return self.breaker.is_closed and (breaker is None or breaker.is_closed)

    def breaker_for(self, limit_class: str) -> Breaker:
        """The breaker of a class of models."""
        if (found := self.classes.get(limit_class)) is None:
            forget_oldest(self.classes)
            found = self.classes[limit_class] = Breaker()
        return found

    def is_silent(self, now: float) -> bool:
        """Whether none of its streams begins: who asks here may wait for very long."""
        return self.awaited > 0 and now - self.silent_since > SILENCE_SECONDS

    def is_suspect(self, limit_class: str, now: float) -> bool:
        """Whether there are reasons to ask another host first."""
        if self.is_silent(now):
            return True
        if self.breaker.suspect_until > now:
            return True
        return limit_class in self.classes and self.classes[limit_class].suspect_until > now


class Organisation:
    """Whose keys share limits: an allowance for each class of models."""

    __slots__ = (
        "_allowances",
        "_own",
        "_share",
        "_workspaces",
        "awaited",
        "is_known",
        "limits",
        "name",
        "news",
        "ranking",
        "rest",
        "states",
    )

    def __init__(self, name: str, share: float, *, is_known: bool) -> None:
        self.name = name
        self.is_known = is_known
        # Its keys by their places.
        self.states: dict[int, KeyState] = {}
        # The same in the order of a strategy that has once needed it.
        self.ranking: Ranking | None = None
        self._workspaces: frozenset[Workspace] | None = None
        # How many wait for just its keys, by class of models.
        self.awaited: dict[str, int] = {}
        # Grows when one of its keys may have become ready before the time that was foreseen.
        self.news = 0
        # Out of money.
        self.rest = Rest()
        self._share = share
        self._allowances: dict[str, Allowance] = {}
        # Tokens of input a minute by class, as they were told last.
        self.limits: dict[str, float] = {}
        # Models that turned out to have limits of their own.
        self._own: set[str] = set()

    def put(self, state: "KeyState") -> None:
        """A key is one of its own, from now on or in another workspace."""
        self.states[state.place] = state
        self.ranking = self._workspaces = None

    def drop(self, state: "KeyState") -> None:
        """A key is none of its own any more."""
        del self.states[state.place]
        self.ranking = self._workspaces = None

    @property
    def workspaces(self) -> "frozenset[Workspace]":
        """Those that its keys are in."""
        if self._workspaces is None:
            self._workspaces = frozenset(state.workspace for state in self.states.values())
        return self._workspaces

    def allowance(self, limit_class: str, model: str) -> Allowance:
        """What a model's requests count against."""
        name = model if self._own and model in self._own else limit_class
        if (found := self._allowances.get(name)) is None:
            if len(self._allowances) >= MAX_NOTED_MODELS:
                # Rather one of those that no answer was about.
                blank = (other for other, allowance in self._allowances.items() if allowance.is_blank)
                del self._allowances[next(blank, next(iter(self._allowances)))]
            found = self._allowances[name] = Allowance(self._share)
        return found

    def split(self, model: str, cooling_until: float) -> Allowance:
        """Give a model limits of its own, since upstream told of others than its class has; that one cools so long."""
        if len(self._own) >= MAX_NOTED_MODELS:
            self._own.clear()
        self._own.add(model)
        own = self.allowance(model, model)
        own.cool(cooling_until)
        return own

    def learn_limit(self, limit_class: str, allowance: Allowance) -> bool:
        """Take down how much there is at all; whether that is news."""
        bucket = allowance.input or allowance.tokens or allowance.requests
        if bucket is None or self.limits.get(limit_class) == bucket.limit:
            return False
        forget_oldest(self.limits)
        self.limits[limit_class] = bucket.limit
        return True

    def take_over(self, other: "Organisation") -> None:
        """It has turned out to be this one: what it is not to be asked for yet, this one is not either."""
        self.rest.until = max(self.rest.until, other.rest.until)
        for name, allowance in other.allowances.items():
            if allowance.cooling_until:
                self.allowance(name, name).cool(allowance.cooling_until)

    @property
    def allowances(self) -> dict[str, Allowance]:
        """By class, or by model."""
        return self._allowances


class Workspace:
    """Whose keys share prompt caches."""

    __slots__ = ("capacity", "in_flight", "is_known", "merged_into", "name", "ranking", "rest", "rests_for", "weight")

    def __init__(self, name: str, *, is_known: bool) -> None:
        self.name = name
        self.is_known = is_known
        self.in_flight = 0
        self.weight = 0
        # What it can take next to others: its part of its organisation's limits.
        self.capacity = 1.0
        self.ranking = Ranking(least_busy)
        self.merged_into: Workspace | None = None
        # Out of its own money, or without its own encryption key: which of the two.
        self.rest = Rest()
        self.rests_for = ErrorKind.WORKSPACE_LIMIT

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
    organisation: Organisation
    workspace: Workspace
    host: Host
    ceiling: float = math.inf
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
    rest: Rest = field(default_factory=Rest)
    model_rests: dict[str, Rest] = field(default_factory=dict)
    # When it has answered for a model last.
    served_at: dict[str, float] = field(default_factory=dict)
    slowed_at: float = -math.inf
    last_error: str = ""
    last_error_at: float = 0.0

    def set_room(self) -> None:
        """Work out how many requests at once it may have now."""
        self.room = 1.0 if self.is_on_trial else max(1.0, min(self.window, self.ceiling))

    def served(self, model: str, now: float) -> None:
        """It has answered for a model, which is news."""
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
        self.doubts = min(self.doubts + 1, _MAX_COUNTED_REFUSALS)
        if self.doubts >= _DOUBTS_TO_AVOID:
            seconds = FIRST_REST_SECONDS * 2 ** (self.doubts - _DOUBTS_TO_AVOID)
            self.avoided_until = now + min(seconds, _LONGEST_AVOIDED_SECONDS)

    def reject(self, now: float, seconds: float = 0.0) -> None:
        """It is out, until a probe succeeds; where it has just answered it is probed at once, the first time."""
        if not self.is_rejected:
            asks_at_once = not self.rest.refusals and self.has_served(now)
            self.rest.refuse(now, seconds)
            if asks_at_once:
                self.rest.until = now
            self.is_rejected = True
        self.is_on_trial = False
        self.probe_at = math.inf
        self.set_room()

    def accept(self, now: float) -> None:
        """A probe was not refused: on trial, unless it was a single refusal of a key that has just answered."""
        self.is_rejected = False
        self.is_on_trial = self.rest.refusals > 1 or not self.has_served(now)
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


def forget_oldest(notes: dict[str, T]) -> None:
    """Make room for another note under a name that a caller may have chosen."""
    if len(notes) >= MAX_NOTED_MODELS:
        del notes[next(iter(notes))]
