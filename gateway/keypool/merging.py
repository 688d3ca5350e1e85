"""The pool of all workers, from the view that each of them has of its own; pure.

What a worker counts is added up. What it has found out about upstream, the others may not have met yet: the worst
that one of them knows is shown, and `states` says how many agree. Figures of limits are estimates of the same bucket:
they are averaged over the workers that have some, and stand for the share of all.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from gateway.keypool.snapshot import (
    BreakerName,
    BreakerView,
    BucketView,
    HostView,
    KeyView,
    OrganizationView,
    PoolView,
    RateLimitsView,
    Standing,
    StateName,
    WorkspaceView,
)

# What upstream did, the worst first; then what only concerns a worker's own share, the best first.
_FINDINGS: Final[tuple[StateName, ...]] = ("taken_out", "rejected", "out_of_funds", "resting", "host_down", "cooling")
_ORDER: Final[tuple[StateName, ...]] = (*_FINDINGS, "ready", "on_trial", "paced", "full")
_RANKS: Final = {name: rank for rank, name in enumerate(_ORDER)}
_BREAKERS: Final[tuple[BreakerName, ...]] = ("open", "half_open", "suspect", "closed")

Owner = TypeVar("Owner", OrganizationView, WorkspaceView)


def merged(views: Sequence[PoolView]) -> PoolView:
    """One view of all; of none, an empty pool."""
    if not views:
        return PoolView("", 0.0, 0, 0)
    return PoolView(
        strategy=views[0].strategy,
        share=round(sum(view.share for view in views), 3),
        in_flight=sum(view.in_flight for view in views),
        queue_size=sum(view.queue_size for view in views),
        waiting=_waiting(views),
        keys=[_key(found) for found in _keys(views).values()],
        leaving=sorted({name for view in views for name in view.leaving}),
        organisations=[
            _organization(name, parts, keys, len(views))
            for name, parts, keys in _owners(views, lambda view: view.organisations)
        ],
        workspaces=[
            WorkspaceView(name, any(part.is_known for part in parts), keys, sum(part.in_flight for part in parts))
            for name, parts, keys in _owners(views, lambda view: view.workspaces)
        ],
        hosts=[_host(found) for found in _by(host for view in views for host in view.hosts).values()],
    )


def _by(hosts: Iterable[HostView]) -> dict[str, list[HostView]]:
    found: dict[str, list[HostView]] = {}
    for host in hosts:
        found.setdefault(host.url, []).append(host)
    return found


def _waiting(views: Sequence[PoolView]) -> dict[str, dict[str, int]]:
    summed: dict[str, dict[str, int]] = {}
    for view in views:
        for model_class, callers in view.waiting.items():
            counts = summed.setdefault(model_class, {})
            for caller, count in callers.items():
                counts[caller] = counts.get(caller, 0) + count
    return summed


# Keys


def _keys(views: Sequence[PoolView]) -> dict[str, list[KeyView]]:
    """The views of each key, with the names of its owners as far as one worker knows them."""
    organizations = _names(views, lambda view: view.organisations)
    workspaces = _names(views, lambda view: view.workspaces)
    found: dict[str, list[KeyView]] = {}
    for view in views:
        for key in view.keys:
            named = replace(key, organisation=organizations[key.name], workspace=workspaces[key.name])
            found.setdefault(key.name, []).append(named)
    return found


def _key(views: Sequence[KeyView]) -> KeyView:
    first = views[0]
    standing = _together([view.standing for view in views])
    states: dict[str, int] = {}
    for view in views:
        states[view.standing.state] = states.get(view.standing.state, 0) + 1
    latest = min(views, key=lambda view: _or_inf(view.last_error_seconds_ago))
    return replace(
        first,
        standing=standing,
        classes=_classes(views, standing),
        refused_models=_longest(view.refused_models for view in views),
        in_flight=sum(view.in_flight for view in views),
        room=_sum([view.room for view in views]),
        ceiling=_sum([view.ceiling for view in views]),
        window=_sum([view.window for view in views]),
        refusals=max(view.refusals for view in views),
        last_error=latest.last_error,
        last_error_seconds_ago=latest.last_error_seconds_ago,
        states=states if len(states) > 1 else {},
    )


def _classes(views: Sequence[KeyView], standing: Standing) -> dict[str, Standing]:
    """The classes of models for which the standing is another."""
    names = dict.fromkeys(name for view in views for name in view.classes)
    found = {name: _together([view.classes.get(name, view.standing) for view in views]) for name in names}
    return {name: each for name, each in found.items() if each.state != standing.state}


def _together(standings: Sequence[Standing]) -> Standing:
    state = min((standing.state for standing in standings), key=_RANKS.__getitem__)
    waits = [standing.for_seconds for standing in standings if standing.state == state]
    return Standing(state, (max if state in _FINDINGS else min)(waits, key=_or_inf))


# Owners


def _names(views: Sequence[PoolView], owners: Callable[[PoolView], Sequence[Owner]]) -> dict[str, str]:
    """The owner of each key: the one that upstream has named, if a worker knows it."""
    names: dict[str, str] = {}
    known: dict[str, str] = {}
    for view in views:
        for owner in owners(view):
            for key in owner.keys:
                names.setdefault(key, owner.name)
                if owner.is_known:
                    known.setdefault(key, owner.name)
    return names | known


def _owners(
    views: Sequence[PoolView], owners: Callable[[PoolView], Sequence[Owner]]
) -> list[tuple[str, list[Owner], list[str]]]:
    """Each owner's name, what the workers know of it under any name, and its keys."""
    names = _names(views, owners)
    found: dict[str, tuple[list[Owner], dict[str, None]]] = {}
    for view in views:
        for owner in owners(view):
            for name in dict.fromkeys(names[key] for key in owner.keys):
                parts, keys = found.setdefault(name, ([], {}))
                parts.append(owner)
                keys.update((key, None) for key in owner.keys if names[key] == name)
    return [(name, parts, list(keys)) for name, (parts, keys) in found.items()]


