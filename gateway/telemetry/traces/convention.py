"""What the spans of a request say, by one table of names: OpenTelemetry's convention for generative AI, and our own.

No name of the convention is stable yet. These follow `semantic-conventions-genai` as of November 2026 (schema 1.44.0).
Nothing here is content, neither what callers say, nor what models answer, nor upstream's messages: except the
beginnings of requests and answers of clients whose configuration asks for it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from gateway.service.record import AttemptEntry
from gateway.telemetry.traces.finished import Finished
from translators.message_usage import MessageUsage

CONVENTION: Final = "semantic-conventions-genai, November 2026, schema 1.44.0 (development)"
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"

Value: TypeAlias = str | bool | int | float | Sequence[str]
Attributes: TypeAlias = dict[str, Value]

_PROVIDER: Final = "anthropic"
_CHAT: Final = "chat"
_OPERATIONS: Final = {"/v1/completions": "text_completion"}
# Callers choose the name of the model that they ask for.
_LONGEST_NAME: Final = 200

_USAGE: Final[Mapping[str, Callable[[MessageUsage], int]]] = {
    # All input, cached or not.
    "gen_ai.usage.input_tokens": lambda used: used.input_tokens + used.cache_read_tokens + used.cache_write_tokens,
    "gen_ai.usage.output_tokens": lambda used: used.output_tokens,
    "gen_ai.usage.cache_read.input_tokens": lambda used: used.cache_read_tokens,
    "gen_ai.usage.cache_write.input_tokens": lambda used: used.cache_write_tokens,
    "gen_ai.usage.reasoning.output_tokens": lambda used: used.thinking_tokens,
}

_REQUEST: Final[Mapping[str, Callable[[Finished], Value | None]]] = {
    "http.request.method": lambda _: "POST",
    "http.route": lambda done: done.endpoint,
    "gen_ai.operation.name": lambda done: operation_of(done.endpoint),
    "gen_ai.provider.name": lambda _: _PROVIDER,
    "gen_ai.request.model": lambda done: done.asked_model[:_LONGEST_NAME] or None,
    "gen_ai.request.stream": lambda done: done.is_stream,
    "gen_ai.response.model": lambda done: done.model or None,
    "gen_ai.response.time_to_first_chunk": lambda done: done.first_token_seconds,
    "gen_ai.response.finish_reasons": lambda done: _listed(done.stop_reason),
    "error.type": lambda done: done.error,
    "http.response.status_code": lambda done: done.status,
    "dragoman.request_id": lambda done: done.request_id,
    "dragoman.caller": lambda done: done.caller,
    "dragoman.key_id": lambda done: done.key_id,
    "dragoman.group": lambda done: done.group,
    "dragoman.attempts": lambda done: len(done.entries),
    "dragoman.queued_seconds": lambda done: done.waited_seconds,
    "dragoman.request.body": lambda done: done.said,
    "dragoman.response.body": lambda done: done.answered,
    "dragoman.cost.nano_dollars": lambda done: sum(entry.nano_dollars for entry in done.entries),
}

_ATTEMPT: Final[Mapping[str, Callable[[AttemptEntry], Value | None]]] = {
    "gen_ai.operation.name": lambda _: _CHAT,
    "gen_ai.provider.name": lambda _: _PROVIDER,
    "gen_ai.request.model": lambda entry: entry.model,
    "gen_ai.response.model": lambda entry: entry.messages[-1].model if entry.messages else None,
    "gen_ai.response.time_to_first_chunk": lambda entry: entry.first_token_seconds,
    "gen_ai.response.finish_reasons": lambda entry: _listed(entry.stop_reason),
    "server.address": lambda entry: urlsplit(f"//{entry.host}").hostname,
    "server.port": lambda entry: urlsplit(f"//{entry.host}").port,
    "http.response.status_code": lambda entry: entry.status,
    "error.type": lambda entry: entry.error,
    "dragoman.upstream_key": lambda entry: entry.key,
    "dragoman.upstream_request_id": lambda entry: entry.upstream_request_id,
    "dragoman.cost.nano_dollars": lambda entry: entry.nano_dollars,
    "dragoman.cost.is_estimated": lambda entry: entry.is_estimated or None,
}


def operation_of(endpoint: str) -> str:
    return _OPERATIONS.get(endpoint, _CHAT)


def request_attributes(done: Finished) -> Attributes:
    """The attributes of the span of a request, with the usage of all attempts."""
    used = [entry.total for entry in done.entries if entry.messages]
    return {**_filled(_REQUEST, done), **_usage(used)}


def attempt_attributes(entry: AttemptEntry) -> Attributes:
    """The attributes of the span of one attempt."""
    return {**_filled(_ATTEMPT, entry), **_usage([entry.total] if entry.messages else [])}


def events_of(done: Finished) -> Iterator[tuple[str, float, Attributes]]:
    """The events of a request: a name, the Unix time, and attributes."""
    if done.waited_seconds > 0 and done.entries:
        yield "dragoman.queued", done.entries[0].began_at, {"dragoman.queued_seconds": done.waited_seconds}
    for entry in done.entries:
        if entry.first_token_seconds is not None:
            yield "gen_ai.first_token", entry.began_at + entry.first_token_seconds, {}
    if done.fallback is not None and done.entries:
        yield "dragoman.fallback", done.entries[-1].began_at, {"gen_ai.request.model": done.fallback}


def _filled(table: Mapping[str, Callable[[Any], Value | None]], source: object) -> Attributes:
    found = ((name, look(source)) for name, look in table.items())
    return {name: value for name, value in found if value is not None}


def _usage(used: Sequence[MessageUsage]) -> Attributes:
    return {name: sum(map(look, used)) for name, look in _USAGE.items()} if used else {}


def _listed(reason: str | None) -> Sequence[str] | None:
    return None if reason is None else (reason,)
