"""`POST /v1/messages` and `POST /v1/messages/count_tokens`: Anthropic's Messages API, passed through."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, NamedTuple

from starlette.types import Scope

from gateway.accounts.auth import Caller
from gateway.accounts.visits import Near, Visit
from gateway.doors.betas import betas_of, header_values
from gateway.doors.door import Door, DoorParts
from gateway.doors.fronts import Front, Waits
from gateway.doors.native_past import NativeWriter
from gateway.doors.records import RequestSummary, gateway_headers
from gateway.doors.wishes import (
    ON_UNSUPPORTED,
    Admitted,
    as_admitted,
    asked_size,
    named,
    native_wish,
    stand_ins,
)
from gateway.edge.requests import headers_of
from gateway.edge.responder import Responder, responder_of
from gateway.edge.slices import LARGE_BYTES, in_slices
from gateway.service import counting
from gateway.service.exchange import Exchange
from gateway.service.native import Keeper, NativeExchange, fetch_native, limit_headers, native_services, stream_native
from gateway.service.record import Progress, Record
from gateway.service.services import Candidate
from translators.adjustments import united
from translators.errors import Blame, ErrorKind, FailedError, Failure, TranslationError
from translators.hosts import HostProfile
from translators.native.allowed import Allowed, check_allowed, check_allowed_in_steps, passing_betas
from translators.native.errors import Refusal
from translators.native.request import (
    DEFAULT_VERSION,
    Asked,
    NativeRequest,
    read_native,
    read_native_in_steps,
    with_max_tokens_in_steps,
    with_model,
    with_model_in_steps,
)
from translators.native.sessions import LONGEST_SESSION, SESSION_HEADERS
from translators.native.stream import PING
from translators.native.thinking import Thinking, find_thinking, find_thinking_in_steps, may_hold_thinking
from translators.native.threads import Thread, read_thread, thread_unsupported
from translators.prefixes import session_prefix
from translators.steps import in_one_go

# Passed on besides `anthropic-version` and `anthropic-beta`: no credentials, nothing that identifies the client.
PASSING_HEADERS: Final = (b"anthropic-user-profile-id",)
_VERSION: Final = re.compile(r"20\d\d-\d\d-\d\d")
_SESSIONS: Final = frozenset(SESSION_HEADERS)
# Failures after which another key, which does not reach the thread, might still serve.
_OUT_OF_REACH: Final = frozenset({Blame.KEY, Blame.KEY_LIMIT, Blame.WORKSPACE, Blame.ORGANIZATION, Blame.HOST})


@dataclass(frozen=True, slots=True)
class NativeRoute:
    """One of the two endpoints: its path upstream, and the name of a model's limits in the pool."""

    path: str
    streams: bool
    limits_of: Callable[[str], str]


MESSAGES: Final = NativeRoute("/v1/messages", True, lambda model: model)
# Counting has its own limits, and not every host offers it: neither may affect the model's messages.
COUNT_TOKENS: Final = NativeRoute(counting.PATH, False, counting.limits_of)


class Reach(NamedTuple):
    """The keys that a request must not use: they do not reach the thread (stored by upstream) that it continues.

    `has_way_out` says that another key or model could answer if the client sent the whole conversation.
    """

    barred: frozenset[str] = frozenset()
    has_way_out: bool = False


_ANYWHERE: Final = Reach()


