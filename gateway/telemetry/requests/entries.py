"""What the request log shows of a request: where its time went, who was asked, what came of it. Never content."""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from gateway.service.observers import Ended
from gateway.service.record import AttemptEntry
from translators.adjustments import without_words
from translators.message_usage import MessageUsage

# Callers choose the name of the model that they ask for, and upstream its ids and words.
_LONGEST_NAME: Final = 200
_LONGEST_REFUSAL: Final = 500
_DIGITS: Final = 3
_CLASSES: Final = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "thinking")


class Try(Struct, frozen=True, omit_defaults=True):
    """One call upstream. Times are milliseconds since the request arrived.

    `status` is upstream's; `error` is the kind of the failure that ended it, None if it went well.
    """

    key: str
    host: str
    model: str
    began_ms: float
    ended_ms: float
    head_ms: float | None = None
    first_token_ms: float | None = None
    status: int | None = None
    error: str | None = None
    stop_reason: str | None = None
    upstream_request_id: str | None = None
    usage: Mapping[str, int] = {}
    nano_dollars: int = 0


class Entry(Struct, frozen=True, omit_defaults=True):
    """One request after its end. Times are milliseconds since it arrived; `queued_ms` and `upstream_ms` are lengths.

    `admitted_ms` is when it was read, admitted and translated as far as its first model needs it. `refusals` say per
    failed attempt whose failure it was, its kind, and upstream's status and type of error. `has_content`: the page of
    this request also shows what was said.
    """

    id: str
    at: float
    endpoint: str
    caller: str
    asked_model: str
    model: str | None
    status: int
    ms: float
    admitted_ms: float
    queued_ms: float
    upstream_ms: float
    error: str | None = None
    first_token_ms: float | None = None
    is_stream: bool = False
    key_id: str | None = None
    group: str | None = None
    fallback: str | None = None
    stop_reason: str | None = None
    adjusted: str | None = None
    refusals: tuple[str, ...] = ()
    usage: Mapping[str, int] = {}
    nano_dollars: int = 0
    attempts: tuple[Try, ...] = ()
    trace_id: str | None = None
    has_content: bool = False

    @property
    def ended_at(self) -> float:
        """Its end, as a Unix time."""
        return self.at + self.ms / 1000


def held_of(ended: Ended) -> "Held":
    """What is held of a request: neither upstream's headers nor its words."""
    record = ended.record
    return Held(
        ended.request_id,
        ended.at,
        ended.endpoint,
        ended.caller,
        ended.model,
        record.model,
        ended.status,
        ended.error,
        ended.seconds,
        ended.read_seconds,
        record.waited_seconds,
        record.first_token_seconds,
        ended.is_stream,
        ended.key_id,
        ended.group,
        record.fallback,
        record.stop_reason,
        record.adjusted,
        record.failures,
        record.entries,
        ended.trace_id,
    )


class Held(Struct, frozen=True):
    """A request as the log holds it; its entry is made when somebody asks."""

    id: str
    at: float
    endpoint: str
    caller: str
    asked_model: str
    model: str | None
    status: int
    error: str | None
    seconds: float
    read_seconds: float
    waited_seconds: float
    first_token_seconds: float | None
    is_stream: bool
    key_id: str | None
    group: str | None
    fallback: str | None
    stop_reason: str | None
    adjusted: str | None
    failures: Sequence[str]
    attempts: Sequence[AttemptEntry]
    trace_id: str | None

    @property
    def has_failed(self) -> bool:
        """Whether it, or an attempt for it, has failed."""
        return self.error is not None or bool(self.failures)


def entry_of(held: Held, *, has_content: bool) -> Entry:
    """What is shown of a request."""
    first = held.first_token_seconds
    return Entry(
        id=held.id,
        at=round(held.at, _DIGITS),
        endpoint=held.endpoint,
        caller=held.caller,
        asked_model=held.asked_model[:_LONGEST_NAME],
        model=held.model and held.model[:_LONGEST_NAME],
        status=held.status,
        error=held.error,
        ms=_ms(held.seconds),
        admitted_ms=_ms(held.read_seconds),
        queued_ms=_ms(held.waited_seconds),
        upstream_ms=_ms(sum(attempt.seconds for attempt in held.attempts)),
        first_token_ms=None if first is None else _ms(held.read_seconds + first),
        is_stream=held.is_stream,
        key_id=held.key_id,
        group=held.group,
        fallback=held.fallback,
        stop_reason=held.stop_reason,
        adjusted=without_words(held.adjusted),
        refusals=tuple(failure[:_LONGEST_REFUSAL] for failure in held.failures),
        usage=_used(*(attempt.total for attempt in held.attempts)),
        nano_dollars=sum(attempt.nano_dollars for attempt in held.attempts),
        attempts=tuple(_try_of(attempt, held.at) for attempt in held.attempts),
        trace_id=held.trace_id,
        has_content=has_content,
    )


def _try_of(entry: AttemptEntry, arrived_at: float) -> Try:
    began = entry.began_at - arrived_at
    return Try(
        key=entry.key,
        host=entry.host,
        model=entry.model,
        began_ms=_ms(began),
        ended_ms=_ms(began + entry.seconds),
        head_ms=None if entry.head_seconds is None else _ms(began + entry.head_seconds),
        first_token_ms=None if entry.first_token_seconds is None else _ms(began + entry.first_token_seconds),
        status=entry.status,
        error=entry.error,
        stop_reason=entry.stop_reason and entry.stop_reason[:_LONGEST_NAME],
        upstream_request_id=entry.upstream_request_id and entry.upstream_request_id[:_LONGEST_NAME],
        usage=_used(entry.total),
        nano_dollars=entry.nano_dollars,
    )


def _used(*totals: MessageUsage) -> dict[str, int]:
    """The tokens by class, without those that are 0."""
    sums = {name: sum(getattr(total, f"{name}_tokens") for total in totals) for name in _CLASSES}
    return {name: count for name, count in sums.items() if count}


def _ms(seconds: float) -> float:
    # The clocks for arrival and for calls are different ones, so a difference may be a little below zero.
    return max(0.0, round(seconds * 1000, _DIGITS - 2))
