"""The pool: gives out leases, and learns from what becomes of them.

Each fact is kept where it belongs: limits with the organisation and class of models, caches with the workspace,
refusals and concurrency with the key, network trouble with the host. All moments are seconds of one monotonic clock,
handed in.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.keypool.breaker import Breaker
from gateway.keypool.demand import Demand, Key, Lease, Outcome
from gateway.keypool.domains import (
    MAX_NOTED_MODELS,
    Host,
    KeyState,
    Organisation,
    Rest,
    Workspace,
    forget_oldest,
)
from gateway.keypool.strategies import StrategyName, strategy_of
from gateway.keypool.warmth import Cache, Warmth
from translators.errors import Blame, ErrorKind

# A 429 that names no time: a rate limit's bucket refills within seconds.
DEFAULT_COOLING_SECONDS: Final = 5.0
# After a probe that has shown nothing.
PROBE_AGAIN_SECONDS: Final = 5.0
# How long a request waits for its cache, next to how long the limits need for what it saves.
_PATIENCE: Final = 3.0
MOST_PATIENCE_SECONDS: Final = 3.0
# How many more workspaces and hosts are looked at once there is a key that would do.
_LOOKS: Final = 8

ORGANISATION_HEADER: Final = "anthropic-organization-id"
WORKSPACE_HEADER: Final = "anthropic-workspace-id"

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
        self._states: dict[str, KeyState] = {}
        self._places = itertools.count()
        self._organisations: dict[str, Organisation] = {}
        self._workspaces: dict[str, Workspace] = {}
        self._hosts: dict[str, Host] = {}
        # Keys that are no longer configured, as long as leases on them are out.
        self._leaving: set[KeyState] = set()
        # The limit of a class that others are measured by.
        self._measures: dict[str, float] = {}
        # What the configuration calls them, to what upstream does.
        self._known_as: dict[str, str] = {}
        self._warmth = Warmth()
        self._in_flight = 0
        self._strategy = strategy_of(settings.strategy, lambda: self._in_flight)
        # Grows when something may have made a key ready before the time that was foreseen.
        self.news = 0
        self.update(keys)

    def __len__(self) -> int:
        return len(self._states)

    @property
    def in_flight(self) -> int:
        """How many leases are out."""
        return self._in_flight

    @property
    def leaving(self) -> set[str]:
        """The keys that are no longer configured but still in use."""
        return {state.key.name for state in self._leaving} - self._states.keys()

    @property
    def settings(self) -> PoolSettings:
        """What the operator decided."""
        return self._settings

    @property
    def states(self) -> Iterable[KeyState]:
        """What is known of each key."""
        return self._states.values()

    @property
    def organisations(self) -> Iterable[Organisation]:
        """The organisations that keys belong to."""
        return self._organisations.values()

    @property
    def hosts(self) -> Mapping[str, Host]:
        """The hosts by their addresses."""
        return self._hosts

    # Keys come and go

    def update(self, keys: Iterable[Key], settings: PoolSettings | None = None) -> None:
        """These are the keys from now on, and the settings; of keys that stay everything stays known.

        Those that leave keep their leases. A key with another secret or host, or that belongs elsewhere, is a new one.
        """
        if settings is not None and settings != self._settings:
            self._settings = settings
            self._strategy = strategy_of(settings.strategy, lambda: self._in_flight)
            for state in self._states.values():
                # The strategy before may have changed turns that only its own ranking knows of.
                state.workspace.ranking.changed(state)
                self._strategy.add(state)
        wanted = {key.name: key for key in keys}
        for name, state in list(self._states.items()):
            if name not in wanted or _identity(wanted[name]) != _identity(state.key):
                self._remove(state)
        for key in wanted.values():
            known = self._states.get(key.name)
            if known is None:
                self._add(key)
            else:
                if known.key != key:
                    self._replace(known, key)
                # The operator may have done something about it: that is looked at soon.
                known.rest.until = -math.inf
                known.organisation.rest.until = -math.inf
        # In the order of the configuration, as `weighted` and all reports have them.
        self._states = {name: self._states[name] for name in wanted}
        together: dict[str, list[KeyState]] = {}
        for state in self._states.values():
            together.setdefault(state.organisation.name, []).append(state)
        for states in together.values():
            self._weigh(states)
        used = {state.key.host for state in (*self._states.values(), *self._leaving)}
        self._hosts = {name: host for name, host in self._hosts.items() if name in used}
        self.news += 1

    def _add(self, key: Key) -> None:
        organisation = self._organisation(key.organization or f"key {key.name}")
        workspace = self._workspace(key.workspace or f"key {key.name}")
        host = self._hosts.setdefault(key.host, Host())
        state = KeyState(key, next(self._places), organisation, workspace, host, self._ceiling(key))
        state.set_room()
        self._states[key.name] = state
        self._enter(state)

    def _replace(self, state: KeyState, key: Key) -> None:
        """A key has another weight, ceiling or priority."""
        self._leave(state)
        # A turn is worth more for a smaller weight.
        state.turns *= key.weight / state.key.weight
        state.key = key
        state.ceiling = self._ceiling(key)
        state.set_room()
        self._enter(state)

    def _remove(self, state: KeyState) -> None:
        state.is_gone = True
        if state.in_flight:
            self._leaving.add(state)
        self._leave(state)
        del self._states[state.key.name]

    def _enter(self, state: KeyState) -> None:
        self._catch_up(state)
        state.organisation.keys += 1
        self._organisations[state.organisation.name] = state.organisation
        self._join(state, state.workspace)
        self._strategy.add(state)

    def _leave(self, state: KeyState) -> None:
        state.organisation.keys -= 1
        if not state.organisation.keys:
            self._organisations.pop(state.organisation.name, None)
        workspace = state.workspace
        workspace.weight -= state.key.weight
        workspace.ranking.remove(state)
        if not workspace.weight:
            self._workspaces.pop(workspace.name, None)
        self._strategy.remove(state)

    def _join(self, state: KeyState, workspace: Workspace) -> None:
        state.workspace = workspace
        workspace.weight += state.key.weight
        workspace.ranking.add(state)
        self._workspaces[workspace.name] = workspace

    def _catch_up(self, state: KeyState) -> None:
        """Whoever comes, or comes back, does not make up for the turns of others."""
        others = (other.turns / other.key.weight for other in self._states.values() if other is not state)
        state.turns = max(state.turns, min(others, default=0.0) * state.key.weight)

    def _ceiling(self, key: Key) -> float:
        if key.max_concurrency is None:
            return math.inf
        # Rounded, since 98 * (1 / 49) is less than two.
        return max(1.0, round(key.max_concurrency * self._settings.share, 6))

    def _weigh(self, states: Sequence[KeyState]) -> None:
        """Give the workspaces of an organisation, whose keys these are, their parts of its limits, next to others'."""
        limits = states[0].organisation.limits
        for limit_class, limit in limits.items():
            # What the first one had is the measure: a measure that changes would move all homes.
            if len(self._measures) < MAX_NOTED_MODELS:
                self._measures.setdefault(limit_class, limit)
        ratios = [limit / self._measures[name] for name, limit in limits.items() if name in self._measures]
        size = sum(ratios) / len(ratios) if ratios else 1.0
        capacities: dict[str, float] = {}
        for state in states:
            name = state.workspace.name
            capacities[name] = capacities.get(name, 0.0) + state.key.weight / len(states) * size
        for name, capacity in capacities.items():
            workspace = self._workspaces[name]
            workspace.capacity = capacity
            self._strategy.settle(workspace)

    def _keys_of(self, organisation: Organisation) -> list[KeyState]:
        return [state for state in self._states.values() if state.organisation is organisation]

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
            if kind is not ErrorKind.RATE_LIMITED or bucket is None:
                continue
            patience = min(
                MOST_PATIENCE_SECONDS, _PATIENCE * min(cache.tokens, demand.input_tokens) / bucket.per_second
            )
            if ready_at <= now + patience:
                return Stay(workspace.name, ready_at, now + patience)
        return None

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
            self._discover(state, headers)
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
            self._weigh(self._keys_of(state.organisation))
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
        self._learn(lease, workspace, outcome, now)
        if not state.is_gone:
            state.workspace.ranking.changed(state)
            self._strategy.given_back(state)
        elif not state.in_flight:
            self._leaving.discard(state)
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
            for state in self._states.values()
            if state.model_rests
        )

    def _obstacles(self, now: float, demand: Demand, exclude: frozenset[str]) -> Iterable[tuple[ErrorKind, float]]:
        caches = self._warmth.caches(demand.prefix, now)
        for state in self._states.values():
            if state.key.name not in exclude:
                kind, until = self._obstacle(state, demand, caches, now) or (ErrorKind.RATE_LIMITED, now)
                if now < until < math.inf and kind is not ErrorKind.RATE_LIMITED:
                    # What comes after that obstacle.
                    allowance = state.organisation.allowance(demand.limit_class, demand.model)
                    until = max(until, allowance.ready_at(_uncached(demand, state.workspace, caches), now))
                yield kind, until

    # Learning

    def _learn(self, lease: Lease, workspace: Workspace, outcome: Outcome, now: float) -> None:
        state, demand, usage = lease.state, lease.demand, outcome.usage
        if outcome.kind is not None and outcome.blame is not Blame.NOBODY:
            state.last_error, state.last_error_at = outcome.kind.name.lower(), now
        if usage is not None and demand.prefix is not None:
            self._warmth.learn(demand, workspace, usage, now)
        if outcome.is_success:
            self._succeeded(lease)
            if usage is not None:
                lease.allowance.learn(demand.input_tokens, usage)
            return
        seconds = outcome.retry_after_seconds
        if outcome.blame in (Blame.HOST, Blame.SERVICE):
            self._host_failed(lease, outcome.blame, now)
            return
        if lease.is_trial:
            # Whatever else there is to say, its host has answered, or nothing was learned.
            self._trial_ended(lease, outcome)
        if outcome.blame is Blame.KEY:
            self._reject(state, now, seconds)
        elif outcome.blame is Blame.ORGANISATION:
            state.organisation.rest.refuse(now, seconds or 0.0)
        elif outcome.blame is Blame.KEY_AND_MODEL:
            forget_oldest(state.model_rests)
            state.model_rests.setdefault(demand.model, Rest()).refuse(now, 0.0)
        elif outcome.blame is Blame.KEY_LIMIT:
            # Whose it is may have turned out, or changed, since the head came.
            allowance = state.organisation.allowance(demand.limit_class, demand.model)
            allowance.cool(now + (DEFAULT_COOLING_SECONDS if seconds is None else seconds))
            if outcome.kind is ErrorKind.RAMPED_TOO_FAST:
                state.slow_down(lease.acquired_at, now)

    def _succeeded(self, lease: Lease) -> None:
        state = lease.state
        state.rest.refusals = 0
        if state.is_on_trial:
            state.is_on_trial = False
            state.set_room()
        state.organisation.rest.refusals = 0
        if state.model_rests:
            state.model_rests.pop(lease.demand.model, None)
        host = state.host
        if host.breaker.failures:
            host.breaker.succeed(lease.acquired_at)
        if host.classes and (breaker := host.classes.get(lease.demand.limit_class)) is not None:
            breaker.succeed(lease.acquired_at)
        state.speed_up()

    def _host_failed(self, lease: Lease, blame: Blame, now: float) -> None:
        host = lease.state.host
        breaker = host.breaker if blame is Blame.HOST else host.breaker_for(lease.demand.limit_class)
        breaker.fail(now, is_trial=lease.is_trial)
        if blame is Blame.SERVICE:
            # It has answered.
            host.breaker.succeed(lease.acquired_at)
        elif lease.is_trial and (tried := host.classes.get(lease.demand.limit_class)) is not None:
            # What it was to show of its class it has not.
            tried.end_trial(lease.acquired_at)

    def _trial_ended(self, lease: Lease, outcome: Outcome) -> None:
        host = lease.state.host
        for breaker in (host.breaker, host.classes.get(lease.demand.limit_class)):
            if breaker is None or breaker.is_closed:
                continue
            if outcome.kind is None:
                breaker.end_trial(lease.acquired_at)
            else:
                breaker.succeed(lease.acquired_at)

    def _reject(self, state: KeyState, now: float, seconds: float | None) -> None:
        if not state.is_rejected:
            state.rest.refuse(now, seconds or 0.0)
            state.is_rejected = True
        state.is_on_trial = False
        state.set_room()

    def due_probes(self, now: float) -> list[str]:
        """The rejected keys that it is time to look at again; each is given once, until `probed` is told."""
        due = [state for state in self._states.values() if state.is_rejected and state.rest.until <= now]
        found = [state for state in due if not state.is_probed]
        for state in found:
            state.is_probed = True
        return [state.key.name for state in found]

    def probed(self, name: str, *, is_well: bool | None, now: float) -> None:
        """What a probe has shown; None is nothing, as when upstream could not be reached.

        A key that is well again is on trial, until a request of a caller succeeds.
        """
        state = self._states.get(name)
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
        # Its turns are other ones now, so its place in all rankings is, too.
        self._leave(state)
        self._enter(state)
        self.news += 1

    # Domains

    def _discover(self, state: KeyState, headers: Mapping[str, str]) -> None:
        """Take in whose key it is, as its answer says."""
        organisation = headers.get(ORGANISATION_HEADER)
        if organisation and organisation != state.organisation.name:
            self._found_organisation(state, organisation)
        workspace = headers.get(WORKSPACE_HEADER)
        if workspace is None and organisation and not (state.workspace.is_known or state.key.workspace):
            # A default workspace has no name; its caches are the organisation's.
            workspace = organisation
        if workspace and workspace != state.workspace.name:
            self._found_workspace(state, workspace)

    def _found_organisation(self, state: KeyState, name: str) -> None:
        old = state.organisation
        new = self._organisations.get(name)
        if new is None and not old.is_known:
            # All that was put beside it by the configuration is the same organisation.
            del self._organisations[old.name]
            self._known_as[f"organisation {old.name}"] = name
            old.name, old.is_known = name, True
            self._organisations[name] = old
            return
        if new is None:
            new = self._organisations[name] = Organisation(name, self._settings.share, is_known=True)
        movers = [state]
        if not old.is_known:
            self._known_as[f"organisation {old.name}"] = name
            movers = self._keys_of(old)
            new.take_over(old)
        for mover in movers:
            mover.organisation = new
            new.keys += 1
            old.keys -= 1
        if old.keys:
            self._weigh(self._keys_of(old))
        else:
            self._organisations.pop(old.name, None)
        self._weigh(self._keys_of(new))

    def _found_workspace(self, state: KeyState, name: str) -> None:
        old = state.workspace
        new = self._workspaces.get(name)
        if new is None:
            new = self._workspaces[name] = Workspace(name, is_known=True)
        movers = [state]
        if not old.is_known:
            self._known_as[f"workspace {old.name}"] = name
            movers = list(old.ranking)
        for mover in movers:
            old.ranking.remove(mover)
            old.weight -= mover.key.weight
            self._join(mover, new)
        if not old.weight:
            self._workspaces.pop(old.name, None)
            new.in_flight += old.in_flight
            old.merged_into = new
        self._strategy.settle(old)
        self._weigh(self._keys_of(state.organisation))

    def _organisation(self, name: str) -> Organisation:
        known = self._known_as.get(f"organisation {name}")
        name = known or name
        return self._organisations.get(name) or Organisation(name, self._settings.share, is_known=known is not None)

    def _workspace(self, name: str) -> Workspace:
        known = self._known_as.get(f"workspace {name}")
        name = known or name
        return self._workspaces.get(name) or Workspace(name, is_known=known is not None)


def _identity(key: Key) -> tuple[object, ...]:
    return key.host, key.mark, key.organization, key.workspace


def _uncached(demand: Demand, workspace: Workspace, caches: Sequence[Cache]) -> int:
    """The tokens of a prompt that a workspace has not in its cache."""
    for cache in caches:
        if cache.workspace.current() is workspace:
            return max(0, demand.input_tokens - cache.tokens)
    return demand.input_tokens