class Messages(Door):
    """Sends the caller's request with a pool key and the resolved model, and passes upstream's answer through."""

    def __init__(self, route: NativeRoute, shared: DoorParts, allowed: Allowed) -> None:
        super().__init__(shared)
        self._route = route
        self._allowed = allowed

    def _told(self, near: Near, headers: dict[str, str]) -> Mapping[str, str]:
        return near.native_headers(headers)

    async def _read(self, scope: Scope, body: bytes, visit: Visit) -> "_NativeJob":
        caller = visit.caller
        asked = await self._asked(body, caller)
        waits = self._waits(responder_of(scope), visit) if visit.is_ruled and self._streams(asked) else None
        admitted, body = await self._admitted(scope, asked, body, visit)
        thread = read_thread(asked.thread) if asked.thread is not None and caller.own_key is None else None
        reach = await self._reach(caller, asked, thread) if thread is not None else _ANYWHERE
        exchange = await self._exchange(scope, visit, asked, body, reach, admitted)
        admitted.note(exchange.progress)
        return _NativeJob(
            asked=RequestSummary(asked.model, asked.streams, is_counted=self._route.streams),
            exchange=exchange,
            keeper=self._keeper(caller, thread),
            caller=caller,
            streams=self._streams(asked),
            has_way_out=reach.has_way_out,
            front=waits.front if waits is not None else None,
            keepalive_seconds=self._settings.keepalive_seconds,
        )

    async def _asked(self, body: bytes, caller: Caller) -> Asked:
        """The request's parameters, if this caller may use them."""
        is_large = len(body) > LARGE_BYTES
        asked = await in_slices(read_native_in_steps(body)) if is_large else read_native(body)
        if caller.own_key is not None:
            return asked
        allowed = self._allowed
        if caller.limits is not None and caller.limits.models:
            allowed = allowed.without_other_models()
        if is_large:
            await in_slices(check_allowed_in_steps(body, allowed))
        else:
            check_allowed(body, allowed)
        return asked

    async def _admitted(self, scope: Scope, asked: Asked, body: bytes, visit: Visit) -> tuple[Admitted, bytes]:
        """The request as the accounts admit it, and its body; raises `FailedError` if they do not."""
        model = named(asked.model, self._aliases)
        wish = native_wish(model, asked, await asked_size(body, visit), generates=self._route.streams)
        admission = await visit.admit(wish)
        rejects = headers_of(scope).get(ON_UNSUPPORTED) == b"reject"
        result = as_admitted(model.understood, admission, rejects=rejects)
        most = admission.max_tokens
        if most is not None and asked.max_tokens is None:
            # Upstream may take "100" and 1e2 for a number: what cannot be lowered is not sent.
            raise TranslationError("max_tokens: Input should be a valid integer.", param="max_tokens")
        if most is not None and asked.max_tokens is not None and most < asked.max_tokens:
            steps = with_max_tokens_in_steps(body, most)
            body = await in_slices(steps) if len(body) > LARGE_BYTES else in_one_go(steps)
        return result, body

    def _waits(self, responder: Responder, visit: Visit) -> Waits[Front]:
        """Keep the stream alive if it has to wait for a rule."""
        interval = self._settings.keepalive_seconds
        visit.waits = waits = Waits(visit.waits, lambda: Front(responder, interval, lambda: PING))
        return waits

    def _streams(self, asked: Asked) -> bool:
        return asked.streams and self._route.streams

    def _keeper(self, caller: Caller, thread: Thread | None) -> Keeper | None:
        """Records which account made the answer; not needed for a caller's own key."""
        if caller.own_key is not None or not self._route.streams:
            return None
        return Keeper(self._services.signers, caller.scope, has_thread=thread is not None)

    async def _reach(self, caller: Caller, asked: Asked, thread: Thread) -> Reach:
        """The keys that do not reach the thread a request continues; raises `FailedError` if no key does."""
        if thread.continues is None:
            return _ANYWHERE
        signer = await self._services.signers.signer_of(caller.scope, thread.continues)
        pool = self._services.pool
        barred = pool.elsewhere(signer.account, signer.workspace) if signer is not None and signer.account else None
        if barred is None or len(barred) == len(pool):
            raise FailedError(thread_unsupported())
        return Reach(barred, bool(barred or self._fallbacks(caller, self._aliases.resolve(asked.model).id)))

    def _fallbacks(self, caller: Caller, model: str) -> Sequence[str]:
        return stand_ins(caller, self._settings.fallbacks.get(model, ()))

    async def _exchange(
        self, scope: Scope, visit: Visit, asked: Asked, body: bytes, reach: Reach, admitted: Admitted
    ) -> NativeExchange:
        caller, understood = visit.caller, admitted.understood
        model = understood.id
        services = self._services_for(caller)
        headers = tuple((name.decode(), value) for name in PASSING_HEADERS for value in header_values(scope, name)[:1])
        betas, adjusted = betas_of(scope), None
        if caller.own_key is None:
            betas, adjusted = passing_betas(betas, self._allowed)
        if understood.effort or understood.thinks:
            # The body says how much to think; a suffix of the model's name that says so too is dropped.
            adjusted = united((adjusted, "model=suffix-dropped"))
        request = NativeRequest(
            body,
            streams=self._streams(asked),
            version=_version(scope),
            betas=betas,
            adjusted=adjusted,
            terms=asked.terms,
        )
        # No other model can continue a thread.
        models = (model, *(() if reach.has_way_out else self._fallbacks(caller, model)))
        candidates = [await self._candidate(request, asked, name, caller, reach) for name in models]
        session = _session(scope) or asked.session
        return Exchange(
            native_services(services, self._route.path, headers),
            candidates,
            caller=caller.name,
            prefix=asked.prefix if session is None else session_prefix(asked.model, caller.name, session),
            may_go_on=visit.may_go_on,
        )

    async def _candidate(
        self, request: NativeRequest, asked: Asked, model: str, caller: Caller, reach: Reach
    ) -> Candidate[NativeRequest]:
        if model != asked.model:
            is_large = len(request.body) > LARGE_BYTES
            body = request.body
            changed = await in_slices(with_model_in_steps(body, model)) if is_large else with_model(body, model)
            request = replace(request, body=changed)
        limits = self._route.limits_of(model)
        if caller.own_key is None and may_hold_thinking(request.body):
            thinking = await _thinking_in(request.body)
            if thinking is not None:
                recalled = await self._services.signers.recall(caller.scope, thinking.digests)
                write = NativeWriter(request, thinking, recalled, self._services.signers, caller.scope)
                return Candidate(model, write, write.learn, limits, recalled.account, barred=reach.barred)
        return Candidate(model, partial(_same_for_every_host, request), limits=limits, barred=reach.barred)


