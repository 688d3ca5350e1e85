"""Where a request had better wait a little than go: its prompt is cached there, or what it holds was signed there."""

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from gateway.keypool.domains import Organization, Workspace
from gateway.keypool.lease_request import LeaseRequest
from gateway.keypool.obstacles import PASSING, obstacle, obstacles
from gateway.keypool.warmth import Cache
from translators.errors import ErrorKind

# How long a request waits for its cache, next to how long the limits need for what it saves; and for anything at all.
_PATIENCE: Final = 3.0
MOST_PATIENCE_SECONDS: Final = 3.0


class StickyWait(NamedTuple):
    """Where a request waits, when a key is ready there (infinity: when something happens), and until when it pays.

    `organization` is whose keys it waits for, None where it waits for a workspace.
    """

    place: str
    ready_at: float
    until: float
    organization: Organization | None = None


def wait_for_cache(
    request: LeaseRequest, caches: Sequence[Cache], is_crowded: Callable[[Workspace], bool], now: float
) -> StickyWait | None:
    """The first place where a prompt is cached to be ready; None where waiting does not pay.

    What is cheap there costs limits elsewhere: so long as these need to make up for it, waiting takes nothing from
    anybody.
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
    """Wait for the first key of an account to be ready; None where it is clear that this takes too long, or for ever.

    What is signed is lost anywhere else, however long it is.
    """
    until = now + MOST_PATIENCE_SECONDS
    cached = max((cache.tokens for cache in caches if cache.workspace in organization.workspaces), default=0)
    rate_limits = organization.rate_limits(request.limit_class, request.model)
    # Before that none of its keys is: they share their limits.
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
