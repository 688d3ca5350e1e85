"""What the records of a request's exchanges say: in its log line, and in the headers of its answer."""

from collections.abc import Iterable, Sequence
from typing import Final

from gateway.api.auth import Caller
from gateway.api.notes import Notes
from gateway.proxy.exchange import Record
from gateway.proxy.totals import Totals
from translators.adjustments import HEADER as ADJUSTED_HEADER
from translators.adjustments import MAX_HEADER_BYTES, united
from translators.rate_limits import openai_rate_limits
from translators.usage import Usage

ATTEMPTS_HEADER: Final = "x-gateway-attempts"
KEY_HEADER: Final = "x-gateway-key"
# Only where it is another one than was asked for.
MODEL_HEADER: Final = "x-gateway-model"
# From when upstream has told, which for a stream is before its first content.
CACHE_HEADER: Final = "x-gateway-cache"
_SEPARATOR: Final = ","
_JOINT: Final = " | "


def note_records(noted: Notes, records: Sequence[Record], *, caller: Caller, model: str, is_stream: bool) -> None:
    """Put into the log line who asked for which model, and what became of it: of all the choices together."""
    whole = _together(records)
    notes = noted.fields
    notes["caller"] = caller.name
    notes["model"] = model if model == whole.model else f"{model}->{whole.model}"
    noted.data["model"], noted.data["requested_model"] = whole.model, model
    notes["stream"] = is_stream
    notes["key"] = whole.key
    notes["attempts"] = whole.attempts
    if waited_ms := round(whole.waited_seconds * 1000):
        notes["waited_ms"] = waited_ms
    if whole.first_token_seconds is not None:
        notes["first_token_ms"] = round(whole.first_token_seconds * 1000, 1)
    usage = _total(used for _, used in whole.used) if whole.spent else whole.usage
    notes["prompt_tokens"] = usage.prompt_tokens
    if usage.cache_read_tokens or usage.cache_write_tokens:
        notes["cache_read_tokens"] = usage.cache_read_tokens
        notes["cache_write_tokens"] = usage.cache_write_tokens
    notes["completion_tokens"] = usage.output_tokens
    notes["adjusted"] = whole.adjusted
    notes["upstream_request_id"] = whole.upstream_request_id or None
    notes["stop_reason"] = whole.stop_reason or None
    if whole.failures:
        notes["failures"] = _JOINT.join(whole.failures)
    if whole.said:
        noted.words["said"] = _JOINT.join(whole.said)


def count_records(totals: Totals, records: Sequence[Record], caller: Caller) -> None:
    """Count a request among its client's."""
    totals.note(caller.name, [used for record in records for used in record.used])


def answer_headers(records: Sequence[Record], *, names_key: bool = False) -> dict[str, str]:
    """What the caller is told in the head of an answer, as far as it is known when the head leaves."""
    whole = _together(records)
    headers = gateway_headers(whole, names_key=names_key)
    if ids := _within(whole.upstream_request_id or "", MAX_HEADER_BYTES):
        headers["x-upstream-request-id"] = ids
    headers.update(openai_rate_limits(whole.upstream_headers))
    return headers


def gateway_headers(record: Record, *, names_key: bool) -> dict[str, str]:
    """How the gateway came to the answer: attempts, changes, prompt cache, another model, for some callers the key."""
    headers = {ATTEMPTS_HEADER: str(record.attempts)} if record.attempts else {}
    if record.adjusted is not None:
        headers[ADJUSTED_HEADER] = record.adjusted
    if record.usage.prompt_tokens:
        usage = record.usage
        headers[CACHE_HEADER] = f"read={usage.cache_read_tokens} write={usage.cache_write_tokens}"
    if record.fallback is not None:
        headers[MODEL_HEADER] = record.fallback
    if names_key and record.key is not None:
        headers[KEY_HEADER] = record.key
    return headers


def _together(records: Sequence[Record]) -> Record:
    """One record for those of all choices; nearly always there is one."""
    if len(records) == 1:
        return records[0]
    return Record(
        attempts=sum(record.attempts for record in records),
        key=_listed(record.key for record in records),
        model=records[0].model,
        fallback=_listed(record.fallback for record in records),
        waited_seconds=max(record.waited_seconds for record in records),
        first_token_seconds=min(
            (record.first_token_seconds for record in records if record.first_token_seconds is not None), default=None
        ),
        adjusted=united(record.adjusted for record in records),
        upstream_request_id=_listed(record.upstream_request_id for record in records),
        # Limits are those of one key at one moment: several sets cannot be mixed.
        upstream_headers=next((record.upstream_headers for record in records if record.upstream_headers), {}),
        stop_reason=_listed(record.stop_reason for record in records),
        usage=_total(record.usage for record in records),
        spent=tuple(spent for record in records for spent in record.spent),
        failures=[failure for record in records for failure in record.failures],
        said=[said for record in records for said in record.said],
    )


def _total(usages: Iterable[Usage]) -> Usage:
    total = Usage()
    for usage in usages:
        total.add(usage)
    return total


def _listed(values: Iterable[str | None]) -> str | None:
    """The values that are there, each once; a single one is itself."""
    return _SEPARATOR.join(dict.fromkeys(value for value in values if value)) or None


def _within(listed: str, limit: int) -> str:
    """As many of the listed values as fit into `limit` bytes."""
    if len(listed) <= limit:
        return listed
    return listed[: max(0, listed.rfind(_SEPARATOR, 0, limit + 1))]
