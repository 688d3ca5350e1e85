"""One request's attempts: a key, a call, an answer, and another key as long as the caller has seen nothing.

What is done with an answer is the endpoint's own (`chat.py` beside this file): it comes in as a function.

The *commit point* is the first content that goes to the caller. Before it any failure can be answered by another
attempt; after it, a failure is the caller's to know.
"""

import asyncio
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from dataclasses import field as default
from typing import Final, Generic, NamedTuple, TypeVar

from msgspec import Struct, field

from gateway.keypool import MOST_PATIENCE_SECONDS, Account, Breaker, Demand, KeyPool, Lease, Outcome, RetryBudget
from gateway.proxy.dispatch import WORTH_WAITING, Dispatcher
from gateway.proxy.makers import Maker, Makers
from gateway.proxy.memory import TurnMemory
from gateway.proxy.own_keys import OwnLimits
from gateway.proxy.ports import Call, Endpoint, Outgoing, Upstream, UpstreamAnswer
from gateway.proxy.retry import RetryPolicy, delay_before_retry, is_refusal
from translators.errors import Blame, ErrorKind, FailedError, Failure
from translators.estimate import estimated_tokens
from translators.hosts import HostProfile
from translators.models import ModelTable, model_table
from translators.prefixes import digest_of
from translators.upstream_errors import answered_failure
from translators.usage import Usage

MAX_ERROR_BYTES: Final = 64 * 1024
# After `message_stop` only the end of the body is due; without it the connection cannot be used again.
DRAIN_SECONDS: Final = 0.25
# So long a request that has no other key waits for a rejected key's new secret.
RENEWAL_SECONDS: Final = 10.0
# Up to this estimate a prompt fits into every model's window.
_FITS_TOKENS: Final = 100_000
# Every model writes as much as that.
_SURE_OUTPUT_TOKENS: Final = 4_096
# So many corrections of what the gateway wrote are tried for one request.
MAX_LESSONS: Final = 3

# What a caller is told to wait where all keys are at their ceiling.
_BUSY_SECONDS: Final = 1.0
# At once would be to hammer.
_SOONEST_SECONDS: Final = 0.1
# What ends by itself, some of it too late to be waited for.
_PASSES: Final = WORTH_WAITING | {
    ErrorKind.SPEND_LIMIT,
    ErrorKind.WORKSPACE_LIMIT,
    ErrorKind.WORKSPACE_UNAVAILABLE,
}
_NO_KEY: Final = {
    ErrorKind.RATE_LIMITED: "Every upstream key of the gateway is at its rate limit.",
    ErrorKind.OVERLOADED: "Upstream is overloaded for the model `{model}`, on every key of the gateway.",
    ErrorKind.UNREACHABLE: "Upstream cannot be reached at the moment.",
    ErrorKind.MODEL_REFUSED: "The model `{model}` does not exist or you do not have access to it.",
    ErrorKind.SPEND_LIMIT: "The gateway's upstream account is at its spend limit, out of funds, or on hold.",
    ErrorKind.WORKSPACE_LIMIT: "The gateway's upstream workspace is at its spend limit.",
    ErrorKind.WORKSPACE_UNAVAILABLE: "The gateway's upstream workspace cannot be used at the moment.",
    ErrorKind.KEY_REJECTED: "Every upstream key of the gateway was refused lately; its log names them. "
    "Your key is fine.",
}
_OWN_KEY_IS_LIMITED: Final = "Your key is at its rate limit, as upstream has told a moment ago."
# What may be wrong with a request only because another model than it was written for is asked.
_NOT_FOR_THIS_MODEL: Final = frozenset(
    {
        ErrorKind.INVALID_REQUEST,
        ErrorKind.CONTEXT_TOO_LONG,
        ErrorKind.MODEL_REFUSED,
        ErrorKind.MODEL_NOT_FOUND,
        ErrorKind.NOT_PERMITTED,
        ErrorKind.NOT_FOUND,
    }
)

# What is said of a model that does not exist; not every host names it.
_NOT_THERE: Final = frozenset({ErrorKind.MODEL_REFUSED, ErrorKind.NOT_FOUND})

# Each empty one would be another 216 bytes.
_NO_KEYS: Final[frozenset[str]] = frozenset()

T = TypeVar("T")
R = TypeVar("R", bound=Outgoing)


