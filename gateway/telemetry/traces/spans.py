"""A finished request as OpenTelemetry's spans: one for the request, and one for each attempt below it."""

from collections.abc import Iterator

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from gateway.service.record import AttemptEntry
from gateway.service.tracing import Trace, span_id_of
from gateway.telemetry.traces.convention import (
    attempt_attributes,
    events_of,
    operation_of,
    request_attributes,
)
from gateway.telemetry.traces.finished import Finished


def spans_of(done: Finished, resource: Resource, scope: InstrumentationScope) -> Iterator[ReadableSpan]:
    """The spans, the attempts first."""
    for entry in done.entries:
        yield _attempt(entry, done.trace, resource, scope)
    trace = done.trace
    yield ReadableSpan(
        name=f"POST {done.endpoint}",
        context=_context(trace, trace.span_id),
        parent=None if trace.parent_id is None else _context(trace, trace.parent_id, is_remote=True),
        resource=resource,
        attributes=request_attributes(done),
        events=[Event(name, attributes, _nanoseconds(at)) for name, at, attributes in events_of(done)],
        kind=SpanKind.SERVER,
        status=_status(done.error),
        start_time=_nanoseconds(done.at),
        end_time=_nanoseconds(done.at + done.seconds),
        instrumentation_scope=scope,
    )


def _attempt(entry: AttemptEntry, trace: Trace, resource: Resource, scope: InstrumentationScope) -> ReadableSpan:
    return ReadableSpan(
        name=f"{operation_of('')} {entry.model}",
        context=_context(trace, span_id_of(entry.id)),
        parent=_context(trace, trace.span_id),
        resource=resource,
        attributes=attempt_attributes(entry),
        kind=SpanKind.CLIENT,
        status=_status(entry.error),
        start_time=_nanoseconds(entry.began_at),
        end_time=_nanoseconds(entry.began_at + entry.seconds),
        instrumentation_scope=scope,
    )


def _context(trace: Trace, span_id: str, *, is_remote: bool = False) -> SpanContext:
    return SpanContext(int(trace.trace_id, 16), int(span_id, 16), is_remote, TraceFlags(TraceFlags.SAMPLED))


def _status(error: str | None) -> Status:
    # Without an error the status stays unset, as the convention wants it.
    return Status() if error is None else Status(StatusCode.ERROR, error)


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
