"""One request's attempts: a key, a call, an answer, and another key as long as the caller has seen nothing.

The *commit point* is the first content that goes to the caller. Before it any failure can be answered by another
attempt; after it, a failure is the caller's to know.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from gateway.keypool import ABANDONED, SUCCESS, Key, KeyPool, Lease, Outcome
from gateway.proxy.ports import Call, Client, Endpoint, Upstream, UpstreamAnswer
from gateway.proxy.retry import RetryPolicy, blames_key, delay_before_retry
from translators.chat.answer import Answer, MessageFold, read_message
from translators.chat.request import MessagesRequest
from translators.chat.stream import ChatStream, State
from translators.errors import ErrorKind, FailedError, Failure
from translators.hosts import HostProfile
from translators.upstream_errors import answered_failure
from translators.usage import Usage

MAX_ERROR_BYTES: Final = 64 * 1024
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
# After `message_stop` only the end of the body is due; without it the connection cannot be used again.
DRAIN_SECONDS: Final = 1.0

T = TypeVar("T")


@dataclass(slots=True)
class Record:
    """What became of one request, for the caller's headers and for the log."""

    attempts: int = 0
    key: str | None = None
    model: str | None = None
    adjusted: str | None = None
    upstream_request_id: str | None = None
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


class Exchange:
    """One request on its way; `write` gives its Messages form for a host (called again when the host changes)."""

    def __init__(self, services: Services, model: str, write: Callable[[HostProfile], MessagesRequest]) -> None:
        self.record = Record(model=model)
        self._services = services
        self._model = model
        self._write = write
        self._written: dict[HostProfile, MessagesRequest] = {}
        self._began_at = services.clock()
        self._is_committed = False

    def prepare(self) -> None:
        """Translate for the first host, so that what cannot be translated fails before anything else is done."""
        endpoint = next(iter(self._services.endpoints.values()), None)
        if endpoint is not None:
            self._request_for(endpoint)

    async def stream(self, client: Client, *, created: int, include_usage: bool) -> None:
        """Answer with a stream; raises `FailedError` when nothing or only a part of the answer reached the caller."""

        async def relay(answer: UpstreamAnswer, request: MessagesRequest) -> None:
            stream = ChatStream(created=created, include_usage=include_usage, tool_names=request.tool_names)
            self.record.usage = stream.usage
            while data := await answer.receive():
                await self._pass_on(stream, stream.feed(data), client)
                if stream.state is State.DONE:
                    await _drain(answer)
                    return
                if stream.failure is not None:
                    raise FailedError(stream.failure)
            await self._pass_on(stream, stream.end(), client)
            if stream.failure is not None:
                raise FailedError(stream.failure)

        await self._attempt(relay)

    async def fetch(self) -> tuple[Answer, Mapping[str, str]]:
        """Answer in one piece, with the tool names to restore; raises `FailedError`."""

        async def collect(answer: UpstreamAnswer, request: MessagesRequest) -> tuple[Answer, Mapping[str, str]]:
            message = await (_fold(answer) if request.streams else _read(answer))
            self.record.usage = message.usage
            return message, request.tool_names

        return await self._attempt(collect)

    async def _pass_on(self, stream: ChatStream, output: bytes, client: Client) -> None:
        if stream.state is State.DONE:
            self._is_committed = True
            await client.finish(output)
        elif output:
            self._is_committed = True
            await client.write(output)
        elif stream.has_started_block:
            # Thinking that is not shown: a sign of life for the caller, and still no commitment to this key.
            await client.begin()

    async def _attempt(self, consume: Callable[[UpstreamAnswer, MessagesRequest], Awaitable[T]]) -> T:
        """Run `consume` on answer after answer until one succeeds or the retries are used up."""
        excluded: frozenset[str] = frozenset()
        avoided: frozenset[str] = frozenset()
        last: Failure | None = None
        while True:
            lease = self._services.pool.acquire(self._services.clock(), self._model, exclude=excluded, avoid=avoided)
            if lease is None:
                raise FailedError(last or self._no_key())
            try:
                return await self._attempt_once(lease, consume)
            except FailedError as error:
                last = self._more_telling(last, error.failure)
                self.record.failures.append(
                    f"{lease.key.name}: {error.failure.kind.name.lower()} {error.failure.detail}"
                )
                await self._before_next(error.failure, last)
                if blames_key(error.failure):
                    excluded |= {lease.key.name}
                avoided |= {lease.key.name}

    async def _attempt_once(
        self, lease: Lease, consume: Callable[[UpstreamAnswer, MessagesRequest], Awaitable[T]]
    ) -> T:
        endpoint = self._services.endpoints[lease.key.name]
        self.record.attempts += 1
        self.record.key = lease.key.name
        outcome = ABANDONED
        try:
            request = self._request_for(endpoint)
            call = Call(request.version, request.body, request.streams)
            async with self._services.upstream.open(endpoint, call) as answer:
                self.record.upstream_request_id = answer.headers.get("request-id")
                await _check_accepted(answer, call, endpoint)
                result = await consume(answer, request)
            outcome = SUCCESS
            return result
        except FailedError as error:
            outcome = Outcome.of(error.failure)
            raise
        finally:
            # A plain call: after the caller has left, an await here would be cancelled again.
            self._services.pool.release(lease, outcome, self._services.clock())

    def _request_for(self, endpoint: Endpoint) -> MessagesRequest:
        profile = endpoint.profile
        if profile not in self._written:
            self._written[profile] = self._write(profile)
        request = self._written[profile]
        self.record.adjusted = request.adjusted
        return request

    async def _before_next(self, failure: Failure, to_tell: Failure) -> None:
        """Wait as the retry policy says; raises what the caller is to be told where there is no next attempt."""
        delay = None
        if not self._is_committed:
            services = self._services
            delay = delay_before_retry(
                failure,
                attempt=self.record.attempts,
                elapsed_seconds=services.clock() - self._began_at,
                policy=services.policy,
                jitter=services.jitter(),
            )
        if delay is None:
            raise FailedError(failure if self._is_committed else to_tell)
        if delay:
            await self._services.sleep(delay)

    def _more_telling(self, last: Failure | None, failure: Failure) -> Failure:
        """Of several failures the one that helps the caller: a limit passes, a refused key of the pool does not."""
        if last is not None and failure.kind is ErrorKind.KEY_REJECTED:
            return last
        return failure

    def _no_key(self) -> Failure:
        kind, seconds = self._services.pool.why_none(self._services.clock(), self._model)
        if kind is ErrorKind.KEY_REJECTED:
            message = "Every upstream key of the gateway was refused lately; its log names them. Your key is fine."
            return Failure(kind, message)
        message = f"Every upstream key of the gateway is at its rate limit. Please try again in {seconds:.1f}s."
        return Failure(kind, message, retry_after_seconds=seconds)