class Record(Struct):
    """What became of one request, for the caller's headers and for the log."""

    attempts: int = 0
    key: str | None = None
    model: str | None = None
    adjusted: str | None = None
    upstream_request_id: str | None = None
    upstream_headers: Mapping[str, str] = field(default_factory=dict)
    stop_reason: str | None = None
    # What the last attempt has used, and what those before it have, each with its model.
    usage: Usage = field(default_factory=Usage)
    spent: tuple[tuple[str | None, Usage], ...] = ()
    failures: list[str] = field(default_factory=list)
    # What upstream said in refusing, which may quote the request.
    said: list[str] = field(default_factory=list)
    # The model that stood in for the one that was asked for, and how long the request stood in line.
    fallback: str | None = None
    waited_seconds: float = 0.0
    # Of a stream: from the moment when the request was understood to the first content for the caller.
    first_token_seconds: float | None = None

    @property
    def used(self) -> tuple[tuple[str | None, Usage], ...]:
        """What each attempt has used, with its model: those that failed may have cost money, too."""
        return (*self.spent, (self.model, self.usage))

    def set_usage_aside(self) -> None:
        """Another attempt begins, or another model is asked."""
        if self.usage.prompt_tokens or self.usage.output_tokens:
            self.spent = self.used
        self.usage = Usage()


@dataclass(frozen=True, slots=True)
class Services:
    """What every exchange works with; `sleep` and `jitter` are for retries.

    `on_refused` is told the name of a key that upstream rejects. Where its secret is read anew, it gives back what
    tells, when that is done, whether there is another one. `models` is what is known of models, `own_limits` what is
    known of the keys that callers bring.
    """

    dispatcher: Dispatcher
    endpoints: Mapping[str, Endpoint]
    upstream: Upstream
    policy: RetryPolicy
    budget: RetryBudget
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    on_refused: Callable[[str], "asyncio.Future[bool] | None"] = lambda key: None
    memory: TurnMemory = default(default_factory=TurnMemory)
    makers: Makers = default(default_factory=Makers)
    models: ModelTable = default(default_factory=model_table)
    own_limits: OwnLimits = default(default_factory=OwnLimits)

    @property
    def pool(self) -> KeyPool:
        """The keys."""
        return self.dispatcher.pool

    def for_caller(self, endpoint: Endpoint, digest: bytes) -> "Services":
        """The same for a caller who brought a key, which has this digest: a pool of that one, without a line."""
        dispatcher = self.own_limits.dispatcher(endpoint.name, digest, self.dispatcher.clock)
        return replace(self, dispatcher=dispatcher, endpoints={endpoint.name: endpoint}, on_refused=lambda key: None)


class Candidate(NamedTuple, Generic[R]):
    """A model that may answer; `write` gives the request's Messages form for a kind of host.

    What a request holds may be signed by an `account`; `write` is told whether it goes to a key of that. `learn` is
    told of a 400 and of what was sent; where `write` gives another form after that, it is tried. `limits` is what the
    pool calls the model, where its limits are not those of its messages. `write_in_turns`, which a large request has,
    sees to it that `write` knows what it is asked for. Keys that are `barred` do not reach what the request is about.
    `explain` tells a failure of what was sent in the caller's terms.
    """

    model: str
    write: Callable[[HostProfile, bool], R]
    learn: Callable[[HostProfile, str, R], None] = lambda host, message, sent: None
    limits: str | None = None
    account: Account | None = None
    write_in_turns: Callable[[HostProfile, bool], Awaitable[None]] | None = None
    barred: frozenset[str] = _NO_KEYS
    explain: Callable[[Failure, R], Awaitable[Failure]] | None = None


