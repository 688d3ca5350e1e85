"""Native requests: upstream's answers are passed to the caller unchanged."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeAlias

import msgspec

from gateway.service.attempt import Attempt
from gateway.service.exchange import Exchange, NoAnswerError
from gateway.service.failures import MAX_ERROR_BYTES
from gateway.service.ports import Call, Client, Endpoint, Upstream, UpstreamAnswer
from gateway.service.relay import relay
from gateway.service.services import Services
from gateway.service.signers import Signer, Signers
from translators.errors import FailedError
from translators.native.answer import told_by
from translators.native.errors import with_answer
from translators.native.made import Made, made_in
from translators.native.request import NativeRequest
from translators.native.stream import NativeStream

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
# Passed on once it is certain that the caller gets this answer.
PASSING_HEADERS: Final = ("request-id", "retry-after")
# Limits of the key that was asked last, reported as in chat completions (`x-ratelimit-*`).
LIMIT_PREFIXES: Final = ("anthropic-ratelimit-", "anthropic-priority-", "anthropic-fast-")
# These identify the account, so only its owner gets them.
ACCOUNT_HEADERS: Final = ("anthropic-organization-id", "anthropic-workspace-id")

NativeExchange: TypeAlias = Exchange[NativeRequest]
NativeAttempt: TypeAlias = Attempt[NativeRequest]
OnHead: TypeAlias = Callable[[Mapping[str, str]], None]


@dataclass(frozen=True, slots=True)
class NativeAnswer:
    """A whole answer, as upstream sent it."""

    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Keeper:
    """Records which account made a client's answers; `has_thread`: later requests may continue from their ids."""

    signers: Signers
    scope: bytes
    has_thread: bool = False

    async def keep(self, attempt: NativeAttempt, made: Made, left_out: str) -> None:
        """Record a complete answer; when this returns, a request that continues it finds its account."""
        noted = self.note_thoughts(attempt, made, left_out)
        if self.has_thread and made.id is not None and attempt.progress.fallback is None:
            noted += self.signers.note_message(self.scope, made.id, attempt.signer)
        if noted:
            await self.signers.share(noted)

    def note_thoughts(self, attempt: NativeAttempt, made: Made, left_out: str) -> list[tuple[bytes, Signer]]:
        """Record who signed the thinking, if there are other accounts that could be asked."""
        if not made.digests or not attempt.has_other_accounts:
            return []
        signer = msgspec.structs.replace(attempt.signer, left_out=left_out)
        return self.signers.note_thoughts(self.scope, made.digests, signer)


class _Delivery:
    """Delivers a stream, and records which account made its thinking, even if the stream is cut off."""

    def __init__(
        self, attempt: NativeAttempt, on_begin: Callable[[], None], left_out: str, keeper: Keeper | None
    ) -> None:
        self.stream = NativeStream()
        self._attempt = attempt
        self._on_begin = on_begin
        self._left_out = left_out
        self._keeper = keeper

    @property
    def is_done(self) -> bool:
        return self.stream.is_done

    @property
    def is_silent(self) -> bool:
        return False

    def before_content(self) -> None:
        self._on_begin()

    async def before_end(self) -> None:
        if self._keeper is not None:
            # Before the caller can see the end of the answer and send the next request.
            await self._keeper.keep(self._attempt, self.stream.made, self._left_out)

    def after_piece(self) -> None:
        return

    def on_leave(self) -> None:
        """Called at the end, also of a cut-off answer: clients may continue with the part that they have."""
        if self._keeper is not None and not self.stream.is_done:
            self._keeper.note_thoughts(self._attempt, self.stream.made, self._left_out)


async def stream_native(
    exchange: NativeExchange, client: Client, on_head: OnHead, keeper: Keeper | None = None
) -> None:
    """Pass a stream on; raises `FailedError` if the caller received nothing, or only a part.

    `on_head` gets the headers to pass on, once it is certain which answer the caller gets.
    """
    async for attempt in exchange:
        async with attempt:
            answer = await attempt.open()
            on_begin = partial(on_head, passed_headers(answer.headers))
            delivery = _Delivery(attempt, on_begin, attempt.request.left_out, keeper)
            attempt.watch(delivery.stream)
            try:
                await relay(attempt, answer, delivery, client)
            finally:
                attempt.stopped_for(delivery.stream.stop_reason)
                delivery.on_leave()
            return
    raise NoAnswerError


async def fetch_native(exchange: NativeExchange, on_head: OnHead, keeper: Keeper | None = None) -> NativeAnswer:
    """A whole answer; raises `FailedError`. `on_head` is as in `stream_native`."""
    async for attempt in exchange:
        async with attempt:
            answer = await attempt.open()
            body = await answer.read(MAX_ANSWER_BYTES)
            attempt.record.usage, stop_reason = told_by(body)
            attempt.stopped_for(stop_reason)
            if keeper is not None and (keeper.has_thread or b"thinking" in body):
                await keeper.keep(attempt, made_in(body), attempt.request.left_out)
            on_head(passed_headers(answer.headers))
            return NativeAnswer(body, answer.headers.get("content-type", "application/json"))
    raise NoAnswerError


def native_services(services: Services, path: str, headers: tuple[tuple[str, str], ...]) -> Services:
    """The services for calls to another path with additional headers, which keep upstream's errors as they are."""
    return replace(services, upstream=_NativeUpstream(services.upstream, path, headers))


def passed_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The upstream headers that a caller gets."""
    return {name: headers[name] for name in PASSING_HEADERS if name in headers}


def limit_headers(headers: Mapping[str, str], *, is_callers_key: bool) -> dict[str, str]:
    """The upstream headers about limits, and about the account if it is the caller's own."""
    told = {name: value for name, value in headers.items() if name.startswith(LIMIT_PREFIXES)}
    if is_callers_key:
        told |= {name: headers[name] for name in ACCOUNT_HEADERS if name in headers}
    return told


@dataclass(frozen=True, slots=True)
class _NativeUpstream:
    """The network for native requests: another path, and failures that carry upstream's own error body."""

    inner: Upstream
    path: str
    headers: tuple[tuple[str, str], ...]

    @asynccontextmanager
    async def open(self, endpoint: Endpoint, call: Call) -> AsyncIterator[UpstreamAnswer]:
        opening = self.inner.open(endpoint, msgspec.structs.replace(call, path=self.path, headers=self.headers))
        # Drop the body, which is not needed again, since this block may run for long.
        del call
        async with opening as answer:
            if answer.status == 200:
                yield answer
                return
            body = await answer.read(MAX_ERROR_BYTES)
            try:
                yield _ReadAnswer(answer.status, answer.headers, body)
            except FailedError as error:
                request_id = answer.headers.get("request-id")
                is_callers_key = endpoint.is_callers_own
                raise FailedError(
                    with_answer(error.failure, answer.status, body, request_id, is_callers_key=is_callers_key)
                ) from error


@dataclass(slots=True)
class _ReadAnswer:
    """An answer whose body was already read."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_complete: bool = True

    async def push(self, sink: Callable[[bytes], bool]) -> None:
        while (piece := await self.receive()) and sink(piece):
            pass

    async def ended(self) -> None:
        return

    async def receive(self) -> bytes:
        piece, self.body = self.body, b""
        return piece

    async def read(self, limit: int) -> bytes:
        return self.body[:limit]
