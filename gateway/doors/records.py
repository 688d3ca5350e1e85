"""How a request's record appears in its log line and in the headers of its answer."""

from typing import Final

from msgspec import Struct

from gateway.accounts.auth import Caller
from gateway.edge.notes import Notes
from gateway.service.record import Record
from translators.adjustments import HEADER as ADJUSTED_HEADER
from translators.adjustments import MAX_HEADER_BYTES, without_words
from translators.rate_limits import openai_rate_limits

ATTEMPTS_HEADER: Final = "x-gateway-attempts"
KEY_HEADER: Final = "x-gateway-key"
# Sent only if it differs from the requested model.
MODEL_HEADER: Final = "x-gateway-model"
# Sent once upstream has reported it, which for a stream is before its first content.
CACHE_HEADER: Final = "x-gateway-cache"
_SEPARATOR: Final = ","
_JOINT: Final = " | "


class RequestSummary(Struct, frozen=True):
    """What the end of a request needs to know about its beginning.

    `metadata` is in the caller's own words; a request that is not `is_counted` is left out of the usage totals.
    """

    model: str
    is_stream: bool
    include_usage: bool = False
    metadata: str | None = None
    is_counted: bool = True


def note_record(noted: Notes, record: Record, asked: RequestSummary, caller: Caller) -> None:
    """Add the caller, the model and the outcome to the log line."""
    notes, model = noted.fields, asked.model
    notes["caller"] = caller.name
    notes["model"] = model if model == record.model else f"{model}->{record.model}"
    noted.data["model"], noted.data["requested_model"] = record.model, model
    notes["stream"] = asked.is_stream
    notes["key"] = record.key
    notes["attempts"] = record.attempts
    if queued_ms := round(record.waited_seconds * 1000):
        notes["queued_ms"] = queued_ms
    if record.entries:
        notes["upstream_ms"] = round(sum([entry.seconds for entry in record.entries]) * 1000, 1)
    if record.first_token_seconds is not None:
        notes["first_token_ms"] = round(record.first_token_seconds * 1000, 1)
    usage = record.usage
    notes["prompt_tokens"] = usage.prompt_tokens
    if usage.cache_read_tokens or usage.cache_write_tokens:
        notes["cache_read_tokens"] = usage.cache_read_tokens
        notes["cache_write_tokens"] = usage.cache_write_tokens
    notes["completion_tokens"] = usage.output_tokens
    notes["adjusted"] = without_words(record.adjusted)
    notes["upstream_request_id"] = record.upstream_request_id or None
    notes["stop_reason"] = record.stop_reason or None
    if record.failures:
        notes["failures"] = _JOINT.join(record.failures)
    if record.said:
        noted.words["said"] = _JOINT.join(record.said)
    if asked.metadata is not None:
        noted.words["metadata"] = asked.metadata


def answer_headers(record: Record, *, names_key: bool = False) -> dict[str, str]:
    """The headers for the caller, as far as their values are known when the head is sent."""
    headers = gateway_headers(record, names_key=names_key)
    if ids := _within(record.upstream_request_id or "", MAX_HEADER_BYTES):
        headers["x-upstream-request-id"] = ids
    headers.update(openai_rate_limits(record.upstream_headers))
    return headers


def gateway_headers(record: Record, *, names_key: bool) -> dict[str, str]:
    """How the answer was obtained: attempts, adjustments, prompt cache, another model, for some callers the key."""
    headers = {ATTEMPTS_HEADER: str(record.attempts)} if record.attempts else {}
    if record.adjusted is not None:
        headers[ADJUSTED_HEADER] = record.adjusted
    usage = record.answer_usage
    if usage.prompt_tokens:
        headers[CACHE_HEADER] = f"read={usage.cache_read_tokens} write={usage.cache_write_tokens}"
    if record.fallback is not None:
        headers[MODEL_HEADER] = record.fallback
    if names_key and record.key is not None:
        headers[KEY_HEADER] = record.key
    return headers


def _within(listed: str, limit: int) -> str:
    """The leading values of a list that fit into `limit` bytes."""
    if len(listed) <= limit:
        return listed
    return listed[: max(0, listed.rfind(_SEPARATOR, 0, limit + 1))]
