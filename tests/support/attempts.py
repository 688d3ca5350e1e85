"""Entries of attempts for tests: an answered one, unless they say otherwise."""

from typing import Any

from gateway.service.attempt import attempt_id
from gateway.service.record import AttemptEntry
from translators.message_usage import STANDARD, MessageUsage, Terms, total_of
from translators.prices import Prices, list_prices

MODEL = "claude-sonnet-5-5"


def attempt_entry(
    *messages: MessageUsage,
    model: str = MODEL,
    began_at: float = 0.0,
    terms: Terms = STANDARD,
    prices: Prices | None = None,
    **fields: Any,
) -> AttemptEntry:
    """The entry of an attempt in which upstream has reported these calls, priced."""
    facts: dict[str, Any] = {
        "id": attempt_id(began_at),
        "key": "main",
        "host": "api.anthropic.com",
        "model": model,
        "began_at": began_at,
        "seconds": 1.0,
        "first_token_seconds": None,
        "status": 200,
        "upstream_request_id": "req_1",
        "stop_reason": "end_turn",
        "error": None,
        "messages": messages,
        "total": total_of(messages),
        "is_estimated": False,
        "terms": terms,
        "charge": (prices or list_prices()).total(messages, model, terms),
    }
    return AttemptEntry(**{**facts, **fields})