class Exchange(Generic[R]):
    """One request on its way; the candidates after the first stand in where the ones before are overloaded.

    `caller` is who waits in line, `prefix` what the request shares with those that begin alike.
    """

    def __init__(
        self, services: Services, candidates: Sequence[Candidate[R]], *, caller: str = "", prefix: bytes | None = None
    ) -> None:
        self._services = services
        # None behind the commit point: a request may be many megabytes, and its stream go on for minutes.
        self._candidates: Sequence[Candidate[R]] | None = candidates
        self._place = 0
        self.record = Record(model=candidates[0].model)
        self._caller = caller
        self._prefix = prefix
        self._lessons = 0
        self._began_at = services.dispatcher.clock()
        self._is_committed = False
        # Whether an attempt runs, so that an answer may begin at any moment.
        self.is_asking = False
        self._tries = 0
        self._blamed: list[Breaker] = []
        # What the running attempt goes to, and what it has sent there; before it, what it would be.
        self._endpoint: Endpoint | None = None
        self._sent: R | None = None
        self._lease: Lease | None = None

    def belongs_to(self, first: "Exchange[R]") -> None:
        """They are one request, as several choices are: what upstream fails them with counts once."""
        self._blamed = first._blamed

    def prepare(self) -> R | None:
        """Translate for the first host, so that what cannot be translated fails before anything else is done."""
        endpoint = next(iter(self._services.endpoints.values()), None)
        if endpoint is not None:
            # Nearly always it is the account that has signed what the request holds.
            self._sent = self._request_for(endpoint, is_home=True)
        return self._sent

    async def prepare_in_turns(self) -> None:
        """What `prepare` does for a large request, while others have their turns."""
        endpoint = next(iter(self._services.endpoints.values()), None)
        if endpoint is not None and self._candidate.write_in_turns is not None:
            await self._candidate.write_in_turns(endpoint.profile, True)

    @property
    def memory(self) -> TurnMemory:
        """What is remembered of conversations."""
        return self._services.memory

    @property
    def account(self) -> Account:
        """Whose key has answered, as far as is known by now; only inside of an attempt."""
        assert self._lease is not None, "only inside of an attempt"
        return self._services.pool.account_of(self._lease)

    @property
    def maker(self) -> Maker:
        """The same, with its workspace."""
        assert self._lease is not None, "only inside of an attempt"
        return Maker(*self.account, self._services.pool.workspace_of(self._lease))

    @property
    def has_other_accounts(self) -> bool:
        """Whether the keys belong to more than one organisation, as far as is known."""
        return sum(1 for _ in self._services.pool.organisations) > 1

    @property
    def is_committed(self) -> bool:
        """Whether the caller has seen content."""
        return self._is_committed

    def commit(self) -> None:
        """The caller has seen content: from now on no other key can take over, and nothing is sent again."""
        if self._is_committed:
            return
        self._is_committed = True
        self._candidates = self._sent = None
        self.record.first_token_seconds = self._services.dispatcher.clock() - self._began_at

    @property
    def _candidate(self) -> Candidate[R]:
        assert self._candidates is not None, "nothing is sent anew behind the commit point"
        return self._candidates[self._place]

    @property
    def _has_fallback(self) -> bool:
        return self._candidates is not None and self._place + 1 < len(self._candidates)

    def head_has_left(self) -> None:
        """The caller has the head of the answer: what upstream said in its own is not asked for again."""
        self.record.upstream_headers = {}

    async def explained(self, failure: Failure) -> Failure:
        """What the attempts have failed with, in the caller's terms; behind the commit point as it is."""
        if self._candidates is None or self._sent is None or self._candidate.explain is None:
            return failure
        return await self._candidate.explain(failure, self._sent)

    async def attempt(self, consume: Callable[[UpstreamAnswer, R], Awaitable[T]]) -> T:
        """Run `consume` on answer after answer until one succeeds or the retries are used up."""
        self._services.budget.request()
        overloaded: Failure | None = None
        while True:
            try:
                return await self._attempt_model(consume)
            except FailedError as error:
                if self._falls_back(error.failure):
                    overloaded = error.failure
                    continue
                if overloaded is None or self._is_committed or error.failure.kind not in _NOT_FOR_THIS_MODEL:
                    raise
                # The caller has not asked for this model, and what was asked for may be fine for its own.
                self._note(self._candidate.model, error.failure)
                if not self._falls_back(overloaded):
                    raise FailedError(overloaded) from error

    async def _attempt_model(self, consume: Callable[[UpstreamAnswer, R], Awaitable[T]]) -> T:
        barred = self._candidate.barred
        excluded, avoided = barred, _NO_KEYS
        last: Failure | None = None
        renewal: asyncio.Future[bool] | None = None
        if self._sent is None:
            await self.prepare_in_turns()
        demand = self._demand()
        is_paid = has_asked_other = False
        while True:
            lease = self._services.dispatcher.acquire(demand, exclude=excluded, avoid=avoided)
            if lease is None:
                lease = await self._wait(demand, excluded, avoided)
            if lease is None and renewal is None and last is None:
                renewal = self._renewal_for_others(demand)
            if lease is None and renewal is not None:
                is_renewed, renewal = await _outcome_of(renewal), None
                if is_renewed:
                    excluded, avoided = barred, _NO_KEYS
                    continue
            if lease is None:
                if is_paid:
                    self._services.budget.give_back()
                raise FailedError(self._when_ready(last or self._no_key(demand, excluded), demand))
            try:
                return await self._attempt_once(lease, consume)
            except FailedError as error:
                self._note(lease.key.name, error.failure)
                self._tries += not is_refusal(error.failure)
                if error.failure.kind is ErrorKind.KEY_REJECTED:
                    renewal = self._services.on_refused(lease.key.name) or renewal
                if await self._has_learned(lease, error.failure):
                    is_paid = False
                    continue
                if self._is_about_the_name(error.failure):
                    raise
                if error.failure.rule.one_other:
                    if has_asked_other:
                        # Two keys have said so: with a third it would be no different.
                        raise
                    has_asked_other = True
                    avoided |= self._siblings_of(lease)
                last = _more_telling(last, error.failure)
                is_paid = await self._before_next(error.failure, last, demand)
                if self._tries >= self._services.policy.max_attempts - 1:
                    # The last attempt is for an answer, whatever of the request is worth nothing elsewhere.
                    demand.account = None
                # A key that is gone by now may have a successor of the same name, with another secret.
                failed = _NO_KEYS if lease.state.is_gone else frozenset({lease.key.name})
                avoided |= failed
                if is_refusal(error.failure):
                    excluded |= failed

    def _is_about_the_name(self, failure: Failure) -> bool:
        """Whether a model is refused that nobody knows; one that is known may be served by some accounts only."""
        return failure.kind in _NOT_THERE and self._services.models.find(self.record.model or "") is None

    def _siblings_of(self, lease: Lease) -> frozenset[str]:
        """The keys of the same account: another one tells more."""
        return frozenset(state.key.name for state in lease.state.organisation.states.values())

    def _renewal_for_others(self, demand: Demand) -> "asyncio.Future[bool] | None":
        """Where every key is rejected, the reading of a new secret that another request has caused."""
        services = self._services
        if services.pool.why_none(services.dispatcher.clock(), demand)[0] is not ErrorKind.KEY_REJECTED:
            return None
        rejected = (state.key.name for state in services.pool.states if state.is_rejected)
        return next(filter(None, map(services.on_refused, rejected)), None)

    def _demand(self) -> Demand:
        candidate, request = self._candidate, self._sent
        if request is None:
            request = self.prepare()
        tokens = estimated_tokens(request.body) if request is not None else 0
        if tokens > _FITS_TOKENS:
            # No more than that is ever counted: what is longer is refused.
            tokens = min(tokens, self._services.models.row(candidate.model).context)
        streams = request is not None and request.streams
        prefix = self._prefix
        if self._place and prefix is not None:
            # Another model has another cache.
            prefix = digest_of((candidate.model.encode(), prefix))
        limits = candidate.limits or candidate.model
        account = candidate.account
        return Demand(limits, tokens, prefix, self._caller, streams=streams, account=account, blamed=self._blamed)

    async def _wait(self, demand: Demand, exclude: frozenset[str], avoid: frozenset[str]) -> Lease | None:
        """Stand in line, as long as another attempt may be begun."""
        dispatcher = self._services.dispatcher
        now = dispatcher.clock()
        if self._has_fallback and dispatcher.pool.why_none(now, demand, exclude)[0] is ErrorKind.OVERLOADED:
            # Another model is ready to answer at once.
            return None
        patience = self._services.policy.deadline_seconds - (now - self._began_at)
        if self._candidate.barred:
            # Others can serve what is asked for in another form.
            patience = min(patience, MOST_PATIENCE_SECONDS)
        waited = self.record.waited_seconds
        try:
            return await dispatcher.wait(
                demand, exclude=exclude, avoid=avoid, patience_seconds=patience, waited_seconds=waited
            )
        finally:
            self.record.waited_seconds += dispatcher.clock() - now

    def _falls_back(self, failure: Failure) -> bool:
        """Whether another model is asked, since all of this one's class are overloaded."""
        if failure.kind is not ErrorKind.OVERLOADED or not self._has_fallback:
            return False
        services = self._services
        if services.dispatcher.clock() - self._began_at >= services.policy.deadline_seconds:
            return False
        self._place += 1
        self._tries = 0
        self._sent = None
        self.record.set_usage_aside()
        self.record.model = self.record.fallback = self._candidate.model
        return True

    async def _attempt_once(self, lease: Lease, consume: Callable[[UpstreamAnswer, R], Awaitable[T]]) -> T:
        endpoint = self._services.endpoints[lease.key.name]
        self.record.attempts += 1
        self.record.key = lease.key.name
        self.record.set_usage_aside()
        failure: Failure | None = None
        is_done = False
        self.is_asking = True
        try:
            is_home = self._is_home(lease)
            if self._candidate.write_in_turns is not None:
                await self._candidate.write_in_turns(endpoint.profile, is_home)
            request = self._sent = self._request_for(endpoint, is_home=is_home)
            self._endpoint, self._lease, streams = endpoint, lease, request.streams
            # Who holds the request here would hold it up to the end of the stream.
            opening = self._services.upstream.open(endpoint, _call(request))
            del request
            async with opening as answer:
                self._services.dispatcher.answered(lease, answer.headers, answer.status)
                if not self._accepts(answer, streams=streams):
                    raise FailedError(await _refusal(answer, endpoint, self.record.model))
                result = await consume(answer, self._sent)
            is_done = True
            return result
        except FailedError as error:
            failure = error.failure
            raise
        finally:
            self.is_asking = False
            # A plain call: after the caller has left, an await here would be cancelled again.
            self._services.dispatcher.release(lease, self._outcome(failure, is_done=is_done))

    def _outcome(self, failure: Failure | None, *, is_done: bool) -> Outcome:
        """What the attempt that is over teaches; one that the caller has abandoned only what it has used."""
        usage = self._chargeable(self.record.usage)
        return Outcome.of(failure, usage) if failure is not None else Outcome(is_success=is_done, usage=usage)

    def _chargeable(self, usage: Usage) -> Usage:
        """What an answer may be charged with: no prompt is longer than the window, no answer than the model writes."""
        if usage.output_tokens <= _SURE_OUTPUT_TOKENS and usage.prompt_tokens <= _FITS_TOKENS:
            return usage
        row = self._services.models.row(self.record.model or "")
        return usage.within(row.context, row.max_output)

    @asynccontextmanager
    async def again(self, request: R) -> AsyncIterator[UpstreamAnswer]:
        """Another call with the same key inside of an attempt, for a turn that takes more than one."""
        endpoint = self._endpoint
        assert endpoint is not None, "only inside of an attempt"
        async with self._services.upstream.open(endpoint, _call(request)) as answer:
            if not self._accepts(answer, streams=request.streams):
                raise FailedError(await _refusal(answer, endpoint, self.record.model))
            yield answer

    def _accepts(self, answer: UpstreamAnswer, *, streams: bool) -> bool:
        """Take down an answer's head, and whether it is what was asked for."""
        self.record.upstream_request_id = answer.headers.get("request-id")
        self.record.upstream_headers = answer.headers
        return answer.status == 200 and (not streams or _is_stream(answer))

    def _is_home(self, lease: Lease) -> bool:
        """Whether what the request holds was signed by the account that a lease's key belongs to."""
        account = self._candidate.account
        return account is None or self._services.pool.is_of(lease, account)

    def _request_for(self, endpoint: Endpoint, *, is_home: bool) -> R:
        request = self._candidate.write(endpoint.profile, is_home)
        self.record.adjusted = request.adjusted
        return request

    async def _has_learned(self, lease: Lease, failure: Failure) -> bool:
        """Whether a 400 was about something the gateway itself had chosen, and is worth another try without it."""
        if failure.kind is not ErrorKind.INVALID_REQUEST or self._lessons >= MAX_LESSONS or self._candidates is None:
            return False
        self._lessons += 1
        profile = self._services.endpoints[lease.key.name].profile
        if self._sent is not None:
            self._candidate.learn(profile, failure.message, self._sent)
        # Another request may have learned the same a moment before: what counts is what would be sent now.
        is_home = self._is_home(lease)
        if self._candidate.write_in_turns is not None:
            await self._candidate.write_in_turns(profile, is_home)
        return self._candidate.write(profile, is_home) is not self._sent

    def _note(self, whose: str, failure: Failure) -> None:
        self.record.failures.append(f"{whose}: {failure.kind.name.lower()} {failure.summary}".rstrip())
        if failure.said:
            self.record.said.append(f"{whose}: {failure.said}")

    async def _before_next(self, failure: Failure, to_tell: Failure, demand: Demand) -> bool:
        """Wait as the retry policy says; raises what the caller is to be told where there is no next attempt.

        Gives whether the next one is paid for out of the budget.
        """
        if self._is_committed:
            raise FailedError(failure)
        services = self._services
        now = services.dispatcher.clock()
        delay = delay_before_retry(
            failure,
            attempt=self._tries,
            elapsed_seconds=now - self._began_at,
            policy=services.policy,
            jitter=services.jitter(),
        )
        if delay is None:
            raise FailedError(self._when_ready(to_tell, demand))
        is_paid = not is_refusal(failure)
        if is_paid and not services.budget.allows_retry(now):
            self.record.failures.append("no retry: retries.budget_percent is used up")
            raise FailedError(self._when_ready(to_tell, demand))
        if delay:
            await services.sleep(delay)
        return is_paid

    def _no_key(self, demand: Demand, exclude: frozenset[str]) -> Failure:
        """Why no attempt could be made at all."""
        kind, seconds = self._services.pool.why_none(self._services.dispatcher.clock(), demand, exclude)
        message = _NO_KEY[kind].format(model=self._candidate.model)
        if kind is ErrorKind.RATE_LIMITED and any(found.is_callers_own for found in self._services.endpoints.values()):
            message = _OWN_KEY_IS_LIMITED
        is_passing = kind in _PASSES and seconds < math.inf
        return Failure(kind, message, retry_after_seconds=seconds if is_passing else None)

    def _when_ready(self, failure: Failure, demand: Demand) -> Failure:
        """A rate limit as the whole pool has it: with the time when the first key is ready again, also in words."""
        if failure.rule.blame is not Blame.KEY_LIMIT:
            return failure
        kind, seconds = self._services.pool.why_none(self._services.dispatcher.clock(), demand)
        if kind is not ErrorKind.RATE_LIMITED:
            return failure
        if seconds == math.inf:
            # All keys are busy: one is free as soon as some answer ends.
            seconds = _BUSY_SECONDS
        elif self._services.dispatcher.has_line(demand):
            # Others are served before.
            seconds = max(seconds, _BUSY_SECONDS)
        seconds = max(seconds, _SOONEST_SECONDS)
        # Some clients read the time in the message; the Python SDK ignores headers above 120 seconds.
        message = f"{failure.message} Please try again in {math.ceil(seconds * 10) / 10:g}s."
        return replace(failure, message=message, retry_after_seconds=seconds)


