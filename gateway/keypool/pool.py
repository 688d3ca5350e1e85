"""The pool: gives out leases, and learns from their outcomes.

Each fact is kept where it belongs: limits with the organization and class of models, caches with the workspace,
refusals and concurrency with the key, network failures with the host. All times are seconds of one monotonic clock,
passed as arguments.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.keypool.breaker import Breaker
from gateway.keypool.choosing import NOBODY, KeyChooser
from gateway.keypool.domains import KeyState
from gateway.keypool.feedback import learn_failure, learn_success
from gateway.keypool.host import Host
from gateway.keypool.lease import Lease
from gateway.keypool.lease_request import Account, Key, LeaseRequest, Outcome
from gateway.keypool.strategies import StrategyName, strategy_of
from gateway.keypool.warmth import Cache, uncached
from translators.errors import ErrorKind

# After an inconclusive probe.
PROBE_AGAIN_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """The operator's settings; `share` is this process's share of every limit and ceiling."""

    strategy: StrategyName = "affinity"
    share: float = 1.0


class KeyPool(KeyChooser):
    """All keys and their state: gives out leases, and learns from their outcomes."""

    def __init__(self, keys: Iterable[Key], settings: PoolSettings = PoolSettings()) -> None:
        super().__init__(strategy_of(settings.strategy), settings.share)
        self.settings = settings
        # Incremented when a key may be ready earlier than predicted.
        self.version = 0
        self.update(keys)

    # Updates

    def update(self, keys: Iterable[Key], settings: PoolSettings | None = None) -> None:
        """Replace the set of keys, and the settings; what is known of unchanged keys is kept.

        Removed keys keep their leases. A key with another secret, host, organization or workspace counts as a new one.
        """
        if settings is not None and settings != self.settings:
            self.settings = settings
            self._strategy = strategy_of(settings.strategy)
            self._registry.rank_by(self._strategy, settings.share)
        self._registry.update(keys)
        self.version += 1

    # Leases

    def acquire(
        self,
        now: float,
        request: LeaseRequest,
        *,
        exclude: frozenset[str] = NOBODY,
        avoid: frozenset[str] = NOBODY,
        waits: bool = False,
    ) -> Lease | None:
        """A lease on a ready key that is not excluded, or None; avoided keys are used only if there is no other.

        Keys of the request's account are preferred. With `waits`, the result is also None if the request should rather
        wait for one place (see `sticky_wait`).
        """
        caches = self._warmth.caches(request.prefix, now)
        state = self._choose(now, request, caches, exclude, avoid, waits=waits)
        return None if state is None else self._lease(state, request, caches, now)

    def cool(self, limit_class: str, until: float) -> None:
        """Upstream must not be asked for a class of models before `until`, with any key."""
        for organization in self._registry.organizations.values():
            organization.rate_limits(limit_class, limit_class).cool(until)

    def account_of(self, lease: Lease) -> Account:
        """The account that a lease's key belongs to, as far as it is known."""
        organization = lease.state.organization
        return Account(organization.name if organization.is_known else "", lease.key.mark)

    def workspace_of(self, lease: Lease) -> str:
        """The workspace that a lease's key belongs to, "" if it is not known."""
        workspace = lease.state.workspace.current()
        return workspace.name if workspace.is_known else ""

    def elsewhere(self, account: Account, workspace: str) -> frozenset[str]:
        """The keys that do not reach what a key of that account has stored in a workspace ("" if that is not known)."""
        return frozenset(
            name
            for name, state in self._registry.states.items()
            if not (account.key and state.key.mark == account.key)
            and not (workspace and state.workspace.is_known and state.workspace.name == workspace)
        )

    def is_of(self, lease: Lease, account: Account) -> bool:
        """Whether a lease's key can verify what that account has signed, as far as is known."""
        organization = lease.state.organization
        if account.key and account.key == lease.key.mark:
            return True
        if organization.is_known and account.organization == organization.name:
            return True
        return self._registry.organization_of(account) is organization

    def _lease(self, state: KeyState, request: LeaseRequest, caches: Sequence[Cache], now: float) -> Lease:
        organization, workspace, host = state.organization, state.workspace, state.host
        rate_limits = organization.rate_limits(request.limit_class, request.model)
        lease = Lease(state, rate_limits, request, now)
        rate_limits.reserve(lease, uncached(request, workspace, caches) if caches else request.input_tokens)
        self.in_flight += 1
        workspace.in_flight += 1
        state.in_flight += 1
        state.turns += 1
        state.order.move(state)
        if organization.backoff.refusals:
            organization.backoff.begin_trial(now)
        if workspace.backoff.refusals:
            workspace.backoff.begin_trial(now)
        if host.breaker.failures:
            lease.is_trial = _pass(host.breaker, request, now)
        if host.classes and (breaker := host.classes.get(request.limit_class)) is not None and breaker.failures:
            lease.is_trial = _pass(breaker, request, now) or lease.is_trial
        if request.streams:
            if not host.awaited:
                host.silent_since = now
            host.awaited += 1
        return lease

    def answered(self, lease: Lease, headers: Mapping[str, str], now: float, *, status: int = 200) -> None:
        """The head of an answer has arrived, with any status; header names are lower case."""
        state, request = lease.state, lease.request
        lease.is_answered = True
        is_good = status == 200
        if request.streams:
            state.host.awaited -= 1
            state.host.silent_since = now
        organization = state.organization
        if is_good and (lease.is_trial or organization.backoff.refusals or state.workspace.backoff.refusals):
            _trial_went_well(lease)
        if not state.is_gone:
            self._registry.discover(state, headers)
            organization = state.organization
        rate_limits = organization.rate_limits(request.limit_class, request.model)
        if rate_limits.told_for != request.model and rate_limits.differs_for(request.model, headers):
            rate_limits = organization.split(request.model, rate_limits.cooling_until)
        if rate_limits is not lease.rate_limits:
            # The reservation was made on limits that turn out not to be the ones it counts against.
            lease.rate_limits.never_sent(lease.input_tokens)
            lease.rate_limits.give_back(lease.output_tokens)
            lease.rate_limits, lease.output_mark = rate_limits, 0.0
            rate_limits.reserve(lease, lease.input_tokens)
        lease.answered_at = now
        rate_limits.answered(lease.input_tokens, headers, now, is_counted=is_good)
        if rate_limits.limit != organization.limits.get(request.limit_class) and not state.is_gone:
            self._registry.learn_limit(organization, request.limit_class, rate_limits.limit)
        self.version += 1
        organization.version += 1

    def release(self, lease: Lease, outcome: Outcome, now: float) -> None:
        """Return a lease, with its outcome."""
        state, usage = lease.state, outcome.usage
        workspace = lease.workspace if lease.workspace.merged_into is None else lease.workspace.current()
        self.in_flight -= 1
        workspace.in_flight -= 1
        state.in_flight -= 1
        if not lease.is_answered:
            state.host.awaited -= lease.request.streams
            lease.rate_limits.never_sent(lease.input_tokens)
        lease.rate_limits.settle(lease, usage, now)
        if usage is not None and lease.request.prefix is not None:
            self._warmth.learn(lease.request, workspace, usage, now)
        if outcome.is_success:
            learn_success(lease, usage, now)
        else:
            learn_failure(lease, outcome, now, self._registry.hosts)
        if not state.is_gone:
            state.order.move(state)
        elif not state.in_flight:
            self._registry.leaving.discard(state)
        self.version += 1
        state.organization.version += 1

    def usable(self, now: float) -> int:
        """How many keys requests can use, now or when their limits allow it: accepted, in funds, their host up."""
        return sum(
            not (state.is_rejected or state.is_taken_out)
            and state.organization.backoff.until <= now
            and state.workspace.backoff.until <= now
            and state.host.breaker.is_closed
            for state in self.states
        )

    def _has_changed(self, state: KeyState) -> None:
        """A key may be ready earlier than predicted."""
        self.version += 1
        state.organization.version += 1

    # Probes

    def take_out(self, name: str, *, is_out: bool) -> bool:
        """Take a key out, or put it back; returns whether there is such a key. Its running requests go on."""
        if (state := self._registry.states.get(name)) is None:
            return False
        state.is_taken_out = is_out
        self._has_changed(state)
        return True

    def ask_again(self, name: str, now: float) -> bool:
        """Let a key be probed at once; returns whether there is such a key."""
        if (state := self._registry.states.get(name)) is None:
            return False
        if state.is_rejected:
            state.backoff.until = now
        else:
            state.probe_at = now
        return True

    def strangers(self) -> list[str]:
        """The keys whose organization is unknown, each returned once; not needed if there is only one key."""
        states = self._registry.states.values()
        found = [state for state in states if not (state.organization.is_known or state.is_introduced)]
        if len(states) < 2:
            return []
        for state in found:
            state.is_introduced = True
        return [state.key.name for state in found]

    def introduced(self, name: str, headers: Mapping[str, str]) -> None:
        """An answer that counts against no limit has told the organization of a key."""
        if (state := self._registry.states.get(name)) is not None:
            self._registry.discover(state, headers)
            self._has_changed(state)

    def due_probes(self, now: float) -> list[str]:
        """The rejected and doubted keys that are due for a probe; each is returned once, until `probed` is called."""
        due = [
            state
            for state in self._registry.states.values()
            if (state.backoff.until if state.is_rejected else state.probe_at) <= now
        ]
        found = [state for state in due if not state.is_probed]
        for state in found:
            state.is_probed = True
        return [state.key.name for state in found]

    def down_hosts(self) -> list[tuple[Host, str]]:
        """The hosts with an open breaker, each with a key for the probe; each once, until `host_probed` is called."""
        down = {id(host) for host in self.hosts.values() if not (host.breaker.is_closed or host.is_probed)}
        found: list[tuple[Host, str]] = []
        for state in self._registry.states.values() if down else ():
            if id(state.host) in down and not state.is_rejected:
                down.discard(id(state.host))
                state.host.is_probed = True
                found.append((state.host, state.key.name))
        return found

    def host_probed(self, host: Host, *, is_well: bool, now: float) -> None:
        """Apply the result of a host's probe."""
        host.is_probed = False
        if is_well and not host.breaker.is_closed:
            host.breaker.shown_well(now)
            self.version += 1

    def probed(self, name: str, *, is_well: bool | None, now: float) -> None:
        """Apply the result of a probe; None means inconclusive, for example because upstream could not be reached.

        A rejected key that works again is on trial until a caller's request succeeds. A doubted key that is refused is
        rejected, unless it has answered a moment ago.
        """
        state = self._registry.states.get(name)
        if state is None:
            return
        state.is_probed = False
        if state.is_rejected:
            self._probed_rejected(state, is_well, now)
        elif state.probe_at < math.inf:
            if is_well:
                state.probe_at, state.found_well_at = math.inf, now
            elif is_well is None or state.has_served(now):
                state.probe_at = now + PROBE_AGAIN_SECONDS
            else:
                state.reject(now)
                state.last_error, state.last_error_at = ErrorKind.KEY_REJECTED.name.lower(), now

    def _probed_rejected(self, state: KeyState, is_well: bool | None, now: float) -> None:
        if is_well is None:
            state.backoff.until = now + PROBE_AGAIN_SECONDS
            return
        if not is_well:
            state.backoff.refuse(now, 0.0)
            return
        state.accept(now)
        self._registry.welcome_back(state)
        self._has_changed(state)


def _trial_went_well(lease: Lease) -> None:
    """An answer has begun: end the trials of this lease successfully, without waiting for the end of the answer."""
    state = lease.state
    state.organization.backoff.end_trial(lease.acquired_at, is_well=True)
    state.workspace.backoff.end_trial(lease.acquired_at, is_well=True)
    if lease.is_trial:
        state.host.breaker.half_close()
        if (breaker := state.host.classes.get(lease.request.limit_class)) is not None:
            breaker.half_close()


def _pass(breaker: Breaker, request: LeaseRequest, now: float) -> bool:
    """Let an attempt pass a breaker that may not be closed; whether it is a trial."""
    if not request.has_blamed(breaker):
        breaker.attempts += 1
    if breaker.is_closed:
        return False
    breaker.begin_trial(now)
    return True
