"""What happened to a request, with one entry per attempt: a failed attempt may have cost money too."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from msgspec import Struct, field

from translators.adjustments import united
from translators.errors import ErrorKind, Failure
from translators.message_usage import STANDARD, MessageUsage, Terms
from translators.prices import FREE, Charge
from translators.usage import Usage

_SEPARATOR: Final = ","
# How an attempt has ended that its caller did not wait for.
ABANDONED: Final = "abandoned"
# The error of an attempt that was never sent.
_UNREACHABLE: Final = ErrorKind.UNREACHABLE.name.lower()
_OK: Final = 200


class AttemptEntry(Struct, frozen=True):
    """One attempt after its end: a call upstream with one key, and the calls that continue its answer.

    `id` was made before the call: 16 bytes, in the order of time. `began_at` is in Unix seconds; `first_token_seconds`
    counts from there to the first content that the caller saw. `status` is upstream's latest, None without an answer.
    `stop_reason` is upstream's, `error` the kind of the failure that ended the attempt (or `abandoned`): one of both is
    None. `messages` is what upstream has reported, one for each call of a model, and `total` their sums. With
    `is_estimated` upstream has not reported all: an answer was cut off, or its caller left, and the output is what was
    seen of it. `terms` are what was asked for that changes the price, and `charge` is what all calls together cost.
    `head_seconds` counts from the begin to the head of upstream's first answer.
    """

    id: bytes
    key: str
    host: str
    model: str
    began_at: float
    seconds: float
    first_token_seconds: float | None
    status: int | None
    upstream_request_id: str | None
    stop_reason: str | None
    error: str | None
    messages: tuple[MessageUsage, ...]
    total: MessageUsage
    is_estimated: bool
    terms: Terms
    charge: Charge = FREE
    head_seconds: float | None = None

    @property
    def is_unreported(self) -> bool:
        """Whether upstream may bill it although nothing was heard of that: the caller left, or the answer was lost."""
        if self.messages or self.error is None:
            return False
        return self.status == _OK or (self.status is None and self.error != _UNREACHABLE)

    @property
    def nano_dollars(self) -> int:
        """What it costs."""
        return self.charge.nano_dollars

    @property
    def price(self) -> str:
        """The id of the price by which that was computed; "" for an attempt that upstream has reported nothing of."""
        return self.charge.price


class Watched(Protocol):
    """An answer as it arrives: what upstream has reported of it, and how much of it there is."""

    usage: Usage

    @property
    def seen_bytes(self) -> int:
        """About the size of the current message's deltas."""
        ...


class AttemptRecord(Struct):
    """One attempt while it runs: the key, the model, and the usage so far; `entry` is there after its end."""

    key: str
    model: str
    upstream_request_id: str | None = None
    usage: Usage = field(default_factory=Usage)
    status: int | None = None
    stop_reason: str | None = None
    first_token_seconds: float | None = None
    head_seconds: float | None = None
    terms: Terms = STANDARD
    answer: Watched | None = None
    entry: AttemptEntry | None = None


class Progress(Struct):
    """What is known of one exchange so far; `fallback` is the model that replaced the requested one.

    `upstream_headers` are those of the latest answer, until the caller's own head was sent. `failures` describe what
    went wrong; `said` are upstream's own messages, which may quote the request. `first_token_seconds` is the time from
    `began_at`, when the request was read, to the caller's first content.

    `admitted` names what was adjusted before the request was written, `adjusted` what was in writing it.

    `is_asking`: an attempt is running, so an answer may begin at any time. `is_committed`: the caller has seen content.
    `is_answered`: an attempt is complete, and no other will follow.
    """

    model: str
    began_at: float = 0.0
    attempts: list[AttemptRecord] = field(default_factory=list)
    adjusted: str | None = None
    admitted: str | None = None
    fallback: str | None = None
    upstream_headers: Mapping[str, str] = field(default_factory=dict)
    stop_reason: str | None = None
    failures: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    waited_seconds: float = 0.0
    first_token_seconds: float | None = None
    is_asking: bool = False
    is_committed: bool = False
    is_answered: bool = False

    @property
    def all_adjusted(self) -> str | None:
        """All adjustments."""
        return self.adjusted if self.admitted is None else united((self.admitted, self.adjusted))

    def note(self, whose: str, failure: Failure) -> None:
        """Record a failure of a key or a model."""
        self.failures.append(f"{whose}: {failure.kind.name.lower()} {failure.summary}".rstrip())
        if failure.said:
            self.said.append(f"{whose}: {failure.said}")