async def _outcome_of(renewal: "asyncio.Future[bool]") -> bool:
    """Whether a key has another secret by now; a command that takes long is not waited for."""
    # To wait for it is not to own it: others wait for the same, and it goes on when this caller leaves.
    done, _ = await asyncio.wait((renewal,), timeout=RENEWAL_SECONDS)
    return bool(done) and not renewal.cancelled() and renewal.exception() is None and renewal.result()


def _call(request: Outgoing) -> Call:
    return Call(request.version, request.body, request.streams, request.betas)


def _more_telling(last: Failure | None, failure: Failure) -> Failure:
    """Of several failures the one that helps the caller: a limit passes, a refused key of the pool does not."""
    return last if last is not None and failure.kind is ErrorKind.KEY_REJECTED else failure


def _is_stream(answer: UpstreamAnswer) -> bool:
    return answer.headers.get("content-type", "").lower().startswith("text/event-stream")


async def _refusal(answer: UpstreamAnswer, endpoint: Endpoint, model: str | None) -> Failure:
    """What an answer means that is not what was asked for: an answer of this model."""
    if answer.status != 200:
        try:
            body = await answer.read(MAX_ERROR_BYTES)
        except FailedError:
            # The status says enough.
            body = b""
        return answered_failure(
            answer.status, body, answer.headers, model=model, is_callers_key=endpoint.is_callers_own
        )
    content_type = answer.headers.get("content-type") or "no content type"
    message = f"Upstream answered with {content_type} where a stream of events was due."
    return Failure(ErrorKind.PROTOCOL_ERROR, message)


async def drain(answer: UpstreamAnswer) -> None:
    """Read the end of a finished body, which frees its connection for the next call."""
    if answer.is_complete:
        return
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while await answer.receive():
                pass
    except (TimeoutError, FailedError):
        # The answer is complete; only the connection is lost.
        return
