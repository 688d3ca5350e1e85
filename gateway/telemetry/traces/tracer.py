"""Traces requests: decides which, and sends their spans from a thread of its own. Needs OpenTelemetry's packages.

A request costs the event loop the decision, and one that is traced a small object at its end: spans are made in the
thread. What the collector does not take in time is dropped, and counted.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from importlib.metadata import version
from random import getrandbits
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context
from starlette.types import Scope

from gateway.edge.tracing import CallersTrace, callers_trace
from gateway.service.observers import Ended
from gateway.service.tracing import CURRENT, Trace
from gateway.telemetry.logs import log_event
from gateway.telemetry.traces.convention import SCHEMA_URL
from gateway.telemetry.traces.finished import Finished, finished
from gateway.telemetry.traces.spans import spans_of

# At the end of the process, what is left has this long to reach the collector.
CLOSE_SECONDS: Final = 5.0
_TELL_SECONDS: Final = 60.0
_UNNAMED: Final = "unknown_service"
_SPAN_NAME: Final = "request"


class Tracer:
    """An observer of requests, configured by OpenTelemetry's variables in this process's environment.

    `environ` has the bounds of the queue (`OTEL_BSP_...`); sampler, exporter and resource read the process's own.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        # Its own words would stand in the log in another form, and once for each try.
        for name in ("opentelemetry", "urllib3"):
            logging.getLogger(name).addHandler(logging.NullHandler())
            logging.getLogger(name).propagate = False
        self._most = _number(environ, "OTEL_BSP_MAX_QUEUE_SIZE", 2048)
        self._batch = _number(environ, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)
        self._delay_seconds = _number(environ, "OTEL_BSP_SCHEDULE_DELAY", 5000) / 1000
        self._sampler = TracerProvider(shutdown_on_exit=False).sampler
        self._exporter = OTLPSpanExporter()
        self._resource = _resource()
        self._scope = InstrumentationScope("dragoman", version("dragoman"), SCHEMA_URL)
        self._queue: deque[Finished] = deque()
        self._wake = threading.Event()
        self._is_closing = False
        self._thread: threading.Thread | None = None
        self._dropped = 0
        self._told_at = -_TELL_SECONDS

    # Called in the event loop.

    def begin(self, scope: Scope) -> str | None:
        """Decide whether this request is traced, and let its task know in which trace it is; returns the trace's id."""
        caller = callers_trace(scope)
        trace_id = f"{getrandbits(128) or 1:032x}" if caller is None else caller.trace_id
        parent = None if caller is None else set_span_in_context(NonRecordingSpan(_context(caller)))
        decision = self._sampler.should_sample(parent, int(trace_id, 16), _SPAN_NAME).decision
        is_sampled = decision is Decision.RECORD_AND_SAMPLE
        if caller is not None:
            span_id = f"{getrandbits(64) or 1:016x}"
            CURRENT.set(Trace(trace_id, span_id, is_sampled, caller.span_id, caller.state))
        elif is_sampled:
            CURRENT.set(Trace(trace_id, f"{getrandbits(64) or 1:016x}", is_sampled=True))
        else:
            return None
        return trace_id

    def note(self, ended: Ended) -> None:
        """Take a request in, if it is traced."""
        trace = CURRENT.get()
        if trace is None or not trace.is_sampled:
            return
        if len(self._queue) >= self._most:
            self._dropped += 1
            return
        self._queue.append(finished(ended, trace))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
            self._thread.start()
        elif len(self._queue) == self._batch:
            self._wake.set()

    async def close(self) -> None:
        """Send what is left, within a time limit."""
        self._is_closing = True
        self._wake.set()
        thread = self._thread
        if thread is not None:
            await asyncio.to_thread(thread.join, CLOSE_SECONDS)
        # Ends the thread if it still waits for the collector.
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    # Called in the thread.

    def _run(self) -> None:
        while not self._is_closing or self._queue:
            if not self._is_closing:
                self._wake.wait(self._delay_seconds)
                self._wake.clear()
            while self._queue:
                self._export()

    def _export(self) -> None:
        spans: list[ReadableSpan] = []
        with contextlib.suppress(IndexError):
            while len(spans) < self._batch:
                spans += spans_of(self._queue.popleft(), self._resource, self._scope)
        try:
            is_sent = self._exporter.export(spans) is SpanExportResult.SUCCESS
        except Exception:
            is_sent = False
        if not is_sent or self._dropped:
            self._tell(0 if is_sent else len(spans))

    def _tell(self, lost: int) -> None:
        """Log that spans were lost, now and then."""
        now = time.monotonic()
        if now - self._told_at >= _TELL_SECONDS:
            self._told_at = now
            dropped, self._dropped = self._dropped, 0
            message = "Traces are lost, the collector does not take them"
            log_event(logging.WARNING, message, spans=lost, requests_without_room=dropped)


def _context(caller: CallersTrace) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if caller.is_sampled else TraceFlags.DEFAULT)
    return SpanContext(int(caller.trace_id, 16), int(caller.span_id, 16), is_remote=True, trace_flags=flags)


def _resource() -> Resource:
    """What all spans share: the variables of the environment decide, and say `dragoman` where they name nothing."""
    found = Resource.create()
    name = str(found.attributes.get(SERVICE_NAME, _UNNAMED))
    ours = {"service.version": version("dragoman"), SERVICE_NAME: "dragoman" if name.startswith(_UNNAMED) else name}
    return found.merge(Resource(ours))


def _number(environ: Mapping[str, str], name: str, default: int) -> int:
    try:
        return max(1, int(environ.get(name) or default))
    except ValueError:
        return default
