"""The operator's view of the pool at one moment. It changes nothing, and contains no secrets.

All times are seconds from now. Limits, ceilings and counts are those of this process; `share` is its part of the
whole. `merging.py` makes one view of those of several processes.
"""

import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, TypeVar

from gateway.keypool.breaker import Breaker
from gateway.keypool.domains import KeyState, Organization
from gateway.keypool.host import Host
from gateway.keypool.lease_queue import LeaseQueue
from gateway.keypool.pool import KeyPool
from gateway.keypool.rate_limits import RateLimits
from translators.models import limit_class

StateName: TypeAlias = Literal[
    "ready", "cooling", "paced", "full", "rejected", "on_trial", "host_down", "out_of_funds", "resting", "taken_out"
]
BreakerName: TypeAlias = Literal["closed", "suspect", "open", "half_open"]

# More digits are of no use to readers.
_DIGITS: Final = 3
_BUCKETS: Final = ("requests", "input", "output", "tokens")

T = TypeVar("T")
W = TypeVar("W", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a key can serve, and for how long at least; None means until some event."""

    state: StateName
    for_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class KeyView:
    """One key: its standing for the class of models that it can serve soonest, and for the classes that differ.

    `room` is the number of concurrent requests it may have now (None for any number): the lower one of its configured
    `ceiling` and its adaptive `window`. `refused_models` says for how long the key is not asked for them. `states` says
    how many workers see the key in which state, if they do not agree.
    """

    name: str
    host: str
    organisation: str
    workspace: str
    standing: Standing
    classes: dict[str, Standing]
    refused_models: dict[str, float]
    in_flight: int
    room: float | None
    ceiling: float | None
    window: float | None
    weight: int
    priority: int
    refusals: int
    last_error: str | None
    last_error_seconds_ago: float | None
    states: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BucketView:
    """One limit: per minute, the maximum level, the estimated current level, and the refill rate."""

    limit: float
    capacity: float
    remaining: float
    per_second: float


@dataclass(frozen=True, slots=True)
class RateLimitsView:
    """The limits of a class of models, as far as upstream has reported them."""

    model_class: str
    cooling_seconds: float | None
    buckets: dict[str, BucketView]


@dataclass(frozen=True, slots=True)
class OrganizationView:
    """An organization; until upstream has named it, it has the configuration's name or its key's."""

    name: str
    is_known: bool
    keys: list[str]
    out_of_funds_seconds: float | None
    allowances: list[RateLimitsView]


@dataclass(frozen=True, slots=True)
class WorkspaceView:
    """A workspace; named in the same way as an organization."""

    name: str
    is_known: bool
    keys: list[str]
    in_flight: int


@dataclass(frozen=True, slots=True)
class BreakerView:
    """Suspect: others are preferred. Open: no requests. Half open: one request may try."""

    state: BreakerName
    for_seconds: float | None
    failures: int


@dataclass(frozen=True, slots=True)
class HostView:
    """One address: its network, its service for each class of models, and the number of streams without a head yet."""

    url: str
    breaker: BreakerView
    classes: dict[str, BreakerView]
    awaited: int
    silent_seconds: float | None


@dataclass(frozen=True, slots=True)
class PoolView:
    """The whole pool; `leaving` are keys that are no longer configured but still in use.

    `waiting` counts the waiting requests by class of models and caller.
    """

    strategy: str
    share: float
    in_flight: int
    queue_size: int
    waiting: dict[str, dict[str, int]] = field(default_factory=dict)
    keys: list[KeyView] = field(default_factory=list)
    leaving: list[str] = field(default_factory=list)
    organisations: list[OrganizationView] = field(default_factory=list)
    workspaces: list[WorkspaceView] = field(default_factory=list)
    hosts: list[HostView] = field(default_factory=list)


def snapshot(pool: KeyPool, queue: LeaseQueue[W], now: float) -> PoolView:
    """The current state of the pool and its queue."""
    states = list(pool.states)
    organizations = _grouped(states, lambda state: state.organization)
    allowances = {
        id(organization): {name: _twin(rate_limits) for name, rate_limits in organization.limits_by_class.items()}
        for organization, _ in organizations
    }
    return PoolView(
        strategy=pool.settings.strategy,
        share=pool.settings.share,
        in_flight=pool.in_flight,
        queue_size=queue.size,
        waiting=queue.waiting,
        keys=[_key_view(state, allowances[id(state.organization)], now) for state in states],
        leaving=sorted(pool.leaving),
        organisations=[
            _organization_view(organization, allowances[id(organization)], keys, now)
            for organization, keys in organizations
        ],
        workspaces=[
            WorkspaceView(workspace.name, workspace.is_known, keys, workspace.in_flight)
            for workspace, keys in _grouped(states, lambda state: state.workspace)
        ],
        hosts=_host_views(states, now),
    )


def _twin(rate_limits: RateLimits) -> RateLimits:
    """A copy to query: a query adds the refill to the levels, which would change later choices."""
    twin = copy(rate_limits)
    for name in _BUCKETS:
        setattr(twin, name, copy(getattr(rate_limits, name)))
    return twin


# Keys


def _key_view(state: KeyState, allowances: Mapping[str, RateLimits], now: float) -> KeyView:
    by_class = {name: _standing(state, name, allowances.get(name), now) for name in _classes(state, allowances)}
    soonest = min(by_class.values(), key=_wait, default=_standing(state, "", None, now))
    return KeyView(
        name=state.key.name,
        host=state.key.host,
        organisation=state.organization.name,
        workspace=state.workspace.name,
        standing=soonest,
        classes={name: standing for name, standing in by_class.items() if standing.state != soonest.state},
        refused_models={
            model: _rounded(backoff.until - now)
            for model, backoff in state.model_backoffs.items()
            if backoff.until > now
        },
        in_flight=state.in_flight,
        room=_finite(state.room),
        ceiling=_finite(state.ceiling),
        window=_finite(state.window),
        weight=state.key.weight,
        priority=state.key.priority,
        refusals=state.backoff.refusals,
        last_error=state.last_error or None,
        last_error_seconds_ago=_rounded(now - state.last_error_at) if state.last_error else None,
    )


def _classes(state: KeyState, allowances: Mapping[str, RateLimits]) -> Iterator[str]:
    """The classes of models about which something is known."""
    yield from allowances
    yield from (name for name in state.host.classes if name not in allowances)


def _standing(state: KeyState, name: str, rate_limits: RateLimits | None, now: float) -> Standing:
    """The standing for the smallest possible request of a class of models; checks in the order of the pool."""
    host, funds = state.host, state.organization.backoff
    if state.is_taken_out:
        return Standing("taken_out")
    if state.is_rejected:
        return _until("rejected", state.backoff.until, now)
    if funds.until > now:
        return _until("out_of_funds", funds.until, now)
    if (workspace := state.workspace.backoff).until > now:
        return _until("resting", workspace.until, now)
    service = host.classes.get(limit_class(name))
    down_until = max(breaker.ready_at(now) for breaker in (host.breaker, service) if breaker is not None)
    if down_until > now:
        return _until("host_down", down_until, now)
    if state.in_flight + 1 > state.room:
        return Standing("on_trial" if state.is_on_trial else "full")
    if rate_limits is not None and (ready_at := rate_limits.ready_at(0, now)) > now:
        return _until("cooling" if rate_limits.cooling_until > now else "paced", ready_at, now)
    return Standing("on_trial" if state.is_on_trial else "ready")


def _wait(standing: Standing) -> float:
    if standing.state in ("ready", "on_trial"):
        return 0.0
    return math.inf if standing.for_seconds is None else standing.for_seconds


def _until(state: StateName, until: float, now: float) -> Standing:
    return Standing(state, _left(until, now))


# Domains


def _grouped(states: list[KeyState], owner_of: Callable[[KeyState], T]) -> list[tuple[T, list[str]]]:
    """Each owner with the names of its keys, in the order of the keys."""
    groups: dict[int, tuple[T, list[str]]] = {}
    for state in states:
        owner = owner_of(state)
        groups.setdefault(id(owner), (owner, []))[1].append(state.key.name)
    return list(groups.values())


def _organization_view(
    organization: Organization, allowances: Mapping[str, RateLimits], keys: list[str], now: float
) -> OrganizationView:
    return OrganizationView(
        name=organization.name,
        is_known=organization.is_known,
        keys=keys,
        out_of_funds_seconds=_left(organization.backoff.until, now) or None,
        allowances=[
            RateLimitsView(name, _left(rate_limits.cooling_until, now) or None, _bucket_views(rate_limits, now))
            for name, rate_limits in allowances.items()
        ],
    )


def _bucket_views(rate_limits: RateLimits, now: float) -> dict[str, BucketView]:
    views: dict[str, BucketView] = {}
    for name, bucket in rate_limits.buckets.items():
        if bucket is not None:
            bucket.seconds_until(0, now)
            figures = (bucket.limit, bucket.capacity, bucket.level, bucket.per_second)
            views[name] = BucketView(*map(_rounded, figures))
    return views


def _host_views(states: list[KeyState], now: float) -> list[HostView]:
    hosts = {state.key.host: state.host for state in states}
    return [_host_view(url, host, now) for url, host in hosts.items()]


def _host_view(url: str, host: Host, now: float) -> HostView:
    return HostView(
        url=url,
        breaker=_breaker_view(host.breaker, now),
        classes={name: _breaker_view(breaker, now) for name, breaker in host.classes.items()},
        awaited=host.awaited,
        silent_seconds=_rounded(now - host.silent_since) if host.awaited else None,
    )


def _breaker_view(breaker: Breaker, now: float) -> BreakerView:
    if breaker.is_closed:
        suspect = _left(breaker.suspect_until, now)
        return BreakerView("suspect" if suspect else "closed", suspect or None, breaker.failures)
    is_open = breaker.open_until > now
    return BreakerView("open" if is_open else "half_open", _left(breaker.ready_at(now), now) or None, breaker.failures)


# Numbers


def _left(until: float, now: float) -> float:
    return _rounded(max(0.0, until - now))


def _finite(value: float) -> float | None:
    return None if value == math.inf else _rounded(value)


def _rounded(value: float) -> float:
    return round(value, _DIGITS)
