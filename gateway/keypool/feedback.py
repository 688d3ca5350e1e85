"""Applies the outcome of an attempt to the state it concerns; `translators.errors` says who is to blame."""

from collections.abc import Mapping
from typing import Final

from gateway.keypool.backoff import LONGEST_TOLD_SECONDS, Backoff
from gateway.keypool.breaker import LONGEST_OPEN_ALONE_SECONDS, LONGEST_OPEN_SECONDS
from gateway.keypool.host import Host, forget_oldest
from gateway.keypool.lease import Lease
from gateway.keypool.lease_request import Outcome
from translators.errors import Blame, ErrorKind
from translators.usage import Usage

# For a 429 without a time: rate limits refill within seconds.
DEFAULT_COOLING_SECONDS: Final = 5.0


def learn_failure(lease: Lease, outcome: Outcome, now: float, hosts: Mapping[str, Host]) -> None:
    """Apply the failure of an attempt to its key, organization, limits or host.

    `hosts` are all hosts, including the one that was asked.
    """
    state = lease.state
    if outcome.kind is not None and outcome.blame is not Blame.NOBODY:
        state.last_error, state.last_error_at = outcome.kind.name.lower(), now
    for backoff in (state.organization.backoff, state.workspace.backoff):
        backoff.end_trial(lease.acquired_at)
    if outcome.blame in (Blame.HOST, Blame.SERVICE):
        _host_failed(lease, outcome.blame, now, hosts)
        return
    if lease.is_trial:
        # In all other cases the host has answered, or nothing was learned about it.
        _trial_ended(lease, outcome)
    _blame(lease, outcome, now)


def _blame(lease: Lease, outcome: Outcome, now: float) -> None:
    """Apply a failure that the host is not to blame for."""
    state, request, told_seconds = lease.state, lease.request, outcome.retry_after_seconds
    seconds = told_seconds or 0.0
    match outcome.blame:
        case Blame.KEY:
            state.reject(now, seconds)
        case Blame.KEY_IN_DOUBT:
            state.doubt(now)
        case Blame.WORKSPACE:
            state.workspace.backoff.refuse(now, seconds)
            state.workspace.backs_off_for = outcome.kind or ErrorKind.WORKSPACE_LIMIT
        case Blame.ORGANIZATION:
            state.organization.backoff.refuse(now, seconds)
        case Blame.KEY_AND_MODEL if not state.has_served(now, request.model):
            forget_oldest(state.model_backoffs)
            state.model_backoffs.setdefault(request.model, Backoff()).refuse(now, 0.0)
        case Blame.KEY_LIMIT:
            # The key's organization may have become known, or have changed, since the head arrived.
            rate_limits = state.organization.rate_limits(request.limit_class, request.model)
            cooling_seconds = DEFAULT_COOLING_SECONDS if told_seconds is None else told_seconds
            rate_limits.cool(now + min(cooling_seconds, LONGEST_TOLD_SECONDS))
            if outcome.kind is ErrorKind.RAMPED_TOO_FAST:
                state.slow_down(lease.acquired_at, now)


def learn_success(lease: Lease, usage: Usage | None, now: float) -> None:
    """An answer is complete."""
    state, host, model = lease.state, lease.state.host, lease.request.model
    if usage is not None:
        lease.rate_limits.learn(lease.request.input_tokens, usage, now - lease.acquired_at)
    if state.doubts or model not in state.served_at:
        state.served(model, now)
    state.served_at[model] = now
    state.backoff.refusals = 0
    if state.is_on_trial:
        state.is_on_trial = False
        state.set_room()
    if state.organization.backoff.refusals:
        state.organization.backoff.succeed(lease.acquired_at)
    if state.workspace.backoff.refusals:
        state.workspace.backoff.succeed(lease.acquired_at)
    if state.model_backoffs:
        state.model_backoffs.pop(model, None)
    if host.breaker.failures:
        host.breaker.succeed(lease.acquired_at)
    if host.classes and (breaker := host.classes.get(lease.request.limit_class)) is not None:
        breaker.succeed(lease.acquired_at)
    if state.window < state.ceiling:
        state.speed_up()


def _host_failed(lease: Lease, blame: Blame, now: float, hosts: Mapping[str, Host]) -> None:
    host, request = lease.state.host, lease.request
    breaker = host.breaker if blame is Blame.HOST else host.breaker_for(request.limit_class)
    has_blamed = request.has_blamed(breaker)
    if has_blamed and not lease.is_trial:
        breaker.fail_again(now)
    else:
        is_alone = not any(other.is_well(request.limit_class) for other in hosts.values() if other is not host)
        longest_seconds = LONGEST_OPEN_ALONE_SECONDS if is_alone else LONGEST_OPEN_SECONDS
        breaker.fail(now, is_trial=lease.is_trial, by=request.blamed, longest_seconds=longest_seconds)
    if request.blamed is not None and not has_blamed:
        request.blamed.append(breaker)
    if blame is Blame.SERVICE:
        # The host has answered.
        host.breaker.succeed(lease.acquired_at)
    elif lease.is_trial and (tried := host.classes.get(lease.request.limit_class)) is not None:
        # The trial has shown nothing about its class of models.
        tried.end_trial(lease.acquired_at)


def _trial_ended(lease: Lease, outcome: Outcome) -> None:
    host = lease.state.host
    for breaker in (host.breaker, host.classes.get(lease.request.limit_class)):
        if breaker is None or breaker.is_closed:
            continue
        if outcome.kind is None:
            breaker.end_trial(lease.acquired_at)
        else:
            breaker.succeed(lease.acquired_at)
