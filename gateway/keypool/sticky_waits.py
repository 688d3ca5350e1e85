"""Decides when a request should wait for one place: the workspace with its cache, or the account that signed it."""

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from gateway.keypool.domains import Organization, Workspace
from gateway.keypool.lease_request import LeaseRequest
from gateway.keypool.obstacles import PASSING, obstacle, obstacles
from gateway.keypool.warmth import Cache
from translators.errors import ErrorKind

# The longest wait for a cache: relative to the time in which the limits refill what the cache saves, and in total.
_PATIENCE: Final = 3.0
MOST_PATIENCE_SECONDS: Final = 3.0


class StickyWait(NamedTuple):
    """Where a request waits, when a key is ready there (infinity: depends on an event), and until when waiting pays.

    `organization` is the one whose keys it waits for, None if it waits for a workspace.
    """

    place: str
    ready_at: float
    until: float
    organization: Organization | None = None


def wait_for_cache(
    request: LeaseRequest, caches: Sequence[Cache], is_crowded: Callable[[Workspace], bool], now: float
) -> StickyWait | None:
    """The place with the cached prompt that is ready first; None if waiting does not pay.

    Without the cache the request would use up limits elsewhere. Waiting pays for as long as these would need to refill.
    """
    best: StickyWait | None = None
    for cache in caches:
        workspace = cache.workspace
        state = workspace.order.first()
        if state is None or state.host.is_suspect(request.limit_class, now):
            continue
        place = f"workspace {workspace.name}"
        rate_limits = state.organization.rate_limits(request.limit_class, request.model)
        bucket = rate_limits.input
        saved_seconds = min(cache.tokens, request.input_tokens) / bucket.per_second if bucket is not None else 0.0
        until = now + min(MOST_PATIENCE_SECONDS, _PATIENCE * saved_seconds)
        kind, ready_at = obstacle(state, rate_limits, request, caches, now) or (ErrorKind.RATE_LIMITED, now)
        if ready_at <= now:
            return StickyWait(place, now, until)
        if kind is not ErrorKind.RATE_LIMITED or is_crowded(workspace):
            continue
        if ready_at <= until and (best is None or ready_at < best.ready_at):
            best = StickyWait(place, ready_at, until)
    return best


def wait_for_account(
    organization: Organization, request: LeaseRequest, caches: Sequence[Cache], now: float, exclude: frozenset[str]
) -> StickyWait | None:
    """Wait for the first ready key of an account; None if that certainly takes too long.

    Signed parts are lost on any other account, however long the request is.
    """
    until = now + MOST_PATIENCE_SECONDS
    cached = max((cache.tokens for cache in caches if cache.workspace in organization.workspaces), default=0)
    rate_limits = organization.rate_limits(request.limit_class, request.model)
    # None of its keys is ready before this: they share the limits.
    earliest = rate_limits.ready_at(max(0, request.input_tokens - cached), now)
    if earliest > until:
        return None
    best: StickyWait | None = None
    for kind, moment in obstacles(organization.states.values(), request, caches, now, exclude):
        is_soon = moment <= until or (moment == math.inf and kind is ErrorKind.RATE_LIMITED)
        if kind in PASSING and is_soon and (best is None or moment < best.ready_at):
            best = StickyWait(f"organization {organization.name}", moment, until, organization)
            if moment <= earliest:
                break
    return best