async def _check_accepted(answer: UpstreamAnswer, call: Call, endpoint: Endpoint) -> None:
    if answer.status != 200:
        raise FailedError(
            answered_failure(
                answer.status,
                await answer.read(MAX_ERROR_BYTES),
                retry_after_seconds=_retry_after(answer.headers),
                is_callers_key=endpoint.is_callers_own,
            )
        )
    content_type = answer.headers.get("content-type", "")
    if call.streams and not content_type.startswith("text/event-stream"):
        message = f"Upstream answered with {content_type or 'no content type'} where a stream of events was due."
        raise FailedError(Failure(ErrorKind.PROTOCOL_ERROR, message))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `retry-after`; a date is left to the default."""
    for name, divisor in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) / divisor
        except (KeyError, ValueError):
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    return None


async def _fold(answer: UpstreamAnswer) -> Answer:
    fold = MessageFold()
    while data := await answer.receive():
        fold.feed(data)
        if fold.is_complete:
            await _drain(answer)
            return fold.answer
    fold.end()
    return fold.answer


async def _read(answer: UpstreamAnswer) -> Answer:
    return read_message(await answer.read(MAX_ANSWER_BYTES))


async def _drain(answer: UpstreamAnswer) -> None:
    """Read the end of a finished body, which frees its connection for the next call."""
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while await answer.receive():
                pass
    except (TimeoutError, FailedError):
        # The answer is complete; only the connection is lost.
        return
