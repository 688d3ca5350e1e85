"""Prices as data: what `models.toml` says about money. Amounts are micro-dollars, of tokens for a million of them."""

from collections.abc import Mapping
from datetime import date

from msgspec import Struct


class Price(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model's prices in micro-dollars per million tokens, for prompts up to a length (None: for all longer ones)."""

    up_to_prompt_tokens: int | None = None
    input: int
    output: int
    cache_write_5m: int
    cache_write_1h: int
    cache_read: int
    source: str
    date: date


class OlderPrice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The price of models that are no longer listed: those whose ids match `pattern`; `id` names it."""

    pattern: str
    id: str
    price: Price


class Charges(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What prices depend on besides: multipliers (as a fraction) of what upstream reports, and fees in micro-dollars.

    `server_tools` are fees for one use, by upstream's counters.
    """

    service_tier: Mapping[str, tuple[int, int]]
    inference_geo: Mapping[str, tuple[int, int]]
    server_tools: Mapping[str, int]
    source: str
    date: date
