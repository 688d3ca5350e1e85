"""The pool: keys by weight, in turn, passing over those that rest.

A key's turns are spread evenly over rounds in which each key has as many of them as its weight says; whoever comes
first and is ready serves, and the turns of a key that is not ready pass. Finding the next one is a look at the top of a
heap, however many keys there are.

A key is *ready*, *cooling* for one model until a moment (upstream said how long), or *resting* as a whole (refused, or
out of money). All moments are seconds of one monotonic clock, handed in.
"""

import math
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple, TypeVar

from translators.errors import Blame, ErrorKind, Failure

# A 429 that names no time: a rate limit's bucket refills within seconds.
DEFAULT_COOLING_SECONDS: Final = 5.0
# A refused key rests, longer with each refusal in a row: a single one may be about one request only, and a key that is
# really bad is still tried now and then, since it may have been mended upstream.
FIRST_REST_SECONDS: Final = 1.0
LONGEST_REST_SECONDS: Final = 300.0
_MAX_COUNTED_REFUSALS: Final = 16
_MAX_NOTED_MODELS: Final = 256

T = TypeVar("T")
# Connections to a host just failed: its keys are the last choice for a moment, but still one.
HOST_REST_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the pool, known by its name; `host` tells which keys share a network fate.

    `mark` tells one secret of the same name from the next: what was said of one holds for no other.
    """

    name: str
    weight: int = 1
    host: str = ""
    mark: bytes = field(default=b"", repr=False)


class Lease(NamedTuple):
    """The right to use a key for one attempt; it has to be released."""

    key: Key
    model: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt teaches about its key: who is to blame, and for how long it asked to be left alone.

    An attempt that its caller abandoned teaches nothing: it is no success, and nobody is to blame.
    """

    blame: Blame = Blame.NOBODY
    retry_after_seconds: float | None = None
    is_success: bool = False

    @classmethod
    def of(cls, failure: Failure) -> "Outcome":
        """The lesson of a failure."""
        return cls(failure.rule.blame, failure.retry_after_seconds)


SUCCESS: Final = Outcome(is_success=True)
ABANDONED: Final = Outcome()


@dataclass(slots=True)
class _Rest:
    """A key, or one model of it, that was refused: until when it rests, and how often in a row."""

    until: float = 0.0
    refusals: int = 0

    def refuse(self, now: float, at_least_seconds: float) -> None:
        seconds = min(FIRST_REST_SECONDS * 2**self.refusals, LONGEST_REST_SECONDS)
        self.until = max(self.until, now + seconds, now + at_least_seconds)
        self.refusals = min(self.refusals + 1, _MAX_COUNTED_REFUSALS)


@dataclass(slots=True)
class _State:
    """What is known of one key; `place` is its own among the keys, `turns` how many it has had or let pass."""

    key: Key
    place: int
    turns: int = 0
    in_flight: int = 0
    rest: _Rest = field(default_factory=_Rest)
    model_rests: dict[str, _Rest] = field(default_factory=dict)
    cooling_until: dict[str, float] = field(default_factory=dict)

    @property
    def next_turn(self) -> tuple[float, int, "_State"]:
        """When it is the key's turn again, in rounds; at the same moment the keys come in their order."""
        return (self.turns + 0.5) / self.key.weight, self.place, self

    def let_pass(self, moment: float) -> None:
        """Give up all turns up to a moment: whoever comes back does not make up for them."""
        self.turns = max(self.turns, math.floor(moment * self.key.weight - 0.5) + 1)

    def renew(self, key: Key, place: int) -> None:
        """Take the key as it is configured now; of another secret, or at another host, nothing is known."""
        moment, _, _ = self.next_turn
        if not self.is_about(key):
            self.rest = _Rest()
            self.model_rests.clear()
            self.cooling_until.clear()
        self.key, self.place = key, place
        self.turns = max(0, round(moment * key.weight - 0.5))

    def is_about(self, key: Key) -> bool:
        """Whether what is said of a key is said of this one as it is now."""
        return (key.mark, key.host) == (self.key.mark, self.key.host)

    def join(self, moment: float) -> None:
        """Have no turn before this moment: who comes later does not make up for what others had."""
        self.turns = max(self.turns, math.ceil(moment * self.key.weight - 0.5))

    def obstacle(self, model: str, now: float) -> tuple[ErrorKind, float] | None:
        """What keeps the key from serving a model, and until when; None when it is ready."""
        if self.rest.until > now:
            return ErrorKind.KEY_REJECTED, self.rest.until
        if (rest := self.model_rests.get(model)) is not None and rest.until > now:
            return ErrorKind.MODEL_REFUSED, rest.until
        if (until := self.cooling_until.get(model, 0.0)) > now:
            return ErrorKind.RATE_LIMITED, until
        return None

    def learn(self, outcome: Outcome, model: str, now: float) -> None:
        """Take in what became of an attempt."""
        asked_seconds = outcome.retry_after_seconds
        if outcome.is_success:
            self.rest.refusals = 0
            self.model_rests.pop(model, None)
        elif outcome.blame is Blame.KEY:
            self.rest.refuse(now, asked_seconds or 0.0)
        elif outcome.blame is Blame.KEY_AND_MODEL:
            _forget_past(self.model_rests, lambda rest: rest.until <= now)
            self.model_rests.setdefault(model, _Rest()).refuse(now, 0.0)
        elif outcome.blame is Blame.KEY_LIMIT:
            _forget_past(self.cooling_until, lambda until: until <= now)
            until = now + (DEFAULT_COOLING_SECONDS if asked_seconds is None else asked_seconds)
            self.cooling_until[model] = max(until, self.cooling_until.get(model, 0.0))


