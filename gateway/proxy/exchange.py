"""One request's attempts: a key, a call, an answer, and another key as long as the caller has seen nothing.

    async for attempt in exchange:
        async with attempt:
            return await deliver(await attempt.open(), attempt)

A failure inside of an attempt ends that attempt, and the loop goes on with the next one or raises what the caller is
told. The *commit point* is the first content that goes to the caller. Before it any failure can be answered by another
attempt; after it, a failure is the caller's to know.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Final, Generic, TypeVar

from gateway.keypool import MOST_PATIENCE_SECONDS, Account, Breaker, Demand, Lease, Outcome
from gateway.proxy.makers import Maker
from gateway.proxy.memory import TurnMemory
from gateway.proxy.ports import Call, Endpoint, Outgoing, UpstreamAnswer
from gateway.proxy.record import AttemptRecord, Progress
from gateway.proxy.refusals import (
    NOT_FOR_THIS_MODEL,
    NOT_THERE,
    is_stream,
    more_telling,
    no_key,
    refusal_of,
    when_ready,
)
from gateway.proxy.retry import delay_before_retry, is_refusal
from gateway.proxy.services import NO_KEYS, Candidate, Services
from translators.errors import ErrorKind, FailedError, Failure
from translators.estimate import estimated_tokens
from translators.hosts import HostProfile
from translators.prefixes import digest_of
from translators.usage import Usage

R = TypeVar("R", bound=Outgoing)

# How long a request that has no other key waits for the new secret of a rejected key.
RENEWAL_SECONDS: Final = 10.0
# How many corrections of what the gateway wrote are tried for one request.
MAX_LESSONS: Final = 3
# Up to this estimate a prompt fits into every model's context window.
_FITS_TOKENS: Final = 100_000
_OVERLOADED: Final = ErrorKind.OVERLOADED
# Every model writes as much as that.
_SURE_OUTPUT_TOKENS: Final = 4_096


class NoAnswerError(AssertionError):
    """An exchange has ended without an answer and without a failure, which it never does."""


class Exchange(Generic[R]):
    """The attempts at answering one request; candidates after the first stand in where those before are overloaded.

    `caller` is whose turn it is in the queue, `prefix` what the request shares with those that begin alike.
    """

    def __init__(
        self, services: Services, candidates: Sequence[Candidate[R]], *, caller: str = "", prefix: bytes | None = None
    ) -> None:
        self.services = services
        # None behind the commit point: a request may be many megabytes, and its stream go on for minutes.
        self._candidates: Sequence[Candidate[R]] | None = candidates
        self._place = 0
        self.progress = Progress(candidates[0].model)
        self._caller = caller
        self._prefix = prefix
        self._began_at = services.dispatcher.clock()
        self.is_committed = False
        # Whether an attempt runs, so that an answer may begin at any moment.
        self.is_asking = False
        self._is_answered = False
        self._lessons = 0
        self._blamed: list[Breaker] = []
        # The latest form of the request: what the running attempt has sent; before it, what it would send.
        self._sent: R | None = None
        # For which kind of host that was written ahead, while nothing can have been learned since.
        self._prepared_for: HostProfile | None = None
        self._round: _Round | None = None
        # Why the models before the present one were left.
        self._overloaded: Failure | None = None

    def belongs_to(self, first: "Exchange[R]") -> None:
        """They are one request, as several choices are: what upstream fails them with counts once."""
        self._blamed = first._blamed

    def prepare(self) -> R | None:
        """Translate for the first host, so that what cannot be translated fails before anything else is done."""
        endpoint = next(iter(self.services.endpoints.values()), None)
        if endpoint is not None:
            # Nearly always it is the account that has signed what the request holds.
            self._sent = self._written(endpoint, is_home=True)
            self._prepared_for = endpoint.profile
        return self._sent

    async def prepare_in_turns(self) -> None:
        """What `prepare` does for a large request, while others have their turns."""
        endpoint = next(iter(self.services.endpoints.values()), None)
        if endpoint is not None and self._candidate.write_in_turns is not None:
            await self._candidate.write_in_turns(endpoint.profile, True)

    def commit(self) -> None:
        """The caller has seen content: from now on no other key can take over, and nothing is sent again."""
        if not self.is_committed:
            self.is_committed = True
            self._candidates = self._sent = None
            self.progress.first_token_seconds = self.services.dispatcher.clock() - self._began_at

    async def explained(self, failure: Failure) -> Failure:
        """What the attempts have failed with, in the caller's terms; behind the commit point as it is."""
        if self._sent is None or self._candidate.explain is None:
            return failure
        return await self._candidate.explain(failure, self._sent)

    def __aiter__(self) -> "Exchange[R]":
        return self

    async def __anext__(self) -> "Attempt[R]":
        """The next attempt, which has a key; raises `FailedError` where none can be made."""
        if self._is_answered:
            raise StopAsyncIteration
        while True:
            now = self._round or await self._next_round()
            lease = self.services.dispatcher.acquire(now.demand, exclude=now.excluded, avoid=now.avoided)
            if lease is None:
                lease = await self._wait(now)
            if lease is not None:
                return Attempt(self, lease)
            if not await self._has_renewed_a_key(now):
                if now.is_paid:
                    self.services.budget.give_back()
                failure = now.last or no_key(self.services, self.progress.model, now.demand, now.excluded)
                self._end_round(when_ready(self.services, failure, now.demand))

    async def _next_round(self) -> "_Round":
        """Begin to ask a model."""
        if self._overloaded is None:
            self.services.budget.request()
        if self._sent is None:
            await self.prepare_in_turns()
        self._round = _Round(self._demand(), self._candidate.barred)
        return self._round

    def _demand(self) -> Demand:
        candidate, request = self._candidate, self._sent
        if request is None:
            request = self.prepare()
        tokens = estimated_tokens(request.body) if request is not None else 0
        if tokens > _FITS_TOKENS:
            # No more than that is ever counted: what is longer is refused.
            tokens = min(tokens, self.services.models.row(candidate.model).context)
        streams = request is not None and request.streams
        prefix = self._prefix
        if self._place and prefix is not None:
            # Another model has another cache.
            prefix = digest_of((candidate.model.encode(), prefix))
        limits = candidate.limits or candidate.model
        account = candidate.account
        return Demand(limits, tokens, prefix, self._caller, streams=streams, account=account, blamed=self._blamed)

    async def _wait(self, now: "_Round") -> Lease | None:
        """Wait in the queue, as long as another attempt may be begun."""
        self._prepared_for = None
        dispatcher = self.services.dispatcher
        began_at = dispatcher.clock()
        if self._has_fallback and dispatcher.pool.why_none(began_at, now.demand, now.excluded)[0] is _OVERLOADED:
            # Another model is ready to answer at once.
            return None
        patience = self.services.policy.deadline_seconds - (began_at - self._began_at)
        if self._candidate.barred:
            # Others can serve what is asked for in another form.
            patience = min(patience, MOST_PATIENCE_SECONDS)
        waited = self.progress.waited_seconds
        try:
            return await dispatcher.wait(
                now.demand,
                exclude=now.excluded,
                avoid=now.avoided,
                patience_seconds=patience,
                waited_seconds=waited,
            )
        finally:
            self.progress.waited_seconds += dispatcher.clock() - began_at

    async def _has_renewed_a_key(self, now: "_Round") -> bool:
        """Whether a rejected key has a new secret, so that all keys may be asked again."""
        if now.renewal is None and now.last is None:
            now.renewal = self._renewal_by_others(now.demand)
        if now.renewal is None or not await _outcome_of(now.renewal):
            now.renewal = None
            return False
        now.renewal = None
        now.excluded, now.avoided = self._candidate.barred, NO_KEYS
        return True

    def _renewal_by_others(self, demand: Demand) -> "asyncio.Future[bool] | None":
        """Where every key is rejected, the reading of a new secret that another request has caused."""
        services = self.services
        if services.pool.why_none(services.dispatcher.clock(), demand)[0] is not ErrorKind.KEY_REJECTED:
            return None
        rejected = (state.key.name for state in services.pool.states if state.is_rejected)
        return next(filter(None, map(services.on_refused, rejected)), None)

    # What a failed attempt leads to

    async def failed(self, lease: Lease, failure: Failure) -> None:
        """Decide what follows: returns where another attempt is due, else raises what the caller is told."""
        now = self._round
        assert now is not None, "attempts belong to a round"
        self._prepared_for = None
        self.progress.note(lease.key.name, failure)
        now.tries += not is_refusal(failure)
        if failure.kind is ErrorKind.KEY_REJECTED:
            now.renewal = self.services.on_refused(lease.key.name) or now.renewal
        if await self._has_learned(lease, failure):
            now.is_paid = False
            return
        if self._is_final(now, lease, failure):
            self._end_round(failure)
            return
        now.last = more_telling(now.last, failure)
        if (given_up := await self._before_next(now, failure)) is not None:
            self._end_round(given_up)
            return
        if now.tries >= self.services.policy.max_attempts - 1:
            # The last attempt is for an answer, whatever of the request is worth nothing elsewhere.
            now.demand.account = None
        now.leave_out(lease, failure)

    def _is_final(self, now: "_Round", lease: Lease, failure: Failure) -> bool:
        """Whether no other key would answer otherwise."""
        if failure.kind in NOT_THERE and self.services.models.find(self.progress.model) is None:
            # Nobody knows a model of that name; one that is known may be served by some accounts only.
            return True
        if not failure.rule.one_other:
            return False
        if now.has_asked_other:
            # Two keys have said so: with a third it would be no different.
            return True
        now.has_asked_other = True
        # A key of another account tells more.
        now.avoided |= frozenset(state.key.name for state in lease.state.organisation.states.values())
        return False

    async def _has_learned(self, lease: Lease, failure: Failure) -> bool:
        """Whether a 400 was about something the gateway itself had chosen, and is worth another try without it."""
        if failure.kind is not ErrorKind.INVALID_REQUEST or self._lessons >= MAX_LESSONS or self.is_committed:
            return False
        self._lessons += 1
        profile = self.services.endpoints[lease.key.name].profile
        if self._sent is not None:
            self._candidate.learn(profile, failure.message, self._sent)
        # Another request may have learned the same a moment before: what counts is what would be sent now.
        is_home = self._is_home(lease)
        if self._candidate.write_in_turns is not None:
            await self._candidate.write_in_turns(profile, is_home)
        return self._candidate.write(profile, is_home) is not self._sent

    async def _before_next(self, now: "_Round", failure: Failure) -> Failure | None:
        """Wait as the retry policy says; gives what the caller is told where there is no next attempt."""
        if self.is_committed:
            return failure
        services = self.services
        clock = services.dispatcher.clock()
        delay = delay_before_retry(
            failure,
            attempt=now.tries,
            elapsed_seconds=clock - self._began_at,
            policy=services.policy,
            jitter=services.jitter(),
        )
        is_paid = not is_refusal(failure)
        if delay is not None and is_paid and not services.budget.allows_retry(clock):
            self.progress.failures.append("no retry: retries.budget_percent is used up")
            delay = None
        if delay is None:
            return when_ready(services, now.last or failure, now.demand)
        if delay:
            await services.sleep(delay)
        now.is_paid = is_paid
        return None

    def _end_round(self, failure: Failure) -> None:
        """Go on with another model, or raise what the caller is told."""
        if self._falls_back(failure):
            self._overloaded = failure
            return
        first = self._overloaded
        if first is None or self.is_committed or failure.kind not in NOT_FOR_THIS_MODEL:
            raise FailedError(failure)
        # The caller has not asked for this model, and what was asked for may be fine for its own.
        self.progress.note(self.progress.model, failure)
        if not self._falls_back(first):
            raise FailedError(first)

    @property
    def _has_fallback(self) -> bool:
        return self._candidates is not None and self._place + 1 < len(self._candidates)

    def _falls_back(self, failure: Failure) -> bool:
        """Whether another model is asked, since all keys of this one's class are overloaded."""
        if failure.kind is not _OVERLOADED or self._candidates is None or not self._has_fallback:
            return False
        if self.services.dispatcher.clock() - self._began_at >= self.services.policy.deadline_seconds:
            return False
        self._place += 1
        self._round = self._sent = None
        self.progress.model = self.progress.fallback = self._candidates[self._place].model
        return True

    # What an attempt asks for

    def answered(self) -> None:
        """An attempt has come to its end: there is no other."""
        self._is_answered = True

    @property
    def sent(self) -> R:
        """What the running attempt has sent, up to the commit point."""
        assert self._sent is not None, "nothing is sent again behind the commit point"
        return self._sent

    @property
    def is_written_in_turns(self) -> bool:
        """Whether the request is large, so that `write_in_turns` goes before `written_for`."""
        return self._candidate.write_in_turns is not None

    async def write_in_turns(self, lease: Lease, endpoint: Endpoint) -> None:
        """Give the request the form for a lease's key, while others have their turns."""
        if (write_in_turns := self._candidate.write_in_turns) is not None:
            await write_in_turns(endpoint.profile, self._is_home(lease))

    def written_for(self, lease: Lease, endpoint: Endpoint) -> R:
        """The request in the form for a lease's key."""
        is_home = self._is_home(lease)
        if self._sent is None or self._prepared_for is not endpoint.profile or not is_home:
            self._sent = self._written(endpoint, is_home=is_home)
        return self._sent

    @property
    def _candidate(self) -> Candidate[R]:
        assert self._candidates is not None, "nothing is sent again behind the commit point"
        return self._candidates[self._place]

    def _is_home(self, lease: Lease) -> bool:
        """Whether what the request holds was signed by the account that a lease's key belongs to."""
        account = self._candidate.account
        return account is None or self.services.pool.is_of(lease, account)

    def _written(self, endpoint: Endpoint, *, is_home: bool) -> R:
        request = self._candidate.write(endpoint.profile, is_home)
        self.progress.adjusted = request.adjusted
        return request


