"""What the records of a request's exchanges say: in its log line, and in the headers of its answer."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from gateway.api.auth import Caller
from gateway.proxy.exchange import Record
from translators.adjustments import HEADER as ADJUSTED_HEADER
from translators.adjustments import MAX_HEADER_BYTES, united
from translators.rate_limits import openai_rate_limits

_SEPARATOR: Final = ","


def note_records(
    notes: dict[str, object], records: Sequence[Record], *, caller: Caller, model: str, is_stream: bool
) -> None:
    """Put into the log line who asked for which model, and what became of it: of all the choices together."""
    upstream_model = records[0].model
    notes.update(
        caller=caller.name,
        model=model if model == upstream_model else f"{model}->{upstream_model}",
        stream=is_stream,
        key=_listed(record.key for record in records),
        attempts=sum(record.attempts for record in records),
        prompt_tokens=sum(record.usage.prompt_tokens for record in records),
        completion_tokens=sum(record.usage.output_tokens for record in records),
        adjusted=united(record.adjusted for record in records),
        upstream_request_id=_listed(record.upstream_request_id for record in records),
        stop_reason=_listed(record.stop_reason for record in records),
    )
    if failures := [failure for record in records for failure in record.failures]:
        notes["failures"] = " | ".join(failures)


def answer_headers(records: Sequence[Record]) -> dict[str, str]:
    """What the caller is told in the head of an answer, as far as it is known when the head leaves."""
    headers = {}
    if (adjusted := united(record.adjusted for record in records)) is not None:
        headers[ADJUSTED_HEADER] = adjusted
    if (ids := _listed((record.upstream_request_id for record in records), MAX_HEADER_BYTES)) is not None:
        headers["x-upstream-request-id"] = ids
    return headers | openai_rate_limits(_first_headers(records))


def _first_headers(records: Sequence[Record]) -> Mapping[str, str]:
    """Limits are those of one key at one moment: several sets cannot be mixed."""
    return next((record.upstream_headers for record in records if record.upstream_headers), {})


def _listed(values: Iterable[str | None], limit: int | None = None) -> str | None:
    """The values that are there, each once, those that fit into `limit` bytes; a single one is itself."""
    text = ""
    for value in dict.fromkeys(value for value in values if value):
        longer = f"{text}{_SEPARATOR}{value}" if text else value
        if limit is not None and len(longer) > limit:
            break
        text = longer
    return text or None
