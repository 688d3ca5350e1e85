"""What stands in the way of a key's serving, and until when."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

from gateway.keypool.allowance import Allowance
from gateway.keypool.demand import Demand
from gateway.keypool.domains import KeyState
from gateway.keypool.warmth import Cache, uncached
from translators.errors import ErrorKind

# A moment of infinity is when something happens, as when another request ends.
Obstacle: TypeAlias = tuple[ErrorKind, float]

# What to tell where there are several reasons: what passes soonest by itself, first.
_HOPEFUL_FIRST: Final = (
    ErrorKind.RATE_LIMITED,
    ErrorKind.OVERLOADED,
    ErrorKind.UNREACHABLE,
    ErrorKind.MODEL_REFUSED,
    ErrorKind.WORKSPACE_UNAVAILABLE,
    ErrorKind.WORKSPACE_LIMIT,
    ErrorKind.SPEND_LIMIT,
    ErrorKind.KEY_REJECTED,
)
PASSING: Final = _HOPEFUL_FIRST[:3]


def obstacle(
    state: KeyState, allowance: Allowance, demand: Demand, caches: Sequence[Cache], now: float
) -> Obstacle | None:
    """What keeps a key from serving, and until when; None if it is ready. `allowance` holds its limits."""
    if state.is_rejected:
        return ErrorKind.KEY_REJECTED, math.inf
    organisation, host = state.organisation, state.host
    if organisation.rest.until > now:
        return ErrorKind.SPEND_LIMIT, organisation.rest.until
    if state.workspace.rest.until > now:
        return state.workspace.rests_for, state.workspace.rest.until
    if state.model_rests and (rest := state.model_rests.get(demand.model)) is not None and rest.until > now:
        return ErrorKind.MODEL_REFUSED, rest.until
    if not host.breaker.is_closed and (moment := host.breaker.ready_at(now, demand.blamed)) > now:
        return ErrorKind.UNREACHABLE, moment
    if host.classes and (breaker := host.classes.get(demand.limit_class)) is not None:
        moment = breaker.ready_at(now, demand.blamed)
        if moment > now:
            return ErrorKind.OVERLOADED, moment
    if state.in_flight + 1 > state.room:
        return ErrorKind.RATE_LIMITED, math.inf
    tokens = uncached(demand, state.workspace, caches) if caches else demand.input_tokens
    moment = allowance.ready_at(tokens, now)
    return (ErrorKind.RATE_LIMITED, moment) if moment > now else None


def obstacles(
    states: Iterable[KeyState], demand: Demand, caches: Sequence[Cache], now: float, exclude: frozenset[str]
) -> Iterator[Obstacle]:
    """What keeps each key that is not excluded, with the limits that come after it; a ready one is ready `now`."""
    for state in states:
        if state.key.name not in exclude:
            allowance = state.organisation.allowance(demand.limit_class, demand.model)
            kind, until = obstacle(state, allowance, demand, caches, now) or (ErrorKind.RATE_LIMITED, now)
            if now < until < math.inf and kind is not ErrorKind.RATE_LIMITED:
                until = max(until, allowance.ready_at(uncached(demand, state.workspace, caches), now))
            yield kind, until


def most_hopeful(found: Iterable[Obstacle], now: float) -> Obstacle:
    """The reason to tell of several keys' reasons, and in how many seconds one of the keys is ready."""
    soonest: dict[ErrorKind, float] = {}
    is_busy = False
    for kind, until in found:
        soonest[kind] = min(until, soonest.get(kind, math.inf))
        is_busy = is_busy or (kind is ErrorKind.RATE_LIMITED and until == math.inf)
    for kind in _HOPEFUL_FIRST:
        if kind in PASSING and kind in soonest:
            # Another key may be ready before the one that the reason is about.
            until = math.inf if is_busy else min(soonest.get(other, math.inf) for other in PASSING)
            return kind, max(0.0, until - now)
        if kind in soonest:
            return kind, max(0.0, soonest[kind] - now)
    return ErrorKind.KEY_REJECTED, math.inf
