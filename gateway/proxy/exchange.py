"""One request's attempts: a key, a call, an answer, and another key as long as the caller has seen nothing.

What is done with an answer is the endpoint's own (`chat.py` beside this file): it comes in as a function.

The *commit point* is the first content that goes to the caller. Before it any failure can be answered by another
attempt; after it, a failure is the caller's to know.
"""

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

from msgspec import Struct, field

from gateway.keypool import ABANDONED, SUCCESS, Key, KeyPool, Lease, Outcome
from gateway.proxy.ports import Call, Endpoint, Outgoing, Upstream, UpstreamAnswer
from gateway.proxy.retry import RetryPolicy, blames_key, delay_before_retry
from translators.errors import Blame, ErrorKind, FailedError, Failure
from translators.hosts import HostProfile
from translators.upstream_errors import answered_failure
from translators.usage import Usage

MAX_ERROR_BYTES: Final = 64 * 1024
# After `message_stop` only the end of the body is due; without it the connection cannot be used again.
DRAIN_SECONDS: Final = 0.25
# So many corrections of what the gateway wrote are tried for one request.
MAX_LESSONS: Final = 3

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
    usage: Usage = field(default_factory=Usage)
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Services:
    """What every exchange works with. `clock` gives monotonic seconds, `sleep` and `jitter` are for retries."""

    pool: KeyPool
    endpoints: Mapping[str, Endpoint]
    upstream: Upstream
    policy: RetryPolicy
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random

    def for_caller(self, endpoint: Endpoint) -> "Services":
        """The same for a caller who brought a key: a pool of that one."""
        pool = KeyPool([Key(endpoint.name)])
        return Services(
            pool, {endpoint.name: endpoint}, self.upstream, self.policy, self.clock, self.sleep, self.jitter
        )