def _organization(name: str, parts: Sequence[OrganizationView], keys: list[str], workers: int) -> OrganizationView:
    allowances: dict[str, list[RateLimitsView]] = {}
    for part in parts:
        for allowance in part.allowances:
            allowances.setdefault(allowance.model_class, []).append(allowance)
    return OrganizationView(
        name=name,
        is_known=any(part.is_known for part in parts),
        keys=keys,
        out_of_funds_seconds=_max([part.out_of_funds_seconds for part in parts]),
        allowances=[_allowance(model_class, found, workers) for model_class, found in allowances.items()],
    )


def _allowance(model_class: str, parts: Sequence[RateLimitsView], workers: int) -> RateLimitsView:
    buckets: dict[str, list[BucketView]] = {}
    for part in parts:
        for name, bucket in part.buckets.items():
            buckets.setdefault(name, []).append(bucket)
    return RateLimitsView(
        model_class,
        _max([part.cooling_seconds for part in parts]),
        {name: _bucket(found, workers / len(found)) for name, found in buckets.items()},
    )


def _bucket(parts: Sequence[BucketView], scale: float) -> BucketView:
    columns = zip(*((part.limit, part.capacity, part.remaining, part.per_second) for part in parts), strict=True)
    return BucketView(*(round(sum(column) * scale, 3) for column in columns))


# Hosts


def _host(views: Sequence[HostView]) -> HostView:
    classes: dict[str, list[BreakerView]] = {}
    for view in views:
        for name, breaker in view.classes.items():
            classes.setdefault(name, []).append(breaker)
    return HostView(
        url=views[0].url,
        breaker=_breaker([view.breaker for view in views]),
        classes={name: _breaker(found) for name, found in classes.items()},
        awaited=sum(view.awaited for view in views),
        silent_seconds=_max([view.silent_seconds for view in views]),
    )


def _breaker(views: Sequence[BreakerView]) -> BreakerView:
    state = min((view.state for view in views), key=_BREAKERS.index)
    waits = [view.for_seconds for view in views if view.state == state]
    return BreakerView(state, _max(waits), max(view.failures for view in views))


# Numbers


def _or_inf(seconds: float | None) -> float:
    return math.inf if seconds is None else seconds


def _max(values: Sequence[float | None]) -> float | None:
    """The largest of those that are there."""
    return max((value for value in values if value is not None), default=None)


def _sum(values: Sequence[float | None]) -> float | None:
    """The sum; None, which is any number, if one of them is."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _longest(waits: Iterable[dict[str, float]]) -> dict[str, float]:
    longest: dict[str, float] = {}
    for found in waits:
        for name, seconds in found.items():
            longest[name] = max(seconds, longest.get(name, 0.0))
    return longest
