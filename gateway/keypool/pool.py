"""The pool: gives out leases, and learns from what becomes of them.

Each fact is kept where it belongs: limits with the organisation and class of models, caches with the workspace,
refusals and concurrency with the key, network trouble with the host. All moments are seconds of one monotonic clock,
handed in.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.keypool.breaker import Breaker
from gateway.keypool.demand import Account, Demand, Key, Lease, Outcome
from gateway.keypool.domains import (
    Host,
    KeyState,
    Organisation,
    Workspace,
)
from gateway.keypool.feedback import learn
from gateway.keypool.members import Members
from gateway.keypool.strategies import StrategyName, strategy_of
from gateway.keypool.warmth import Cache, Warmth
from translators.errors import ErrorKind

# After a probe that has shown nothing.
PROBE_AGAIN_SECONDS: Final = 5.0
# How long a request waits for its cache, next to how long the limits need for what it saves.
_PATIENCE: Final = 3.0
MOST_PATIENCE_SECONDS: Final = 3.0
# How many more workspaces and hosts are looked at once there is a key that would do.
_LOOKS: Final = 8


# What to tell where there are several reasons: what passes soonest by itself, first.
_HOPEFUL_FIRST: Final = (
    ErrorKind.RATE_LIMITED,
    ErrorKind.OVERLOADED,
    ErrorKind.UNREACHABLE,
    ErrorKind.MODEL_REFUSED,
    ErrorKind.SPEND_LIMIT,
    ErrorKind.KEY_REJECTED,
)
_PASSING: Final = _HOPEFUL_FIRST[:3]
_NOBODY: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """What the operator decided; `share` is this process's part of every limit and ceiling."""

    strategy: StrategyName = "affinity"
    share: float = 1.0


class Stay(NamedTuple):
    """Where a prompt is cached: when a key is ready there, and until when it pays to wait for that."""

    workspace: str
    ready_at: float
    until: float