class Exchange(Generic[R]):
    """One request on its way; `write` gives its Messages form for a kind of host.

    `learn` is told of a 400 and of what was sent; where `write` gives another form after that, it is tried.
    """

    def __init__(
        self,
        services: Services,
        model: str,
        write: Callable[[HostProfile], R],
        learn: Callable[[HostProfile, str, R], None] = lambda host, message, sent: None,
    ) -> None:
        self.record = Record(model=model)
        self._services = services
        self._model = model
        self._write: Callable[[HostProfile], R] | None = write
        self._learn: Callable[[HostProfile, str, R], None] | None = learn
        self._lessons = 0
        self._began_at = services.clock()
        self._is_committed = False
        self._tries = 0
        # What the running attempt goes to, and what it has sent there.
        self._endpoint: Endpoint | None = None
        self._sent: R | None = None

    def prepare(self) -> R | None:
        """Translate for the first host, so that what cannot be translated fails before anything else is done."""
        endpoint = next(iter(self._services.endpoints.values()), None)
        return self._request_for(endpoint) if endpoint is not None else None

    @property
    def is_committed(self) -> bool:
        """Whether the caller has seen content."""
        return self._is_committed

    def commit(self) -> None:
        """The caller has seen content: from now on no other key can take over, and nothing is sent again."""
        self._is_committed = True
        # A request may be many megabytes, and its stream go on for minutes.
        self._write = self._learn = self._sent = None

    def head_has_left(self) -> None:
        """The caller has the head of the answer: what upstream said in its own is not asked for again."""
        self.record.upstream_headers = {}

    async def attempt(self, consume: Callable[[UpstreamAnswer, R], Awaitable[T]]) -> T:
        """Run `consume` on answer after answer until one succeeds or the retries are used up."""
        excluded = avoided = _NO_KEYS
        last: Failure | None = None
        while True:
            lease = self._services.pool.acquire(self._services.clock(), self._model, exclude=excluded, avoid=avoided)
            if lease is None:
                raise FailedError(self._when_ready(last or self._no_key()))
            try:
                return await self._attempt_once(lease, consume)
            except FailedError as error:
                self._note(lease.key.name, error.failure)
                if self._has_learned(lease, error.failure):
                    continue
                last = _more_telling(last, error.failure)
                await self._before_next(error.failure, last)
                if blames_key(error.failure):
                    excluded |= {lease.key.name}
                avoided |= {lease.key.name}

    async def _attempt_once(self, lease: Lease, consume: Callable[[UpstreamAnswer, R], Awaitable[T]]) -> T:
        endpoint = self._services.endpoints[lease.key.name]
        self.record.attempts += 1
        self.record.key = lease.key.name
        outcome = ABANDONED
        try:
            request = self._sent = self._request_for(endpoint)
            self._endpoint, streams = endpoint, request.streams
            # Who holds the request here would hold it up to the end of the stream.
            opening = self._services.upstream.open(endpoint, _call(request))
            del request
            async with opening as answer:
                if not self._accepts(answer, streams=streams):
                    raise FailedError(await _refusal(answer, endpoint))
                result = await consume(answer, self._sent)
            outcome = SUCCESS
            return result
        except FailedError as error:
            outcome = Outcome.of(error.failure)
            raise
        finally:
            # A plain call: after the caller has left, an await here would be cancelled again.
            self._services.pool.release(lease, outcome, self._services.clock())

    @asynccontextmanager
    async def again(self, request: R) -> AsyncIterator[UpstreamAnswer]:
        """Another call with the same key inside of an attempt, for a turn that takes more than one."""
        endpoint = self._endpoint
        assert endpoint is not None, "only inside of an attempt"
        async with self._services.upstream.open(endpoint, _call(request)) as answer:
            if not self._accepts(answer, streams=request.streams):
                raise FailedError(await _refusal(answer, endpoint))
            yield answer

    def _accepts(self, answer: UpstreamAnswer, *, streams: bool) -> bool:
        """Take down an answer's head, and whether it is what was asked for."""
        self.record.upstream_request_id = answer.headers.get("request-id")
        self.record.upstream_headers = answer.headers
        return answer.status == 200 and (not streams or _is_stream(answer))

    def _request_for(self, endpoint: Endpoint) -> R:
        assert self._write is not None, "nothing is sent anew behind the commit point"
        request = self._write(endpoint.profile)
        self.record.adjusted = request.adjusted
        return request

    def _has_learned(self, lease: Lease, failure: Failure) -> bool:
        """Whether a 400 was about something the gateway itself had chosen, and is worth another try without it."""
        if failure.kind is not ErrorKind.INVALID_REQUEST or self._lessons >= MAX_LESSONS:
            return False
        if self._write is None or self._learn is None:
            # Committed: it is too late.
            return False
        self._lessons += 1
        profile = self._services.endpoints[lease.key.name].profile
        if self._sent is not None:
            self._learn(profile, failure.message, self._sent)
        # Another request may have learned the same a moment before: what counts is what would be sent now.
        return self._write(profile) is not self._sent

    def _note(self, key: str, failure: Failure) -> None:
        self.record.failures.append(f"{key}: {failure.kind.name.lower()} {failure.detail or failure.message}")
        # Another key is another try only where the key was not to blame: there are not endlessly many of them.
        self._tries += not blames_key(failure)

    async def _before_next(self, failure: Failure, to_tell: Failure) -> None:
        """Wait as the retry policy says; raises what the caller is to be told where there is no next attempt."""
        if self._is_committed:
            raise FailedError(failure)
        services = self._services
        delay = delay_before_retry(
            failure,
            attempt=self._tries,
            elapsed_seconds=services.clock() - self._began_at,
            policy=services.policy,
            jitter=services.jitter(),
        )
        if delay is None:
            raise FailedError(self._when_ready(to_tell))
        if delay:
            await services.sleep(delay)

    def _no_key(self) -> Failure:
        kind, seconds = self._services.pool.why_none(self._services.clock(), self._model)
        if kind is ErrorKind.MODEL_REFUSED:
            message = f"The model `{self._model}` does not exist or you do not have access to it."
            return Failure(kind, message)
        if kind is ErrorKind.KEY_REJECTED:
            message = "Every upstream key of the gateway was refused lately; its log names them. Your key is fine."
            return Failure(kind, message)
        return Failure(kind, "Every upstream key of the gateway is at its rate limit.", retry_after_seconds=seconds)

    def _when_ready(self, failure: Failure) -> Failure:
        """A rate limit as the whole pool has it: with the time when the first key is ready again, also in words."""
        if failure.rule.blame is not Blame.KEY_LIMIT:
            return failure
        kind, seconds = self._services.pool.why_none(self._services.clock(), self._model)
        if kind is not ErrorKind.RATE_LIMITED:
            return failure
        # Some clients read the time in the message; the Python SDK ignores headers above 120 seconds.
        message = f"{failure.message} Please try again in {math.ceil(seconds * 10) / 10:g}s."
        return replace(failure, message=message, retry_after_seconds=seconds)


def _call(request: Outgoing) -> Call:
    return Call(request.version, request.body, request.streams, request.betas)


def _more_telling(last: Failure | None, failure: Failure) -> Failure:
    """Of several failures the one that helps the caller: a limit passes, a refused key of the pool does not."""
    return last if last is not None and failure.kind is ErrorKind.KEY_REJECTED else failure


def _is_stream(answer: UpstreamAnswer) -> bool:
    return answer.headers.get("content-type", "").lower().startswith("text/event-stream")


async def _refusal(answer: UpstreamAnswer, endpoint: Endpoint) -> Failure:
    """What an answer means that is not what was asked for."""
    if answer.status != 200:
        try:
            body = await answer.read(MAX_ERROR_BYTES)
        except FailedError:
            # The status says enough.
            body = b""
        return answered_failure(answer.status, body, answer.headers, is_callers_key=endpoint.is_callers_own)
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
