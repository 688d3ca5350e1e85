"""The loop of attempts to answer one request: another key takes over as long as the caller has seen nothing.

    async for attempt in exchange:
        async with attempt:
            return await deliver(await attempt.open(), attempt)

A failure inside an attempt ends that attempt; the loop continues with the next one or raises the caller's error. The
*commit point* is the first content that is sent to the caller. Before it another attempt can follow any failure; after
it failures are reported to the caller.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from gateway.keypool import MOST_PATIENCE_SECONDS, Breaker, Lease, LeaseRequest
from gateway.service.attempt import Attempt, always
from gateway.service.failures import (
    NOT_FOR_THIS_MODEL,
    UNKNOWN_MODEL,
    more_telling,
    no_key,
    with_wait,
)
from gateway.service.forms import Forms
from gateway.service.ports import Outgoing
from gateway.service.record import Progress
from gateway.service.retry import delay_before_retry, is_refusal
from gateway.service.services import NO_KEYS, Candidate, Services
from translators.errors import ErrorKind, FailedError, Failure
from translators.estimate import estimated_tokens
from translators.prefixes import digest_of

R = TypeVar("R", bound=Outgoing)

# How long a request that has no other key waits for a rejected key's new secret.
RENEWAL_SECONDS: Final = 10.0
# Prompts up to this estimate fit into every model's context window.
_FITS_TOKENS: Final = 100_000
_OVERLOADED: Final = ErrorKind.OVERLOADED
_OK: Final = 200


class NoAnswerError(AssertionError):
    """An exchange has ended without an answer and without a failure; this is a bug."""


class Exchange(Generic[R]):
    """The attempts to answer one request. `candidates` are the models that may answer, in order.

    The next candidate is asked if the one before is overloaded on all keys. `caller` is used for fairness in the queue;
    `prefix` is a digest of the conversation's beginning, so that it gets a key that has it in its prompt cache.
    `may_go_on` says whether another call may be made after one that may have cost something.
    """

    def __init__(
        self,
        services: Services,
        candidates: Sequence[Candidate[R]],
        *,
        caller: str = "",
        prefix: bytes | None = None,
        may_go_on: Callable[[], bool] = always,
    ) -> None:
        self._services = services
        self.progress = Progress(candidates[0].model, services.dispatcher.clock())
        self.forms = Forms(services, candidates, self.progress)
        self._caller = caller
        self._prefix = prefix
        self._may_go_on = may_go_on
        # The breakers that have counted this request as a failure: each counts it once.
        self._blamed: list[Breaker] = []
        self._round: _Round | None = None
        # The failure that made the exchange leave the previous model.
        self._overloaded: Failure | None = None

    def belongs_to(self, first: "Exchange[R]") -> None:
        """Share the count of failures with `first`, another choice of the same request: together they count once."""
        self._blamed = first._blamed

    def __aiter__(self) -> "Exchange[R]":
        return self

    async def __anext__(self) -> "Attempt[R]":
        """The next attempt, with a lease; raises `FailedError` if none is possible."""
        if self.progress.is_answered:
            raise StopAsyncIteration
        while True:
            current = self._round or await self._next_round()
            lease = self._services.dispatcher.acquire(
                current.lease_request, exclude=current.excluded, avoid=current.avoided
            )
            if lease is None:
                lease = await self._wait(current)
            if lease is not None:
                return Attempt(self._services, self.forms, self.progress, lease, self._failed, self._may_go_on)
            if not await self._wait_for_new_secret(current):
                if current.is_paid:
                    self._services.budget.give_back()
                failure = current.last or no_key(
                    self._services, self.progress.model, current.lease_request, current.excluded
                )
                self._end_round(with_wait(self._services, failure, current.lease_request))

    async def _next_round(self) -> "_Round":
        """Begin with the current model; the first round also counts the request in the retry budget."""
        if self._overloaded is None:
            self._services.budget.request()
        if self.forms.written is None:
            await self.forms.prepare_in_slices()
        self._round = _Round(self._lease_request(), self.forms.candidate.barred)
        return self._round

    def _lease_request(self) -> LeaseRequest:
        forms = self.forms
        candidate, request = forms.candidate, forms.written or forms.prepare()
        tokens = estimated_tokens(request.body) if request is not None else 0
        if tokens > _FITS_TOKENS:
            # Longer prompts are rejected, so never count more than the context window.
            tokens = min(tokens, self._services.models.row(candidate.model).context)
        streams = request is not None and request.streams
        prefix = self._prefix
        if forms.is_fallback and prefix is not None:
            # Another model has another cache.
            prefix = digest_of((candidate.model.encode(), prefix))
        limits = candidate.limits or candidate.model
        account = candidate.account
        return LeaseRequest(limits, tokens, prefix, self._caller, streams=streams, account=account, blamed=self._blamed)

    async def _wait(self, current: "_Round") -> Lease | None:
        """Wait in the queue, as long as another attempt may be made."""
        self.forms.expect_changes()
        dispatcher = self._services.dispatcher
        began_at = dispatcher.clock()
        if (
            self.forms.has_fallback
            and dispatcher.pool.why_none(began_at, current.lease_request, current.excluded)[0] is _OVERLOADED
        ):
            # Another model can answer at once.
            return None
        patience = self._services.policy.deadline_seconds - (began_at - self.progress.began_at)
        if self.forms.candidate.barred:
            # Other accounts can serve the request in another form.
            patience = min(patience, MOST_PATIENCE_SECONDS)
        waited = self.progress.waited_seconds
        try:
            return await dispatcher.wait(
                current.lease_request,
                exclude=current.excluded,
                avoid=current.avoided,
                patience_seconds=patience,
                waited_seconds=waited,
            )
        finally:
            self.progress.waited_seconds += dispatcher.clock() - began_at

    async def _wait_for_new_secret(self, current: "_Round") -> bool:
        """Wait for a rejected key's new secret, if one is being read; returns whether all keys may be asked again."""
        if current.renewal is None and current.last is None:
            current.renewal = self._renewal_by_others(current.lease_request)
        if current.renewal is None or not await _outcome_of(current.renewal):
            current.renewal = None
            return False
        current.renewal = None
        current.excluded, current.avoided = self.forms.candidate.barred, NO_KEYS
        return True

    def _renewal_by_others(self, lease_request: LeaseRequest) -> "asyncio.Future[bool] | None":
        """If every key is rejected: the reading of a new secret that another request has started."""
        services = self._services
        if services.pool.why_none(services.dispatcher.clock(), lease_request)[0] is not ErrorKind.KEY_REJECTED:
            return None
        rejected = (state.key.name for state in services.pool.states if state.is_rejected)
        return next(filter(None, map(services.on_refused, rejected)), None)

    # After a failed attempt

    async def _failed(self, lease: Lease, failure: Failure) -> None:
        """Decide what follows: returns if another attempt is due, otherwise raises the caller's error."""
        current = self._round
        assert current is not None, "attempts belong to a round"
        self.forms.expect_changes()
        self.progress.note(lease.key.name, failure)
        current.tries += not is_refusal(failure)
        if failure.kind is ErrorKind.KEY_REJECTED:
            current.renewal = self._services.on_refused(lease.key.name) or current.renewal
        if await self.forms.learn_from(lease, failure):
            current.is_paid = False
            return
        if self._is_final(current, lease, failure):
            self._end_round(failure)
            return
        current.last = more_telling(current.last, failure)
        if (given_up := await self._before_next(current, failure)) is not None:
            self._end_round(given_up)
            return
        if current.tries >= self._services.policy.max_attempts - 1:
            # The next attempt is the last, so it may use any account, even if signed thinking is left out for it.
            current.lease_request.account = None
        current.leave_out(lease, failure)

    def _is_final(self, current: "_Round", lease: Lease, failure: Failure) -> bool:
        """Whether another key would give the same answer."""
        if failure.kind in UNKNOWN_MODEL and self._services.models.find(self.progress.model) is None:
            # The model is unknown to the gateway too; a known one may be available to some accounts only.
            return True
        if not failure.rule.one_other:
            return False
        if current.has_asked_other:
            # Two keys agree; a third would not differ.
            return True
        current.has_asked_other = True
        # A key of another account is more informative.
        current.avoided |= frozenset(state.key.name for state in lease.state.organization.states.values())
        return False

    async def _before_next(self, current: "_Round", failure: Failure) -> Failure | None:
        """Wait as the retry policy says; returns the caller's error if there is no next attempt."""
        if self.progress.is_committed:
            return failure
        services = self._services
        if self._has_cost(failure) and not self._may_go_on():
            self.progress.failures.append("no retry: the budget does not pay for another attempt")
            return with_wait(services, current.last or failure, current.lease_request)
        now = services.dispatcher.clock()
        delay = delay_before_retry(
            failure,
            attempt=current.tries,
            elapsed_seconds=now - self.progress.began_at,
            policy=services.policy,
            jitter=services.jitter(),
        )
        is_paid = not is_refusal(failure)
        if delay is not None and is_paid and not services.budget.allows_retry(now):
            self.progress.failures.append("no retry: retries.budget_percent is used up")
            delay = None
        if delay is None:
            return with_wait(services, current.last or failure, current.lease_request)
        if delay:
            await services.sleep(delay)
        current.is_paid = is_paid
        return None

    def _has_cost(self, failure: Failure) -> bool:
        """Whether upstream may have billed the attempt that has failed: it has begun to answer, or has not said no."""
        status = self.progress.attempts[-1].status
        return status == _OK or (status is None and failure.kind is not ErrorKind.UNREACHABLE)

    def _end_round(self, failure: Failure) -> None:
        """Continue with another model, or raise the caller's error."""
        if self._switches_model(failure):
            self._overloaded = failure
            return
        first = self._overloaded
        if first is None or self.progress.is_committed or failure.kind not in NOT_FOR_THIS_MODEL:
            raise FailedError(failure)
        # The caller did not ask for this model, and the request may be fine for the one it asked for.
        self.progress.note(self.progress.model, failure)
        if not self._switches_model(first):
            raise FailedError(first)

    def _switches_model(self, failure: Failure) -> bool:
        """Switch to the next model if this one's class is overloaded on all keys; returns whether it has switched."""
        if failure.kind is not _OVERLOADED or not self.forms.has_fallback:
            return False
        if self._services.dispatcher.clock() - self.progress.began_at >= self._services.policy.deadline_seconds:
            return False
        self._round = None
        self.progress.model = self.progress.fallback = self.forms.fall_back()
        return True


