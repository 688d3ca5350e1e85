"""`background: true`: the response is answered at once, and made by a task that outlives its request."""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from msgspec.structs import replace

from gateway.accounts.visits import Visit
from gateway.doors.ending import Ending, RequestEnd
from gateway.doors.generation import GenerationJob
from gateway.edge.following import send_events
from gateway.edge.interrupts import Interruptible, Interrupts
from gateway.edge.notes import Notes
from gateway.edge.outcomes import CLIENT_GONE_STATUS, Outcome, outcome_of
from gateway.edge.responder import Responder
from gateway.service.background import Run
from gateway.service.event_log import EventLog
from gateway.service.record import Progress, Record, record_of
from gateway.service.responses import CANCELLED, FAILED, RUNNING, StoredResponse
from gateway.service.services import Services
from gateway.telemetry.logs import log_fields
from translators.errors import ErrorKind, FailedError, Failure
from translators.responses.events import (
    failed_response,
    failure_events,
    keepalive_event,
    last_events,
    queued_events,
)
from translators.responses.frame import ResponsesFrame

_COMPLETED = "completed"
_BROKEN = "The gateway has failed ({}); its log has the details under this request's id."


class _CancelledRunError(Exception):
    """The response was cancelled."""


@dataclass(frozen=True, slots=True)
class BackgroundParts:
    """What such a request needs of its door."""

    services: Services
    interrupts: Interrupts
    ending: Ending
    keepalive_seconds: float


class BackgroundJob:
    """A request that is answered with the queued response, or with its events if `shows_events`.

    Only what ends the response itself ends its task: a cancellation, a shutdown, a failure. `record` makes what is kept
    of a response object without a whole answer, given why it has none.
    """

    def __init__(
        self,
        job: GenerationJob,
        frame: ResponsesFrame,
        record: Callable[[bytes, str], StoredResponse],
        parts: BackgroundParts,
        visit: Visit,
        *,
        shows_events: bool,
    ) -> None:
        # The task has a record of its own, which is counted when it ends.
        self.asked = replace(job.asked, is_stream=shows_events, is_counted=False)
        self.progress = [Progress(job.progress[0].model)]
        self._job = job
        self._frame = frame
        self._record = record
        self._parts = parts
        self._visit = visit
        self._caller = visit.caller
        self._request_id = ""

    def headers(self, record: Record) -> Mapping[str, str]:
        """What is known before the first attempt."""
        return self._job.headers(record_of(self._job.progress))

    async def explained(self, failure: Failure) -> Failure:
        """The failure in the caller's terms."""
        return await self._job.explained(failure)

    async def deliver(self, responder: Responder) -> None:
        """Begin to make the response; what is wrong with the request is told at once."""
        await self._job.prepare()
        self._request_id = responder.request_id
        services, scope, frame = self._parts.services, self._caller.scope, self._frame
        response, background = frame.response("queued"), services.background
        queued = self._record(response, RUNNING)
        visit = self._visit.hand_over()
        make = partial(self._make, visit)
        try:
            await background.start(scope, services.responses, queued, queued_events(frame), make)
        except BaseException:
            visit.settle(None)
            raise
        # Do not keep the request in memory as long as a client follows.
        del queued
        if not self.asked.is_stream:
            await responder.send_json(200, response)
            return
        await send_events(responder, background.follow(scope, frame.id, 0, self._parts.keepalive_seconds), 0)

    async def _make(self, visit: Visit, run: Run) -> None:
        """Make the response, keep how it has ended, and write the log line."""
        job, responder = self._job, Responder(_into(run.log), self._request_id)
        notes, began_at, ended, outcome = Notes(), time.perf_counter(), _COMPLETED, Outcome()
        try:
            run.log.add(keepalive_event(self._frame))
            async with self._cancellable(run, responder):
                await job.deliver(responder)
        except _CancelledRunError:
            ended, outcome = CANCELLED, Outcome(CLIENT_GONE_STATUS, CANCELLED)
            await self._cancelled(run)
        except FailedError as error:
            ended, outcome = FAILED, outcome_of(error)
            await self._failed(run, responder, notes, await job.explained(error.failure))
        except Exception as error:
            ended, outcome = FAILED, outcome_of(error)
            logging.getLogger("dragoman").exception("The gateway has failed. request_id=%s", self._request_id)
            failure = Failure(ErrorKind.INTERNAL, _BROKEN.format(type(error).__name__))
            await self._failed(run, responder, notes, failure)
        finally:
            self._note(visit, notes, ended, time.perf_counter() - began_at, outcome)

    def _cancellable(self, run: Run, responder: Responder) -> Interruptible:
        """A block that ends with its run or with the gateway; no client can leave it."""

        async def cancelled() -> dict[str, str]:
            await run.is_cancelled.wait()
            block.interrupt(_CancelledRunError())
            return {"type": "http.disconnect"}

        block = self._parts.interrupts.watch({}, cancelled, responder)
        return block

    async def _cancelled(self, run: Run) -> None:
        frame, usage = self._frame, record_of(self._job.progress).answer_usage.as_responses_json()

        def response() -> bytes:
            return frame.response("cancelled", items=frame.items, usage=usage)

        events = last_events(response(), frame.sequence)
        await self._keep(response, CANCELLED)
        run.was_cancelled = True
        run.log.add(events)

    async def _failed(self, run: Run, responder: Responder, notes: Notes, failure: Failure) -> None:
        notes.level = logging.WARNING
        notes.fields["error"] = failure.kind.name.lower()
        if responder.has_ended:
            # The end was kept and sent: the failure came behind it.
            return
        events = failure_events(self._frame, failure)
        await self._keep(partial(failed_response, self._frame, failure), FAILED)
        run.log.add(events)

    async def _keep(self, response: Callable[[], bytes], unfinished: str) -> None:
        """Keep how it has ended; without its items where they are too large to be kept."""
        responses, scope = self._parts.services.responses, self._caller.scope
        if not await responses.finish(scope, self._record(response(), unfinished)):
            self._frame.items = {}
            await responses.finish(scope, self._record(response(), unfinished))

    def _note(self, visit: Visit, notes: Notes, ended: str, seconds: float, outcome: Outcome) -> None:
        job, end = self._job, RequestEnd(outcome)
        self._parts.ending.note(self._request_id, notes, job.asked, visit, job.progress, seconds, end)
        fields = {
            "ms": round(seconds * 1000, 1),
            "request_id": self._request_id,
            "response": self._frame.id,
            **notes.fields,
        }
        log_fields(notes.level, f"A response in the background is {ended}", fields, notes.data)


def _into(log: EventLog) -> Callable[[Any], Awaitable[None]]:
    """What a responder sends to: the log takes the events, and nobody takes the head."""

    async def send(message: Mapping[str, Any]) -> None:
        if events := message.get("body"):
            log.add(events)

    return send