class _Round:
    """The attempts with one model: what is asked of the pool, and what has come of it so far.

    Keys that are `excluded` are not asked again; those that are `avoided` only where there is no other. `is_paid`: the
    next attempt is counted as a retry.
    """

    __slots__ = ("avoided", "demand", "excluded", "has_asked_other", "is_paid", "last", "renewal", "tries")

    def __init__(self, demand: Demand, barred: frozenset[str]) -> None:
        self.demand = demand
        self.excluded = barred
        self.avoided = NO_KEYS
        self.tries = 0
        self.last: Failure | None = None
        self.renewal: asyncio.Future[bool] | None = None
        self.has_asked_other = False
        self.is_paid = False

    def leave_out(self, lease: Lease, failure: Failure) -> None:
        """Ask another key next; a key that was refused is not asked again."""
        # A key that is gone by now may have a successor of the same name, with another secret.
        failed = NO_KEYS if lease.state.is_gone else frozenset({lease.key.name})
        self.avoided |= failed
        if is_refusal(failure):
            self.excluded |= failed


class Attempt(Generic[R]):
    """One call with one key; a block whose failure ends the attempt, and the exchange only where nothing follows."""

    __slots__ = ("_exchange", "_lease", "_opening", "endpoint", "record")

    def __init__(self, exchange: Exchange[R], lease: Lease) -> None:
        self._exchange = exchange
        self._lease = lease
        self._opening: AbstractAsyncContextManager[UpstreamAnswer] | None = None
        self.endpoint = exchange.services.endpoints[lease.key.name]
        self.record = AttemptRecord(lease.key.name, exchange.progress.model)
        exchange.progress.attempts.append(self.record)

    async def __aenter__(self) -> "Attempt[R]":
        self._exchange.is_asking = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        failure = error.failure if isinstance(error, FailedError) else None
        if self._opening is not None:
            try:
                await self._opening.__aexit__(kind, error, trace)
            except FailedError as redacted:
                # The error itself knows this frame: kept in it, both would hold the request until the collector's turn.
                failure = redacted.failure
        exchange = self._exchange
        exchange.is_asking = False
        # A plain call: after the caller has left, an await here would be cancelled again.
        exchange.services.dispatcher.release(self._lease, self._outcome(failure, is_done=error is None))
        if failure is not None:
            await exchange.failed(self._lease, failure)
        elif error is None:
            exchange.answered()
        return failure is not None

    async def open(self) -> UpstreamAnswer:
        """Send the request; an answer that is what was asked for. Its body is read inside of this block."""
        exchange, lease, endpoint = self._exchange, self._lease, self.endpoint
        if exchange.is_written_in_turns:
            await exchange.write_in_turns(lease, endpoint)
        request = exchange.written_for(lease, endpoint)
        streams = request.streams
        # Who holds the request here would hold it up to the end of the stream.
        opening = exchange.services.upstream.open(endpoint, _call(request))
        del request
        answer = await opening.__aenter__()
        self._opening = opening
        exchange.services.dispatcher.answered(lease, answer.headers, answer.status)
        return await self._accepted(answer, streams=streams)

    @asynccontextmanager
    async def again(self, request: R) -> AsyncIterator[UpstreamAnswer]:
        """Another call with the same key, for a turn that takes more than one."""
        services = self._exchange.services
        spent_seconds = services.dispatcher.clock() - self._lease.acquired_at
        async with services.upstream.open(self.endpoint, _call(request, spent_seconds)) as answer:
            yield await self._accepted(answer, streams=request.streams)

    @property
    def request(self) -> R:
        """What was sent. Whoever keeps it keeps it for as long as a stream goes on."""
        return self._exchange.sent

    @property
    def memory(self) -> TurnMemory:
        """What is kept of conversations."""
        return self._exchange.services.memory

    @property
    def account(self) -> Account:
        """Whose key it is, as far as is known by now."""
        return self._exchange.services.pool.account_of(self._lease)

    @property
    def maker(self) -> Maker:
        """The same, with its workspace."""
        return Maker(*self.account, self._exchange.services.pool.workspace_of(self._lease))

    @property
    def has_other_accounts(self) -> bool:
        """Whether the keys belong to more than one organization, as far as is known."""
        return sum(1 for _ in self._exchange.services.pool.organisations) > 1

    @property
    def progress(self) -> Progress:
        """What is known of the exchange."""
        return self._exchange.progress

    @property
    def is_committed(self) -> bool:
        """Whether the caller has seen content."""
        return self._exchange.is_committed

    def commit(self) -> None:
        """The caller sees content."""
        self._exchange.commit()

    async def _accepted(self, answer: UpstreamAnswer, *, streams: bool) -> UpstreamAnswer:
        """The answer, if it is what was asked for; its head is taken down in any case."""
        headers = answer.headers
        self.record.upstream_request_id = headers.get("request-id")
        self._exchange.progress.upstream_headers = headers
        if answer.status != 200 or (streams and not is_stream(answer)):
            raise FailedError(await refusal_of(answer, self.endpoint, self.record.model))
        return answer

    def _outcome(self, failure: Failure | None, *, is_done: bool) -> Outcome:
        """What the attempt that is over teaches; one that the caller has abandoned only what it has used."""
        usage = self._chargeable(self.record.usage)
        return Outcome.of(failure, usage) if failure is not None else Outcome(is_success=is_done, usage=usage)

    def _chargeable(self, usage: Usage) -> Usage:
        """What an answer may be charged with: no prompt is longer than the window, no answer than the model writes."""
        if usage.output_tokens <= _SURE_OUTPUT_TOKENS and usage.prompt_tokens <= _FITS_TOKENS:
            return usage
        row = self._exchange.services.models.row(self.record.model)
        return usage.within(row.context, row.max_output)


async def _outcome_of(renewal: "asyncio.Future[bool]") -> bool:
    """Whether a key has another secret by now; a command that takes long is not waited for."""
    # To wait for it is not to own it: others wait for the same, and it goes on when this caller leaves.
    done, _ = await asyncio.wait((renewal,), timeout=RENEWAL_SECONDS)
    return bool(done) and not renewal.cancelled() and renewal.exception() is None and renewal.result()


def _call(request: Outgoing, spent_seconds: float = 0.0) -> Call:
    return Call(request.version, request.body, request.streams, request.betas, spent_seconds=spent_seconds)