class _NativeJob:
    """One native request."""

    def __init__(
        self,
        *,
        asked: RequestSummary,
        exchange: NativeExchange,
        keeper: Keeper | None,
        caller: Caller,
        streams: bool,
        has_way_out: bool,
        front: Front | None,
        keepalive_seconds: float,
    ) -> None:
        self.asked = asked
        self.progress: Sequence[Progress] = (exchange.progress,)
        self._exchange = exchange
        self._keeper = keeper
        self._caller = caller
        self._streams = streams
        self._has_way_out = has_way_out
        self._keepalive_seconds = keepalive_seconds
        self._front = front
        # The headers of upstream's answer to pass on, once it is certain that the caller gets this answer.
        self._passed: dict[str, str] = {}

    def headers(self, record: Record) -> Mapping[str, str]:
        """Upstream's own headers where its answer is passed on, and how the gateway obtained it."""
        is_callers_key = self._caller.own_key is not None
        return {
            **gateway_headers(record, names_key=self._caller.sees_key),
            **limit_headers(record.upstream_headers, is_callers_key=is_callers_key),
            **self._passed,
        }

    async def deliver(self, responder: Responder) -> None:
        """Pass upstream's answer through."""
        self._passed["request-id"] = responder.request_id
        exchange, keeper = self._exchange, self._keeper
        if not self._streams:
            answer = await fetch_native(exchange, self._passed.update, keeper)
            await responder.send_body(200, answer.body, answer.content_type)
            return
        front = self._front or Front(responder, self._keepalive_seconds, lambda: PING)
        front.follow(self.progress)
        with front.client as client:
            await stream_native(exchange, client, self._passed.update, keeper)

    async def explained(self, failure: Failure) -> Failure:
        """The failure unchanged; if the thread cannot be reached, an error on which the client continues without it."""
        if self._has_way_out and not self._exchange.progress.is_committed and _is_out_of_reach(failure):
            return thread_unsupported()
        return failure


async def _thinking_in(body: bytes) -> Thinking | None:
    return await in_slices(find_thinking_in_steps(body)) if len(body) > LARGE_BYTES else find_thinking(body)


def _is_out_of_reach(failure: Failure) -> bool:
    """Whether no key that reaches the thread can serve now, so that the client should send the whole conversation."""
    if isinstance(failure, Refusal):
        return False
    return failure.kind is ErrorKind.OVERLOADED or failure.rule.blame in _OUT_OF_REACH


def _session(scope: Scope) -> str | None:
    """The session that a header names; of several, the first in the order of `SESSION_HEADERS`."""
    found: dict[bytes, bytes] = {name: value for name, value in scope["headers"] if name in _SESSIONS}
    for name in SESSION_HEADERS if found else ():
        if (value := found.get(name)) and len(value) <= LONGEST_SESSION:
            return value.decode("latin-1")
    return None


def _same_for_every_host(request: NativeRequest, _host: HostProfile, _is_home: bool) -> NativeRequest:
    return request


def _version(scope: Scope) -> str:
    for version in header_values(scope, b"anthropic-version"):
        if not _VERSION.fullmatch(version):
            raise TranslationError("The header anthropic-version has to be a date, as 2023-06-01.")
        return version
    return DEFAULT_VERSION
