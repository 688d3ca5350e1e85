"""What is common to all doors (the endpoints that generate text): how each request begins and ends."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Protocol

from starlette.types import Receive, Scope, Send

from gateway.accounts.auth import Caller
from gateway.accounts.visits import Accounts, Near, Visit
from gateway.doors.ending import Ending, RequestEnd
from gateway.doors.records import RequestSummary
from gateway.edge.interrupts import Interrupts
from gateway.edge.notes import notes_of
from gateway.edge.outcomes import Outcome, outcome_of
from gateway.edge.requests import read_body
from gateway.edge.responder import Responder, responder_of
from gateway.secret import Secret
from gateway.service.listening import Listener
from gateway.service.ports import Endpoint
from gateway.service.record import Progress, Record, record_of
from gateway.service.routing import Aliases
from gateway.service.services import Services
from translators.errors import FailedError, Failure

_WELL: Final = Outcome()


class Job(Protocol):
    """A request that has been read: what it asks for, and how it is answered."""

    @property
    def asked(self) -> RequestSummary: ...

    @property
    def progress(self) -> Sequence[Progress]:
        """The progress of its exchanges so far."""
        ...

    def headers(self, record: Record) -> Mapping[str, str]:
        """The headers of its answer, computed when the head is sent."""
        ...

    async def deliver(self, responder: Responder) -> None:
        """Send the answer; raises `FailedError` if the caller received nothing, or only a part."""
        ...

    async def explained(self, failure: Failure) -> Failure:
        """The failure in the caller's terms."""
        ...


class DoorSettings(NamedTuple):
    """The operator's settings that apply to all of these endpoints."""

    max_body_bytes: int
    keepalive_seconds: float
    fallbacks: Mapping[str, tuple[str, ...]] = {}


@dataclass(frozen=True, slots=True)
class DoorParts:
    """The objects that all of these endpoints share."""

    accounts: Accounts
    services: Services
    own_endpoint: Callable[[Secret], Endpoint]
    aliases: Aliases
    settings: DoorSettings
    interrupts: Interrupts
    ending: Ending
    trace: Callable[[Scope], str | None]


class Door:
    """The base of the endpoints that generate text; a subclass reads a request into a `Job`."""

    def __init__(self, shared: DoorParts) -> None:
        self._accounts = shared.accounts
        self._services = shared.services
        self._own_endpoint = shared.own_endpoint
        self._aliases = shared.aliases
        self._settings = shared.settings
        self._interrupts = shared.interrupts
        self._ending = shared.ending
        self._trace = shared.trace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        responder = responder_of(scope)
        visit = self._accounts.visit(scope)
        trace_id = self._trace(scope)
        began_at = time.perf_counter()
        heard = _listener(visit.caller, responder)
        if visit.is_ruled:
            visit.waits = lambda: self._interrupts.watch(scope, receive, responder)
            responder.more_headers = lambda: self._with_limits(visit, {})
        try:
            # Keep no reference to the body here: the job holds it only as long as it is needed, and a stream may run
            # for minutes.
            body = read_body(scope, receive, self._settings.max_body_bytes)
            try:
                job = await self._read(scope, await body if heard is None else heard.take(await body), visit)
            finally:
                # The visit and the responder must not refer to each other: a circle keeps the body until a collection.
                visit.waits = nullcontext
        except BaseException as error:
            seconds = time.perf_counter() - began_at
            end = RequestEnd(outcome_of(error), seconds, trace_id, heard)
            self._ending.refuse(responder.request_id, visit, seconds, end)
            raise
        read_at, outcome = time.perf_counter(), _WELL
        progress = job.progress
        responder.more_headers = lambda: self._with_limits(visit, job.headers(record_of(progress)))
        try:
            async with self._interrupts.watch(scope, receive, responder):
                await job.deliver(responder)
        except BaseException as error:
            outcome = outcome_of(error)
            if isinstance(error, FailedError):
                raise FailedError(await job.explained(error.failure)) from error
            raise
        finally:
            seconds = time.perf_counter() - began_at
            end = RequestEnd(outcome, read_at - began_at, trace_id, heard)
            self._ending.note(responder.request_id, notes_of(scope), job.asked, visit, progress, seconds, end)

    async def _read(self, scope: Scope, body: bytes, visit: Visit) -> Job:
        raise NotImplementedError

    def _with_limits(self, visit: Visit, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The headers of an answer, with how near the caller's rules are where that is nearer than upstream's."""
        near = visit.near
        return headers if near is None else self._told(near, dict(headers))

    def _told(self, near: Near, headers: dict[str, str]) -> Mapping[str, str]:
        return near.headers(headers)

    def _services_for(self, caller: Caller) -> Services:
        """The pool's services, or those for the caller's own key."""
        if caller.own_key is None:
            if caller.wire is None:
                return self._services
            return replace(self._services, upstream=caller.wire.tapped(self._services.upstream))
        return self._services.for_caller(self._own_endpoint(caller.own_key), caller.scope)


def _listener(caller: Caller, responder: Responder) -> Listener | None:
    """Hears what is said, if the caller's configuration lets it be kept, or the caller wants to see it."""
    if caller.wire is not None:
        responder.heard = caller.wire.hear
        return caller.wire
    if caller.keep_content_seconds is None:
        return None
    listener = Listener(caller.keep_content_seconds, is_traced=caller.traces_content)
    responder.heard = listener.hear
    return listener
