"""The same figures under the names of OpenTelemetry's convention for generative AI, by one table.

No name of the convention is stable yet. This table follows `semantic-conventions-genai` as of November 2026 (schema
1.44.0), spelled as Prometheus spells OpenTelemetry's names: dots become underscores, and units come behind.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

CONVENTION: Final = "semantic-conventions-genai, November 2026, schema 1.44.0 (development)"

_OPERATIONS: Final = {"/v1/completions": "text_completion"}
_PROVIDER: Final = "anthropic"


class Renamed(NamedTuple):
    """A metric of ours under another name; `labels` gives the new labels, or None for a value that is left out."""

    name: str
    source: str
    help: str
    labels: Callable[[Mapping[str, str]], dict[str, str] | None]
    label_names: tuple[str, ...]


def _served(labels: Mapping[str, str]) -> dict[str, str]:
    return {
        "gen_ai_operation_name": _OPERATIONS.get(labels["endpoint"], "chat"),
        "gen_ai_provider_name": _PROVIDER,
        "gen_ai_request_model": labels["model"],
    }


def _ended(labels: Mapping[str, str]) -> dict[str, str]:
    # `_OTHER` is the convention's word for an error that has no name here; without an error there is no type.
    return _served(labels) | {"error_type": "" if labels["outcome"] == "ok" else "_OTHER"}


def _called(labels: Mapping[str, str]) -> dict[str, str]:
    return {
        "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": _PROVIDER,
        "gen_ai_request_model": labels["model"],
        "server_address": labels["host"],
    }


def _used(*types: str) -> Callable[[Mapping[str, str]], dict[str, str] | None]:
    def labels_of(labels: Mapping[str, str]) -> dict[str, str] | None:
        if types and labels["type"] not in types:
            return None
        return {
            "gen_ai_operation_name": "chat",
            "gen_ai_provider_name": _PROVIDER,
            "gen_ai_request_model": labels["model"],
        }

    return labels_of


_SERVED: Final = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
_USAGE: Final = "gen_ai_client_inference_usage_"
RENAMED: Final = (
    Renamed(
        "gen_ai_server_request_duration_seconds",
        "dragoman_request_duration_seconds",
        "gen_ai.server.request.duration",
        _ended,
        (*_SERVED, "error_type"),
    ),
    Renamed(
        "gen_ai_server_time_to_first_token_seconds",
        "dragoman_time_to_first_token_seconds",
        "gen_ai.server.time_to_first_token",
        _served,
        _SERVED,
    ),
    Renamed(
        "gen_ai_server_time_per_output_token_seconds",
        "dragoman_time_between_tokens_seconds",
        "gen_ai.server.time_per_output_token",
        _served,
        _SERVED,
    ),
    Renamed(
        "gen_ai_client_inference_duration_seconds",
        "dragoman_attempt_duration_seconds",
        "gen_ai.client.inference.duration",
        _called,
        (*_SERVED, "server_address"),
    ),
    Renamed(
        f"{_USAGE}input_tokens_total",
        "dragoman_tokens_total",
        "gen_ai.client.inference.usage.input_tokens: all of them, cached or not.",
        _used("input", "cache_read", "cache_write_5m", "cache_write_1h"),
        _SERVED,
    ),
    Renamed(
        f"{_USAGE}output_tokens_total",
        "dragoman_tokens_total",
        "gen_ai.client.inference.usage.output_tokens",
        _used("output"),
        _SERVED,
    ),
    Renamed(
        f"{_USAGE}cache_read_input_tokens_total",
        "dragoman_tokens_total",
        "gen_ai.client.inference.usage.cache_read.input_tokens",
        _used("cache_read"),
        _SERVED,
    ),
    Renamed(
        f"{_USAGE}cache_write_input_tokens_total",
        "dragoman_tokens_total",
        "gen_ai.client.inference.usage.cache_write.input_tokens",
        _used("cache_write_5m", "cache_write_1h"),
        _SERVED,
    ),
    Renamed(
        f"{_USAGE}reasoning_output_tokens_total",
        "dragoman_thinking_tokens_total",
        "gen_ai.client.inference.usage.reasoning.output_tokens",
        _used(),
        _SERVED,
    ),
)