class Record(Struct, frozen=True):
    """The outcome of a request with all its exchanges; complete when the request has ended.

    `entries` are its attempts, those of one exchange after those of another.
    """

    attempts: int
    key: str | None
    model: str | None
    fallback: str | None
    adjusted: str | None
    upstream_request_id: str | None
    upstream_headers: Mapping[str, str]
    stop_reason: str | None
    answer_usage: Usage
    entries: Sequence[AttemptEntry]
    failures: Sequence[str]
    said: Sequence[str]
    waited_seconds: float
    first_token_seconds: float | None

    @property
    def nano_dollars(self) -> int:
        """What all attempts cost."""
        return sum(entry.charge.nano_dollars for entry in self.entries)

    @property
    def usage(self) -> Usage:
        """The usage of all attempts."""
        entries = self.entries
        if len(entries) == 1 and len(entries[0].messages) == 1 and not entries[0].is_estimated:
            return self.answer_usage
        return _total(_as_usage(entry.total) for entry in entries)


def record_of(exchanges: Sequence[Progress]) -> Record:
    """One record of all exchanges of a request, at their current state; usually there is one exchange."""
    if len(exchanges) != 1:
        return _record_of_several(exchanges)
    (progress,) = exchanges
    attempts = progress.attempts
    last = attempts[-1] if attempts else None
    return Record(
        len(attempts),
        last.key if last is not None else None,
        progress.model,
        progress.fallback,
        progress.all_adjusted,
        (last.upstream_request_id or _latest_id(attempts)) if last is not None else None,
        progress.upstream_headers,
        progress.stop_reason,
        last.usage if last is not None else Usage(),
        [attempt.entry for attempt in attempts if attempt.entry is not None],
        progress.failures,
        progress.said,
        progress.waited_seconds,
        progress.first_token_seconds,
    )


def _record_of_several(exchanges: Sequence[Progress]) -> Record:
    attempts = [attempt for each in exchanges for attempt in each.attempts]
    last = [each.attempts[-1] for each in exchanges if each.attempts]
    return Record(
        attempts=len(attempts),
        key=_listed(attempt.key for attempt in last),
        model=exchanges[0].model,
        fallback=_listed(each.fallback for each in exchanges),
        adjusted=united(each.all_adjusted for each in exchanges),
        upstream_request_id=_listed(_latest_id(each.attempts) for each in exchanges),
        # Limits belong to one key at one time: several sets cannot be merged.
        upstream_headers=next((each.upstream_headers for each in exchanges if each.upstream_headers), {}),
        stop_reason=_listed(each.stop_reason for each in exchanges),
        answer_usage=_total(attempt.usage for attempt in last),
        entries=[attempt.entry for attempt in attempts if attempt.entry is not None],
        failures=[failure for each in exchanges for failure in each.failures],
        said=[said for each in exchanges for said in each.said],
        waited_seconds=max(each.waited_seconds for each in exchanges),
        first_token_seconds=min(
            (each.first_token_seconds for each in exchanges if each.first_token_seconds is not None), default=None
        ),
    )


def _latest_id(attempts: Sequence[AttemptRecord]) -> str | None:
    """The id of the latest answer, which is of use to upstream's support although a later attempt got none."""
    return next((attempt.upstream_request_id for attempt in reversed(attempts) if attempt.upstream_request_id), None)


def _as_usage(used: MessageUsage) -> Usage:
    return Usage(
        used.input_tokens,
        used.cache_write_tokens,
        used.cache_read_tokens,
        used.output_tokens,
        used.thinking_tokens,
    )


def _total(usages: Iterable[Usage]) -> Usage:
    total = Usage()
    for usage in usages:
        total.add(usage)
    return total


def _listed(values: Iterable[str | None]) -> str | None:
    """The distinct values, joined; None if there are none."""
    return _SEPARATOR.join(dict.fromkeys(value for value in values if value)) or None
