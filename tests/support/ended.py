"""Requests that have ended, as observers are told of them."""

from typing import Any

from msgspec.structs import replace

from gateway.service.observers import Ended
from gateway.service.record import AttemptEntry, AttemptRecord, Progress, Record, record_of
from translators.message_usage import STANDARD, MessageUsage
from translators.prices import list_prices
from translators.usage import Usage

MODEL = "claude-sonnet-5-5"
CHAT = "/v1/chat/completions"
NOW = 1_800_000_000.0


def entry(key: str = "main", **fields: Any) -> AttemptEntry:
    """A call that took four seconds, the first of them to its first token."""
    usage = MessageUsage(MODEL, 50, 200, 3, 4, 300, 20)
    made = AttemptEntry(
        id=bytes(16),
        key=key,
        host="api.anthropic.com",
        model=MODEL,
        began_at=NOW,
        seconds=4.0,
        first_token_seconds=1.0,
        status=200,
        upstream_request_id="req_1",
        stop_reason="end_turn",
        error=None,
        messages=(usage,),
        total=usage,
        is_estimated=False,
        terms=STANDARD,
        charge=list_prices().charge(usage, MODEL),
        head_seconds=0.8,
    )
    return replace(made, **fields)


def record(*entries: AttemptEntry, model: str = MODEL, **fields: Any) -> Record:
    """A request's record, with these attempts."""
    attempts = [AttemptRecord(each.key, each.model, usage=Usage(50, 7, 200, 300), entry=each) for each in entries]
    progress = Progress(model, attempts=attempts, stop_reason="end_turn", first_token_seconds=1.0)
    return replace(record_of([progress]), **fields)


def ended(number: int = 0, *entries: AttemptEntry, model: str = MODEL, **fields: Any) -> Ended:
    """A streamed request that went well, with one attempt if no others are given."""
    made = Ended(
        request_id=f"req_{number}",
        endpoint=CHAT,
        caller="shop",
        key_id=None,
        group=None,
        end_user=None,
        model=model,
        is_stream=True,
        at=NOW + number,
        seconds=4.5,
        record=record(*(entries or (entry(),)), model=model),
        read_seconds=0.001,
    )
    return replace(made, **fields)
