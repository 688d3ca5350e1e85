"""What answers cost, computed a second time: from upstream's JSON and prices in dollars, in fractions."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from math import floor
from typing import Any

# Dollars per million tokens: input, output, written for five minutes, for an hour, read. The longest beginning counts.
PRICES = {
    "claude-fable-5-2": "8 40 10 16 0.2",
    "claude-mythos-5-2": "8 40 10 16 0.2",
    "claude-fable-5-1": "10 50 12.5 20 0.25",
    "claude-mythos-5-1": "10 50 12.5 20 0.25",
    "claude-opus-5-5": "4 20 5 8 0.2",
    "claude-sonnet-5-5": "2 10 2.5 4 0.1",
    "claude-haiku-5-5": "0.1 0.5 0.125 0.2 0.01",
    "claude-opus-5": "5 25 6.25 10 0.5",
    "claude-sonnet-5": "2 10 2.5 4 0.2",
    "claude-fable-5": "10 50 12.5 20 1",
    "claude-mythos-5": "10 50 12.5 20 1",
    "claude-mythos-preview": "10 50 12.5 20 1",
    "claude-opus-4-8": "5 25 6.25 10 0.5",
    "claude-opus-4-7": "5 25 6.25 10 0.5",
    "claude-opus-4-6": "5 25 6.25 10 0.5",
    "claude-opus-4-5": "5 25 6.25 10 0.5",
    "claude-sonnet-4-6": "3 15 3.75 6 0.3",
    "claude-sonnet-4-5": "3 15 3.75 6 0.3",
    "claude-haiku-4-5": "1 5 1.25 2 0.1",
    "claude-opus-4": "15 75 18.75 30 1.5",
    "claude-sonnet-4": "3 15 3.75 6 0.3",
    "claude-3-7-sonnet": "3 15 3.75 6 0.3",
    "claude-3-5-sonnet": "3 15 3.75 6 0.3",
    "claude-3-5-haiku": "0.8 4 1 1.6 0.08",
    "claude-3-opus": "15 75 18.75 30 1.5",
}
FAST = {"claude-fable-5-2": 2, "claude-mythos-5-2": 2, "claude-opus-5-5": 2, "claude-opus-5": 2, "claude-opus-4-8": 2}
LONG_PROMPTS = {"claude-haiku-5-5": (100_000, 5)}
SEARCH = Fraction(10, 1_000)


def cost_of(usage: dict[str, Any], model: str) -> int:
    """Nano-dollars of an answer with this usage; each call of a model is rounded by itself."""
    return sum(floor(dollars * 10**9 + Fraction(1, 2)) for dollars in map(_dollars, _calls(usage, model)))


def usage_in(events: Iterable[dict[str, Any]]) -> tuple[dict[str, Any], str]:
    """What a stream's events say of its usage in the end, and its model."""
    usage: dict[str, Any] = {}
    model = ""
    for event in events:
        if event["type"] == "message_start":
            model = event["message"]["model"]
            usage |= event["message"]["usage"]
        elif event["type"] == "message_delta":
            usage |= {name: value for name, value in event["usage"].items() if value is not None}
    return usage, model


def _calls(usage: dict[str, Any], model: str) -> Iterator[dict[str, Any]]:
    steps = usage.get("iterations") or []
    kinds = [step["type"] for step in steps]
    message = {**usage, "model": model}
    inherited = {name: usage.get(name) for name in ("service_tier", "inference_geo")}
    if "fallback_message" in kinds:
        message["model"] = next(step["model"] for step in steps if step["type"] == "fallback_message")
        yield from ({**step, **inherited} for step in steps if step["type"] == "message" and step["output_tokens"])
    yield message
    for step in steps:
        if step["type"] in ("compaction", "advisor_message"):
            # Another model's speed is its own.
            own = {"speed": usage.get("speed")} if step.get("model", message["model"]) == message["model"] else {}
            yield {"model": message["model"], **own, **step, **inherited}


def _dollars(call: dict[str, Any]) -> Fraction:
    name = max((name for name in PRICES if call["model"].startswith(name)), key=len)
    prices = [Fraction(price) / 10**6 for price in PRICES[name].split()]
    written, read = call.get("cache_creation_input_tokens") or 0, call.get("cache_read_input_tokens") or 0
    for_an_hour = (call.get("cache_creation") or {}).get("ephemeral_1h_input_tokens", 0)
    counts = (call["input_tokens"], call["output_tokens"], written - for_an_hour, for_an_hour, read)
    limit, factor = LONG_PROMPTS.get(name, (0, 1))
    tokens = sum((count * price for count, price in zip(counts, prices, strict=True)), Fraction())
    if call["input_tokens"] + written + read > limit:
        tokens *= factor
    if call.get("speed") == "fast":
        tokens *= FAST.get(name, 1)
    if call.get("service_tier") == "batch":
        tokens /= 2
    if call.get("inference_geo") == "us":
        tokens *= Fraction(11, 10)
    return tokens + ((call.get("server_tool_use") or {}).get("web_search_requests") or 0) * SEARCH
