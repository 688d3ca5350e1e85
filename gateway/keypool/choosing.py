"""Chooses the key for a request, and decides where the request should rather wait."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from gateway.keypool.domains import KeyState, Organization
from gateway.keypool.host import Host
from gateway.keypool.key_registry import KeyRegistry
from gateway.keypool.lease_request import Account, LeaseRequest
from gateway.keypool.obstacles import Obstacle, most_hopeful, obstacle, obstacles
from gateway.keypool.rate_limits import RateLimits
from gateway.keypool.sticky_waits import StickyWait, wait_for_account, wait_for_cache
from gateway.keypool.strategies import COLD_SLACK, Strategy
from gateway.keypool.warmth import Cache, Warmth
from translators.errors import ErrorKind

# The maximum number of further workspaces and hosts to consider once a usable key was found.
_LOOKS: Final = 8
# Penalties of a key; each outweighs all that follow it.
_AVOIDED, _SUSPECT, _CROWDED, _HEADROOM = 8, 4, 2, 1

NOBODY: Final[frozenset[str]] = frozenset()


class _Search(NamedTuple):
    """The parameters of a search, needed only if the first key in order cannot serve."""

    now: float
    request: LeaseRequest
    caches: Sequence[Cache]
    exclude: frozenset[str]
    avoid: frozenset[str]


class KeyChooser:
    """Finds a key for each request among the registered keys, from what is known of them."""

    def __init__(self, strategy: Strategy, share: float) -> None:
        self._strategy = strategy
        self._warmth = Warmth()
        self._registry = KeyRegistry(strategy, share)
        # The number of leases that are out.
        self.in_flight = 0

    def __len__(self) -> int:
        return len(self._registry.states)

    @property
    def leaving(self) -> set[str]:
        """The keys that are no longer configured but still in use."""
        return {state.key.name for state in self._registry.leaving} - self._registry.states.keys()

    @property
    def states(self) -> Iterable[KeyState]:
        return self._registry.states.values()

    def state_of(self, name: str) -> KeyState | None:
        return self._registry.states.get(name)

    @property
    def organizations(self) -> Iterable[Organization]:
        return self._registry.organizations.values()

    @property
    def hosts(self) -> Mapping[str, Host]:
        return self._registry.hosts

    # Choosing

    def _choose(
        self,
        now: float,
        request: LeaseRequest,
        caches: Sequence[Cache],
        exclude: frozenset[str],
        avoid: frozenset[str],
        *,
        waits: bool,
    ) -> KeyState | None:
        """A ready key: one of the request's account if possible, otherwise almost always the first in order."""
        if request.account is not None and (organization := self._account_apart(request.account)) is not None:
            state = self._in_account(organization, _Search(now, request, caches, exclude, avoid))
            if state is not None:
                return state
            if waits and self._pays_to_wait(now, request, exclude, avoid):
                return None
        state = self._strategy.first(request, caches)
        if state is not None and not (exclude and state.key.name in exclude):
            rate_limits = state.organization.rate_limits(request.limit_class, request.model)
            is_ready = obstacle(state, rate_limits, request, caches, now) is None
            if is_ready and not self._penalty(state, rate_limits, request, caches, now, avoid):
                return state
        if waits and self._pays_to_wait(now, request, exclude, avoid):
            return None
        search = _Search(now, request, caches, exclude, avoid)
        state = self._look_around(self._strategy.candidates(request, caches), search)
        if state is not None and self._strategy.counts_turns:
            self._strategy.pass_over(state)
        return state

    def _in_account(self, organization: Organization, search: _Search) -> KeyState | None:
        """The best key of a request's account; None if there is none, or if other keys are more useful."""
        own = self._strategy.candidates_of(organization, search.request, search.caches)
        # Low headroom is no reason to keep looking: all keys of the account share it.
        state = self._look_around(own, search, bearable=_HEADROOM)
        if state is None or not _is_in_trouble(state, search):
            return state
        other = self._look_around(self._strategy.candidates(search.request, search.caches), search)
        if other is None or other.key.name in search.avoid or other.avoided_until > search.now:
            return state
        return state if other.host.is_suspect(search.request.limit_class, search.now) else None

    def _look_around(self, candidates: Iterable[KeyState], search: _Search, *, bearable: int = 0) -> KeyState | None:
        """The ready key with the smallest penalty; the first one among equals, or the first with a bearable penalty."""
        now, request, caches, exclude, avoid = search
        chosen: KeyState | None = None
        least_penalty = math.inf
        # Keys of the same workspace and host have nearly the same penalty.
        penalized: set[tuple[int, int]] = set()
        for state in candidates:
            alike = id(state.workspace), id(state.host)
            if state.key.name in exclude or (alike in penalized and state.key.name not in avoid):
                continue
            rate_limits = state.organization.rate_limits(request.limit_class, request.model)
            if obstacle(state, rate_limits, request, caches, now) is not None:
                continue
            penalty = self._penalty(state, rate_limits, request, caches, now, avoid)
            if penalty < least_penalty:
                chosen, least_penalty = state, penalty
            if state.key.name not in avoid:
                penalized.add(alike)
            if penalty <= bearable or len(penalized) > _LOOKS:
                break
        return chosen

    def _penalty(
        self,
        state: KeyState,
        rate_limits: RateLimits,
        request: LeaseRequest,
        caches: Sequence[Cache],
        now: float,
        avoid: frozenset[str],
    ) -> int:
        """How much speaks for looking further; 0 means that the key is fine."""
        penalty = 0
        if avoid and state.key.name in avoid:
            penalty += _AVOIDED
        host = state.host
        if state.avoided_until > now or (
            (host.awaited or host.breaker.suspect_until or host.classes) and host.is_suspect(request.limit_class, now)
        ):
            penalty += _SUSPECT
        strategy, workspace = self._strategy, state.workspace
        if workspace.in_flight >= COLD_SLACK and strategy.is_crowded(workspace, caches, self.in_flight):
            penalty += _CROWDED
        if request.limit_class in state.organization.awaited or (
            rate_limits.is_low and strategy.heeds_headroom and not any(cache.workspace is workspace for cache in caches)
        ):
            # Leave what little is left to requests that have no choice.
            penalty += _HEADROOM
        return penalty

    # Waiting

    def sticky_wait(
        self, now: float, request: LeaseRequest, *, exclude: frozenset[str] = NOBODY, avoid: frozenset[str] = NOBODY
    ) -> StickyWait | None:
        """Where a request should wait instead of using another key; None if waiting does not pay.

        A wait for its account also applies after a failure there, a wait for a cache does not.
        """
        caches = self._warmth.caches(request.prefix, now)
        if request.account is not None and (organization := self._account_apart(request.account)) is not None:
            sticky_wait = wait_for_account(organization, request, caches, now, exclude)
            if sticky_wait is not None:
                return sticky_wait
        if not caches or exclude or avoid or not self._strategy.heeds_caches:
            return None
        return wait_for_cache(
            request, caches, lambda workspace: self._strategy.is_crowded(workspace, caches, self.in_flight), now
        )

    def _pays_to_wait(self, now: float, request: LeaseRequest, exclude: frozenset[str], avoid: frozenset[str]) -> bool:
        sticky_wait = self.sticky_wait(now, request, exclude=exclude, avoid=avoid)
        return sticky_wait is not None and sticky_wait.ready_at > now

    def _account_apart(self, account: Account) -> Organization | None:
        """The organization of an account; None if it has no keys here, or if all keys belong to it."""
        organization = self._registry.organization_of(account)
        return organization if organization is not None and len(organization.states) < len(self) else None

    def why_none(self, now: float, request: LeaseRequest, exclude: frozenset[str] = NOBODY) -> tuple[ErrorKind, float]:
        """Why no key is ready (the reason that will pass soonest), and in how many seconds one will be.

        Infinity means that it depends on an event, such as the end of another request.
        """
        return most_hopeful(self._obstacles(now, request, exclude), now)

    def ready_at(self, now: float, request: LeaseRequest, exclude: frozenset[str] = NOBODY) -> float:
        """The earliest time at which a key becomes ready without any event; infinity if there is none."""
        return min((until for _, until in self._obstacles(now, request, exclude)), default=math.inf)

    def _obstacles(self, now: float, request: LeaseRequest, exclude: frozenset[str]) -> Iterable[Obstacle]:
        return obstacles(
            self._registry.states.values(), request, self._warmth.caches(request.prefix, now), now, exclude
        )

    def refuses(self, now: float, model: str) -> bool:
        """Whether a key has refused a model lately, so that requests for it can only use the others."""
        return any(
            (backoff := state.model_backoffs.get(model)) is not None and backoff.until > now
            for state in self._registry.states.values()
            if state.model_backoffs
        )


def _is_in_trouble(state: KeyState, search: _Search) -> bool:
    """Whether a request should rather use another account's key on a healthy host, if there is one.

    True if the key's host has failed this request before, or if no stream begins there, which may take long to notice.
    """
    if state.host.is_silent(search.now):
        return True
    return state.key.name in search.avoid and state.host.is_suspect(search.request.limit_class, search.now)
