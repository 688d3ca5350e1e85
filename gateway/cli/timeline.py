"""How a request of the request log is told: as a line among others, or with its timeline."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from gateway.cli.table import printable, shortened
from gateway.telemetry.requests.contents import Content
from gateway.telemetry.requests.entries import Entry, Try

_COLUMNS: Final = (
    ("time", 12),
    ("status", 6),
    ("caller", 14),
    ("model", 18),
    ("ms", 9),
    ("queued", 8),
    ("first", 8),
    ("tokens", 8),
    ("cost", 9),
    ("id", 0),
)
_NANO: Final = 1e9


def _joined(cells: tuple[str, ...]) -> str:
    filled = (printable(cell).ljust(width) for cell, (_, width) in zip(cells, _COLUMNS, strict=True))
    return " ".join(filled).rstrip()


HEADINGS: Final = _joined(tuple(name for name, _ in _COLUMNS))


def line(entry: Entry) -> str:
    """One request on one line."""
    return _joined(
        (
            f"{_moment(entry.ended_at):%H:%M:%S.%f}"[:-3],
            str(entry.status),
            shortened(entry.caller, 14),
            shortened(entry.model or entry.asked_model, 18),
            f"{entry.ms:.0f}",
            f"{entry.queued_ms:.0f}" if entry.queued_ms else "",
            "" if entry.first_token_ms is None else f"{entry.first_token_ms:.0f}",
            str(sum(count for name, count in entry.usage.items() if name != "thinking") or ""),
            _dollars(entry.nano_dollars),
            entry.id,
        )
    )


def told(entry: Entry, content: Content | None) -> str:
    """One request with everything that is known of it."""
    return "\n".join(map(printable, [*_head(entry), "", *_timeline(entry), "", *_rest(entry), *_content(content)]))


def _head(entry: Entry) -> Iterator[str]:
    models = entry.asked_model if entry.model in (None, entry.asked_model) else f"{entry.asked_model} -> {entry.model}"
    yield f"{entry.id}  {_moment(entry.at):%Y-%m-%d %H:%M:%S} UTC"
    yield f"{entry.endpoint}  {models}{'  streamed' if entry.is_stream else ''}"
    key = f" (key {entry.key_id})" if entry.key_id else ""
    yield f"caller {entry.caller}{key}  status {entry.status}{f'  {entry.error}' if entry.error else ''}"
    if entry.trace_id:
        yield f"trace {entry.trace_id}"


def _timeline(entry: Entry) -> Iterator[str]:
    moments = [(0.0, "arrived"), (entry.admitted_ms, "read and admitted")]
    if entry.queued_ms:
        moments.append((entry.admitted_ms, f"waits for a key, {entry.queued_ms:.0f} ms in all"))
    if entry.first_token_ms is not None:
        moments.append((entry.first_token_ms, "first content sent"))
    for attempt in entry.attempts:
        moments += _moments_of(attempt)
    # Sorting keeps the order of what is at the same time.
    moments.append((entry.ms, "ended"))
    for at, what in sorted(moments, key=lambda moment: moment[0]):
        yield f"{at:>12,.1f} ms  {what}"


def _moments_of(attempt: Try) -> Iterator[tuple[float, str]]:
    who = f"key {attempt.key}"
    yield attempt.began_ms, f"{who}: call to {attempt.host} for {attempt.model}"
    if attempt.head_ms is not None:
        yield (
            attempt.head_ms,
            f"{who}: upstream answers {attempt.status or ''} {attempt.upstream_request_id or ''}".rstrip(),
        )
    yield attempt.ended_ms, f"{who}: {attempt.error or attempt.stop_reason or 'answered'}"


def _rest(entry: Entry) -> Iterator[str]:
    if entry.adjusted:
        yield f"adjusted  {entry.adjusted}"
    for refusal in entry.refusals:
        yield f"refused   {refusal}"
    if entry.usage:
        yield f"tokens    {', '.join(f'{name} {count:,}' for name, count in entry.usage.items())}"
    if entry.nano_dollars:
        yield f"cost      {_dollars(entry.nano_dollars)}"


def _content(content: Content | None) -> Iterator[str]:
    if content is None:
        return
    for name, text in (
        ("request", content.request),
        ("answer", content.answer),
        *(("said", each) for each in content.said),
    ):
        yield ""
        yield f"{name}:"
        yield from text.splitlines()


def _dollars(nano: int) -> str:
    return f"${nano / _NANO:.6f}" if nano else ""


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