class _Round:
    """The attempts with one model: the lease request, and the results so far.

    Keys that are `excluded` are not asked again; those that are `avoided` only if there is no other. `is_paid`: the
    next attempt was already taken from the retry budget.
    """

    __slots__ = ("avoided", "excluded", "has_asked_other", "is_paid", "last", "lease_request", "renewal", "tries")

    def __init__(self, lease_request: LeaseRequest, barred: frozenset[str]) -> None:
        self.lease_request = lease_request
        self.excluded = barred
        self.avoided = NO_KEYS
        self.tries = 0
        self.last: Failure | None = None
        self.renewal: asyncio.Future[bool] | None = None
        self.has_asked_other = False
        self.is_paid = False

    def leave_out(self, lease: Lease, failure: Failure) -> None:
        """Use another key next; a refused key is not used again."""
        # If the key was removed, its name may now belong to a successor with another secret.
        failed = NO_KEYS if lease.state.is_gone else frozenset({lease.key.name})
        self.avoided |= failed
        if is_refusal(failure):
            self.excluded |= failed


async def _outcome_of(renewal: "asyncio.Future[bool]") -> bool:
    """Whether a key has a new secret; a slow command is not awaited beyond the limit."""
    # Do not cancel it: other requests wait for the same reading, and it continues when this caller disconnects.
    done, _ = await asyncio.wait((renewal,), timeout=RENEWAL_SECONDS)
    return bool(done) and not renewal.cancelled() and renewal.exception() is None and renewal.result()