class KeyPool:
    """All keys, and what is known of them and around them."""

    def __init__(self, keys: Iterable[Key], settings: PoolSettings = PoolSettings()) -> None:
        self._settings = settings
        self._warmth = Warmth()
        self._in_flight = 0
        self._strategy = strategy_of(settings.strategy, lambda: self._in_flight)
        self._members = Members(self._strategy, settings.share)
        # Grows when something may have made a key ready before the time that was foreseen.
        self.news = 0
        self.update(keys)

    def __len__(self) -> int:
        return len(self._members.states)

    @property
    def in_flight(self) -> int:
        """How many leases are out."""
        return self._in_flight

    @property
    def leaving(self) -> set[str]:
        """The keys that are no longer configured but still in use."""
        return {state.key.name for state in self._members.leaving} - self._members.states.keys()

    @property
    def settings(self) -> PoolSettings:
        """What the operator decided."""
        return self._settings

    @property
    def states(self) -> Iterable[KeyState]:
        """What is known of each key."""
        return self._members.states.values()

    @property
    def organisations(self) -> Iterable[Organisation]:
        """The organisations that keys belong to."""
        return self._members.organisations.values()

    @property
    def hosts(self) -> Mapping[str, Host]:
        """The hosts by their addresses."""
        return self._members.hosts

    # Keys come and go

    def update(self, keys: Iterable[Key], settings: PoolSettings | None = None) -> None:
        """These are the keys from now on, and the settings; of keys that stay everything stays known.

        Those that leave keep their leases. A key with another secret or host, or that belongs elsewhere, is a new one.
        """
        if settings is not None and settings != self._settings:
            self._settings = settings
            self._strategy = strategy_of(settings.strategy, lambda: self._in_flight)
            self._members.rank_by(self._strategy, settings.share)
        self._members.update(keys)
        self.news += 1

    # Leases

    def acquire(
        self, now: float, demand: Demand, *, exclude: frozenset[str] = _NOBODY, avoid: frozenset[str] = _NOBODY
    ) -> Lease | None:
        """A lease on a ready key that is not excluded, or None; avoided keys only where there is no other."""
        caches = self._warmth.caches(demand.prefix, now)
        state = self._strategy.best(demand, caches)
        if (
            state is None
            or (exclude and state.key.name in exclude)
            or self._obstacle(state, demand, caches, now) is not None
            or self._doubt(state, demand, caches, now, avoid)
        ):
            state = self._look_around(now, demand, caches, exclude, avoid)
        return None if state is None else self._lease(state, demand, caches, now)

    def stay(self, now: float, demand: Demand) -> Stay | None:
        """Where a request had better wait than go, because its prompt is cached there; None where that does not pay.

        What is cheap there costs limits elsewhere: so long as these need to make up for it, waiting takes nothing from
        anybody.
        """
        if not self._strategy.heeds_caches:
            return None
        caches = self._warmth.caches(demand.prefix, now)
        best: Stay | None = None
        for cache in caches:
            workspace = cache.workspace.current()
            state = workspace.ranking.best()
            if state is None or state.host.is_suspect(demand.limit_class, now):
                continue
            obstacle = self._obstacle(state, demand, caches, now)
            if obstacle is None:
                return Stay(workspace.name, now, now)
            kind, ready_at = obstacle
            bucket = state.organisation.allowance(demand.limit_class, demand.model).input
            if kind is not ErrorKind.RATE_LIMITED or bucket is None or self._strategy.is_crowded(state, caches):
                continue
            saved_seconds = min(cache.tokens, demand.input_tokens) / bucket.per_second
            patience = min(MOST_PATIENCE_SECONDS, _PATIENCE * saved_seconds)
            if ready_at <= now + patience and (best is None or ready_at < best.ready_at):
                best = Stay(workspace.name, ready_at, now + patience)
        return best

    def _look_around(
        self, now: float, demand: Demand, caches: Sequence[Cache], exclude: frozenset[str], avoid: frozenset[str]
    ) -> KeyState | None:
        """The ready key of which the least speaks against it; of equals the first in order."""
        chosen: KeyState | None = None
        least_doubt = math.inf
        # Keys of one workspace and host are alike in nearly all that speaks against them.
        doubtful: set[tuple[int, int]] = set()
        candidates = self._strategy.candidates(demand, caches)
        for state in candidates:
            alike = id(state.workspace), id(state.host)
            is_tried = state.key.name in exclude or (alike in doubtful and state.key.name not in avoid)
            if is_tried or self._obstacle(state, demand, caches, now) is not None:
                continue
            doubt = self._doubt(state, demand, caches, now, avoid)
            if doubt < least_doubt:
                chosen, least_doubt = state, doubt
            if state.key.name not in avoid:
                doubtful.add(alike)
            if not doubt or len(doubtful) > _LOOKS:
                break
        candidates.close()
        return chosen

    def _lease(self, state: KeyState, demand: Demand, caches: Sequence[Cache], now: float) -> Lease:
        workspace, host = state.workspace, state.host
        allowance = state.organisation.allowance(demand.limit_class, demand.model)
        lease = Lease(state, workspace, allowance, demand, now)
        lease.input_tokens, lease.output_tokens = allowance.reserve(_uncached(demand, workspace, caches))
        self._in_flight += 1
        workspace.in_flight += 1
        state.in_flight += 1
        state.turns += 1
        if host.breaker.failures:
            lease.is_trial = self._pass(host.breaker, now)
        if host.classes and (breaker := host.classes.get(demand.limit_class)) is not None and breaker.failures:
            lease.is_trial = self._pass(breaker, now) or lease.is_trial
        if demand.streams:
            if not host.awaited:
                host.silent_since = now
            host.awaited += 1
        workspace.ranking.changed(state)
        self._strategy.taken(state)
        return lease

    def _pass(self, breaker: Breaker, now: float) -> bool:
        """Let an attempt through something that has failed lately; whether it is a trial."""
        breaker.begin_attempt()
        if breaker.is_closed:
            return False
        breaker.begin_trial(now)
        return True

    def answered(self, lease: Lease, headers: Mapping[str, str], now: float, *, status: int = 200) -> None:
        """An answer's head has come, whatever its status; header names are lower case."""
        state = lease.state
        lease.is_answered = True
        self._head_came(lease, status, now)
        if not state.is_gone:
            self._members.discover(state, headers)
        demand = lease.demand
        allowance = state.organisation.allowance(demand.limit_class, demand.model)
        if allowance.differs_for(demand.model, headers):
            allowance = state.organisation.split(demand.model, allowance.cooling_until)
        if allowance is not lease.allowance:
            # It was reserved of limits that turn out not to be those it counts against.
            lease.allowance.never_sent(lease.input_tokens)
            lease.allowance.settle(lease.output_tokens, None)
            lease.allowance = allowance
            lease.input_tokens, lease.output_tokens = allowance.reserve(lease.input_tokens)
        allowance.answered(lease.input_tokens, headers, now)
        if not state.is_gone and state.organisation.learn_limit(demand.limit_class, allowance):
            self._members.weigh(state.organisation)
        self.news += 1

    def release(self, lease: Lease, outcome: Outcome, now: float) -> None:
        """Give a lease back, with what became of it."""
        state = lease.state
        workspace = lease.workspace.current()
        self._in_flight -= 1
        workspace.in_flight -= 1
        state.in_flight -= 1
        if not lease.is_answered:
            state.host.awaited -= lease.demand.streams
            lease.allowance.never_sent(lease.input_tokens)
        lease.allowance.settle(lease.output_tokens, outcome.usage)
        if outcome.usage is not None and lease.demand.prefix is not None:
            self._warmth.learn(lease.demand, workspace, outcome.usage, now)
        learn(lease, outcome, now)
        if not state.is_gone:
            state.workspace.ranking.changed(state)
            self._strategy.given_back(state)
        elif not state.in_flight:
            self._members.leaving.discard(state)
        self.news += 1

    def _head_came(self, lease: Lease, status: int, now: float) -> None:
        host = lease.state.host
        if lease.demand.streams:
            host.awaited -= 1
            host.silent_since = now
        if lease.is_trial and status == 200:
            # Others need not wait for the end of this answer.
            host.breaker.half_close()
            if (breaker := host.classes.get(lease.demand.limit_class)) is not None:
                breaker.half_close()

    def account_of(self, lease: Lease) -> Account:
        """The account that a lease's key belongs to, as far as it is known now."""
        organisation = lease.state.organisation
        return Account(organisation.name if organisation.is_known else "", lease.key.mark)

    def is_of(self, lease: Lease, account: Account) -> bool:
        """Whether what an account has signed holds with this lease's key."""
        return account.key == lease.key.mark or lease.state.organisation.name == account.organisation

    # What stands in the way

    def _obstacle(
        self, state: KeyState, demand: Demand, caches: Sequence[Cache], now: float
    ) -> tuple[ErrorKind, float] | None:
        """What keeps a key from serving, and until when (infinity: until something happens); None if it is ready."""
        if state.is_rejected:
            return ErrorKind.KEY_REJECTED, math.inf
        organisation, host = state.organisation, state.host
        if organisation.rest.until > now:
            return ErrorKind.SPEND_LIMIT, organisation.rest.until
        if state.model_rests and (rest := state.model_rests.get(demand.model)) is not None and rest.until > now:
            return ErrorKind.MODEL_REFUSED, rest.until
        if not host.breaker.is_closed and (moment := host.breaker.ready_at(now)) > now:
            return ErrorKind.UNREACHABLE, moment
        if (
            host.classes
            and (breaker := host.classes.get(demand.limit_class))
            and (moment := breaker.ready_at(now)) > now
        ):
            return ErrorKind.OVERLOADED, moment
        if state.in_flight + 1 > state.room:
            return ErrorKind.RATE_LIMITED, math.inf
        allowance = organisation.allowance(demand.limit_class, demand.model)
        moment = allowance.ready_at(_uncached(demand, state.workspace, caches), now)
        return (ErrorKind.RATE_LIMITED, moment) if moment > now else None

    def _doubt(
        self, state: KeyState, demand: Demand, caches: Sequence[Cache], now: float, avoid: frozenset[str]
    ) -> int:
        """How much speaks for looking at the next one as well; 0 is nothing."""
        doubt = 0
        if avoid and state.key.name in avoid:
            doubt += 8
        host = state.host
        if (host.awaited or host.breaker.suspect_until or host.classes) and host.is_suspect(demand.limit_class, now):
            doubt += 4
        strategy = self._strategy
        if strategy.is_crowded(state, caches):
            doubt += 2
        if (
            strategy.heeds_headroom
            and state.organisation.allowance(demand.limit_class, demand.model).is_low
            and not any(cache.workspace.current() is state.workspace for cache in caches)
        ):
            doubt += 1
        return doubt

    def why_none(self, now: float, demand: Demand, exclude: frozenset[str] = _NOBODY) -> tuple[ErrorKind, float]:
        """Why no key is ready, the most hopeful reason there is, and in how many seconds one is.

        Infinity: when something happens, as when another request ends.
        """
        soonest: dict[ErrorKind, float] = {}
        is_busy = False
        for kind, until in self._obstacles(now, demand, exclude):
            soonest[kind] = min(until, soonest.get(kind, math.inf))
            is_busy = is_busy or (kind is ErrorKind.RATE_LIMITED and until == math.inf)
        for kind in _HOPEFUL_FIRST:
            if kind in _PASSING and kind in soonest:
                # Another key may be ready before the one that the reason is about.
                until = math.inf if is_busy else min(soonest.get(other, math.inf) for other in _PASSING)
                return kind, max(0.0, until - now)
            if kind in soonest:
                return kind, max(0.0, soonest[kind] - now)
        return ErrorKind.KEY_REJECTED, math.inf

    def ready_at(self, now: float, demand: Demand, exclude: frozenset[str] = _NOBODY) -> float:
        """The first moment at which a key is ready even if nothing happens until then; infinity if there is none."""
        return min((until for _, until in self._obstacles(now, demand, exclude)), default=math.inf)

    def refuses(self, now: float, model: str) -> bool:
        """Whether a key has refused a model lately, so that its requests wait for others only."""
        return any(
            (rest := state.model_rests.get(model)) is not None and rest.until > now
            for state in self._members.states.values()
            if state.model_rests
        )

    def _obstacles(self, now: float, demand: Demand, exclude: frozenset[str]) -> Iterable[tuple[ErrorKind, float]]:
        caches = self._warmth.caches(demand.prefix, now)
        for state in self._members.states.values():
            if state.key.name not in exclude:
                kind, until = self._obstacle(state, demand, caches, now) or (ErrorKind.RATE_LIMITED, now)
                if now < until < math.inf and kind is not ErrorKind.RATE_LIMITED:
                    # What comes after that obstacle.
                    allowance = state.organisation.allowance(demand.limit_class, demand.model)
                    until = max(until, allowance.ready_at(_uncached(demand, state.workspace, caches), now))
                yield kind, until

    # Probes

    def due_probes(self, now: float) -> list[str]:
        """The rejected keys that it is time to look at again; each is given once, until `probed` is told."""
        due = [state for state in self._members.states.values() if state.is_rejected and state.rest.until <= now]
        found = [state for state in due if not state.is_probed]
        for state in found:
            state.is_probed = True
        return [state.key.name for state in found]

    def probed(self, name: str, *, is_well: bool | None, now: float) -> None:
        """What a probe has shown; None is nothing, as when upstream could not be reached.

        A key that is well again is on trial, until a request of a caller succeeds.
        """
        state = self._members.states.get(name)
        if state is None or not state.is_rejected:
            return
        state.is_probed = False
        if is_well is None:
            state.rest.until = now + PROBE_AGAIN_SECONDS
            return
        if not is_well:
            state.rest.refuse(now, 0.0)
            return
        state.is_rejected = False
        state.is_on_trial = True
        state.set_room()
        self._members.welcome_back(state)
        self.news += 1


def _uncached(demand: Demand, workspace: Workspace, caches: Sequence[Cache]) -> int:
    """The tokens of a prompt that a workspace has not in its cache."""
    for cache in caches:
        if cache.workspace.current() is workspace:
            return max(0, demand.input_tokens - cache.tokens)
    return demand.input_tokens
