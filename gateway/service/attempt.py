"""One attempt at answering a request: a call with one key, and its outcome."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import lru_cache
from random import getrandbits
from types import TracebackType
from typing import Final, Generic, TypeVar
from urllib.parse import urlsplit

from gateway.keypool import Account, Lease, Outcome
from gateway.service.failures import is_stream, refusal_of
from gateway.service.forms import Forms
from gateway.service.kept import KeptTurns
from gateway.service.ports import Call, Outgoing, UpstreamAnswer
from gateway.service.record import ABANDONED, AttemptEntry, AttemptRecord, Progress, Watched
from gateway.service.services import Services
from gateway.service.signers import Signer
from gateway.service.tracing import CURRENT
from translators.errors import FailedError, Failure
from translators.estimate import output_tokens_seen
from translators.message_usage import total_of, with_seen
from translators.usage import Usage

R = TypeVar("R", bound=Outgoing)

# Every context window and every output limit is at least this large: below these values no look-up is needed.
_SURE_PROMPT_TOKENS: Final = 100_000
_SURE_OUTPUT_TOKENS: Final = 4_096
_OK: Final = 200
_RANDOM_BITS: Final = 80


def always() -> bool:
    """What nobody has to pay for."""
    return True


class Attempt(Generic[R]):
    """A call with one leased key, as an `async with` block; a failure in the block ends the attempt.

    Then `failed` decides what follows: it returns if another attempt is due, and raises the caller's error if not.
    """

    __slots__ = (
        "_began_at",
        "_failed",
        "_forms",
        "_id",
        "_lease",
        "_opening",
        "_services",
        "endpoint",
        "may_go_on",
        "progress",
        "record",
    )

    def __init__(
        self,
        services: Services,
        forms: Forms[R],
        progress: Progress,
        lease: Lease,
        failed: Callable[[Lease, Failure], Awaitable[None]],
        may_go_on: Callable[[], bool],
    ) -> None:
        self._services = services
        self._forms = forms
        self._lease = lease
        self._failed = failed
        # Whether `again` may be called: what it costs comes on top.
        self.may_go_on = may_go_on
        self._opening: AbstractAsyncContextManager[UpstreamAnswer] | None = None
        self.progress = progress
        self.endpoint = services.endpoints[lease.key.name]
        self.record = AttemptRecord(lease.key.name, progress.model)
        progress.attempts.append(self.record)
        self._began_at = services.now()
        self._id = attempt_id(self._began_at)

    async def __aenter__(self) -> "Attempt[R]":
        self.progress.is_asking = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        failure = error.failure if isinstance(error, FailedError) else None
        is_done = error is None
        try:
            if self._opening is not None:
                await self._opening.__aexit__(kind, error, trace)
        except FailedError as redacted:
            # Do not store the error: its traceback refers to this frame, and a cycle would outlive the request.
            failure, is_done = redacted.failure, False
        except BaseException:
            is_done = False
            raise
        finally:
            self.progress.is_asking = False
            # Release the lease in any case, without an `await`: if closing the answer was cancelled, that would be too.
            self._services.dispatcher.release(self._lease, self._outcome(failure, is_done=is_done))
            self.record.entry = self._entry(failure, is_done=is_done)
        if failure is not None:
            await self._failed(self._lease, failure)
        elif is_done:
            self.progress.is_answered = True
        return failure is not None

    async def open(self) -> UpstreamAnswer:
        """Send the request; returns the answer once it is an acceptable one. Read its body inside this block."""
        services, forms, lease, endpoint = self._services, self._forms, self._lease, self.endpoint
        if forms.is_large:
            await forms.write_in_slices(lease, endpoint)
        request = forms.write_for(lease, endpoint)
        streams, self.record.terms = request.streams, request.terms
        # A local variable would keep the request in memory until the end of the stream.
        opening = services.upstream.open(endpoint, _call(request, self._id))
        del request
        answer = await opening.__aenter__()
        self._opening = opening
        services.dispatcher.answered(lease, answer.headers, answer.status)
        self.record.head_seconds = services.dispatcher.clock() - lease.acquired_at
        return await self._accepted(answer, streams=streams)

    @asynccontextmanager
    async def again(self, request: R) -> AsyncIterator[UpstreamAnswer]:
        """Make another call with the same key, for a turn that takes several."""
        services = self._services
        spent_seconds = services.dispatcher.clock() - self._lease.acquired_at
        async with services.upstream.open(self.endpoint, _call(request, self._id, spent_seconds)) as answer:
            yield await self._accepted(answer, streams=request.streams)

    @property
    def request(self) -> R:
        """What was sent. Keeping a reference keeps it in memory for as long as the stream runs."""
        return self._forms.sent

    @property
    def kept_turns(self) -> KeptTurns:
        """The kept turns of conversations."""
        return self._services.kept_turns

    @property
    def account(self) -> Account:
        """The account of the key, as far as it is known by now."""
        return self._services.pool.account_of(self._lease)

    @property
    def signer(self) -> Signer:
        """The account with its workspace."""
        return Signer(*self.account, self._services.pool.workspace_of(self._lease))

    @property
    def has_other_accounts(self) -> bool:
        """Whether the keys belong to more than one organization, as far as is known."""
        return sum(1 for _ in self._services.pool.organizations) > 1

    @property
    def is_committed(self) -> bool:
        """Whether the caller has seen content."""
        return self.progress.is_committed

    def commit(self) -> None:
        """The caller sees content from now on: no other key can take over, and nothing is sent again."""
        progress = self.progress
        if not progress.is_committed:
            progress.is_committed = True
            now = self._services.dispatcher.clock()
            progress.first_token_seconds = now - progress.began_at
            self.record.first_token_seconds = now - self._lease.acquired_at
            self._forms.let_go()

    def watch(self, answer: Watched) -> None:
        """Record what is known of an answer from now on, whatever happens to the rest."""
        self.record.usage, self.record.answer = answer.usage, answer

    def stopped_for(self, reason: str | None) -> None:
        """Record upstream's stop reason."""
        self.progress.stop_reason = self.record.stop_reason = reason

    async def _accepted(self, answer: UpstreamAnswer, *, streams: bool) -> UpstreamAnswer:
        """The answer, if it is an acceptable one; its head is recorded in any case."""
        headers = answer.headers
        self.record.upstream_request_id, self.record.status = headers.get("request-id"), answer.status
        self.progress.upstream_headers = headers
        if answer.status != _OK or (streams and not is_stream(answer)):
            raise FailedError(await refusal_of(answer, self.endpoint, self.record.model))
        return answer

    def _outcome(self, failure: Failure | None, *, is_done: bool) -> Outcome:
        """The outcome of the attempt; if the caller abandoned it, only its usage counts."""
        usage = self._chargeable(self.record.usage)
        return Outcome.of(failure, usage) if failure is not None else Outcome(is_success=is_done, usage=usage)

    def _entry(self, failure: Failure | None, *, is_done: bool) -> AttemptEntry:
        record, services = self.record, self._services
        usage, answer = record.usage, record.answer
        messages, is_final = usage.messages, usage.is_final
        if not is_final and answer is not None:
            messages = with_seen(messages, output_tokens_seen(answer.seen_bytes))
        usage.let_go()
        record.answer = None
        error = None if is_done else failure.kind.name.lower() if failure is not None else ABANDONED
        return AttemptEntry(
            self._id,
            record.key,
            host_of(self.endpoint.base_url),
            record.model,
            self._began_at,
            services.dispatcher.clock() - self._lease.acquired_at,
            record.first_token_seconds,
            record.status,
            record.upstream_request_id,
            record.stop_reason if is_done else None,
            error,
            messages,
            total_of(messages),
            # An answer that has begun costs something, also before it says so.
            not is_final or (not is_done and not messages and record.status == _OK),
            record.terms,
            services.prices.total(messages, record.model, record.terms),
            record.head_seconds,
        )

    def _chargeable(self, usage: Usage) -> Usage:
        """The usage that an answer can plausibly have: prompts fit the context window, outputs the model's limit."""
        if usage.output_tokens <= _SURE_OUTPUT_TOKENS and usage.prompt_tokens <= _SURE_PROMPT_TOKENS:
            return usage
        row = self._services.models.row(self.record.model)
        return usage.within(row.context, row.max_output)


def attempt_id(now: float) -> bytes:
    """A new id: 48 bits of milliseconds since 1970, so that ids are in the order of time, and 80 random bits."""
    return (int(now * 1000) << _RANDOM_BITS | getrandbits(_RANDOM_BITS)).to_bytes(16)


@lru_cache(maxsize=1024)
def host_of(base_url: str) -> str:
    """The host of an address, with a port that is not the usual one."""
    return urlsplit(base_url).netloc.rpartition("@")[2].lower()


def _call(request: Outgoing, attempt: bytes, spent_seconds: float = 0.0) -> Call:
    trace = CURRENT.get()
    told = () if trace is None else trace.headers_for(attempt)
    return Call(request.version, request.body, request.streams, request.betas, spent_seconds=spent_seconds, trace=told)
