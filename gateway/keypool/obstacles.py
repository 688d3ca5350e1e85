"""What keeps a key from serving a request, and until when."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

from gateway.keypool.domains import KeyState
from gateway.keypool.lease_request import LeaseRequest
from gateway.keypool.rate_limits import RateLimits
from gateway.keypool.warmth import Cache, uncached
from translators.errors import ErrorKind

# Infinity means until some event, such as the end of another request.
Obstacle: TypeAlias = tuple[ErrorKind, float]

# Which of several reasons to report: the one that passes soonest without intervention.
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
    state: KeyState, rate_limits: RateLimits, request: LeaseRequest, caches: Sequence[Cache], now: float
) -> Obstacle | None:
    """What keeps a key from serving, and until when; None if it is ready. `rate_limits` are its organization's."""
    if state.is_rejected or state.is_taken_out:
        return ErrorKind.KEY_REJECTED, math.inf
    organization, host = state.organization, state.host
    if organization.backoff.until > now:
        return ErrorKind.SPEND_LIMIT, organization.backoff.until
    if state.workspace.backoff.until > now:
        return state.workspace.backs_off_for, state.workspace.backoff.until
    if (
        state.model_backoffs
        and (backoff := state.model_backoffs.get(request.model)) is not None
        and backoff.until > now
    ):
        return ErrorKind.MODEL_REFUSED, backoff.until
    if not host.breaker.is_closed and (moment := host.breaker.ready_at(now, request.blamed)) > now:
        return ErrorKind.UNREACHABLE, moment
    if host.classes and (breaker := host.classes.get(request.limit_class)) is not None:
        moment = breaker.ready_at(now, request.blamed)
        if moment > now:
            return ErrorKind.OVERLOADED, moment
    if state.in_flight + 1 > state.room:
        return ErrorKind.RATE_LIMITED, math.inf
    tokens = uncached(request, state.workspace, caches) if caches else request.input_tokens
    moment = rate_limits.ready_at(tokens, now)
    return (ErrorKind.RATE_LIMITED, moment) if moment > now else None


def obstacles(
    states: Iterable[KeyState], request: LeaseRequest, caches: Sequence[Cache], now: float, exclude: frozenset[str]
) -> Iterator[Obstacle]:
    """The obstacle of each key that is not excluded, including rate limits; a ready key yields `now`."""
    for state in states:
        if state.key.name not in exclude:
            rate_limits = state.organization.rate_limits(request.limit_class, request.model)
            kind, until = obstacle(state, rate_limits, request, caches, now) or (ErrorKind.RATE_LIMITED, now)
            if now < until < math.inf and kind is not ErrorKind.RATE_LIMITED:
                until = max(until, rate_limits.ready_at(uncached(request, state.workspace, caches), now))
            yield kind, until


def most_hopeful(found: Iterable[Obstacle], now: float) -> Obstacle:
    """The reason to report, and in how many seconds one of the keys is ready."""
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