def _forget_past(notes: dict[str, T], is_past: Callable[[T], bool]) -> None:
    """Callers choose the names of models, so what is kept under them is bounded."""
    if len(notes) >= _MAX_NOTED_MODELS:
        for model in [model for model, note in notes.items() if is_past(note)] or list(notes)[:1]:
            del notes[model]


class KeyPool:
    """Gives out leases and learns from what became of them."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._states: dict[str, _State] = {}
        # Keys that are no longer configured, as long as leases on them are out.
        self._leaving: dict[str, _State] = {}
        # A heap: the next turn first.
        self._turns: list[tuple[float, int, _State]] = []
        self._host_resting_until: dict[str, float] = {}
        self.update(keys)

    def update(self, keys: Iterable[Key]) -> None:
        """Use these keys from now on; of those that stay, all that was learned stays known."""
        now_turn = self._turns[0][0] if self._turns else 0.0
        known = self._leaving | self._states
        self._states = {}
        for place, key in enumerate(keys):
            state = known.pop(key.name) if key.name in known else _State(key, place)
            state.renew(key, place)
            state.join(now_turn)
            self._states[key.name] = state
        self._leaving = {name: state for name, state in known.items() if state.in_flight}
        self._turns = [state.next_turn for state in self._states.values()]
        heapify(self._turns)

    def __len__(self) -> int:
        return len(self._states)

    @property
    def in_flight(self) -> int:
        """How many leases are out."""
        return sum(state.in_flight for states in (self._states, self._leaving) for state in states.values())

    @property
    def leaving(self) -> Set[str]:
        """The keys that are no longer configured but still in use."""
        return self._leaving.keys()

    def acquire(
        self, now: float, model: str, *, exclude: frozenset[str] = frozenset(), avoid: frozenset[str] = frozenset()
    ) -> Lease | None:
        """A lease on a ready key that is not excluded, or None; avoided keys only where there is no other."""
        chosen: _State | None = None
        spare: _State | None = None
        asked: list[_State] = []
        while chosen is None and self._turns:
            state = heappop(self._turns)[2]
            asked.append(state)
            if state.key.name in exclude or state.obstacle(model, now) is not None:
                continue
            if state.key.name in avoid or self._rests(state.key.host, now):
                spare = spare or state
            else:
                chosen = state
        chosen = chosen or spare
        if chosen is not None:
            _serve(chosen, asked)
        for state in asked:
            heappush(self._turns, state.next_turn)
        return None if chosen is None else Lease(chosen.key, model)

    def release(self, lease: Lease, outcome: Outcome, now: float) -> None:
        """Give a lease back, with what became of it."""
        name = lease.key.name
        state = self._states.get(name) or self._leaving[name]
        state.in_flight -= 1
        if state.is_about(lease.key):
            state.learn(outcome, lease.model, now)
        if not state.in_flight:
            self._leaving.pop(name, None)
        if outcome.blame is Blame.HOST:
            self._host_resting_until[lease.key.host] = now + HOST_REST_SECONDS

    def why_none(self, now: float, model: str) -> tuple[ErrorKind, float]:
        """Why no key is ready, the most hopeful reason there is, and in how many seconds that one passes."""
        obstacles = [found for state in self._states.values() if (found := state.obstacle(model, now)) is not None]
        for kind in (ErrorKind.RATE_LIMITED, ErrorKind.MODEL_REFUSED):
            if waits := [until - now for found, until in obstacles if found is kind]:
                return kind, min(waits)
        return ErrorKind.KEY_REJECTED, min((until - now for _, until in obstacles), default=0.0)

    def _rests(self, host: str, now: float) -> bool:
        return self._host_resting_until.get(host, 0.0) > now


def _serve(chosen: _State, asked: list[_State]) -> None:
    """Use a turn; those that were asked before lose theirs."""
    moment, _, _ = chosen.next_turn
    for state in asked:
        if state is not chosen:
            state.let_pass(moment)
    chosen.turns += 1
    chosen.in_flight += 1
