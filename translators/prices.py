"""What a call of a model costs: integer nano-dollars, and the id of the price by which they were computed."""

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache
from math import inf
from typing import Final, NamedTuple, TypeAlias

from translators.message_usage import STANDARD, MessageUsage, Terms
from translators.models import ModelTable, charges, id_in, model_table, older_prices
from translators.own_prices import Amounts, Listed, OwnPrice, OwnPrices, applied, own_prices
from translators.price_list import Price

# Prices in micro-dollars per million tokens are pico-dollars per token.
_PICO_IN_NANO: Final = 1_000
_PICO_IN_MICRO: Final = 1_000_000
# Combinations of models and terms that are remembered. Models are in upstream's words, so there may be any number.
_MOST_RATES: Final = 1_000
_FAST: Final = "fast"
_SEPARATOR: Final = ","
_UNUSUAL: Final = re.compile(r"[^A-Za-z0-9._-]")


class Charge(NamedTuple):
    """An amount, the id of its price, and how much more the same tokens cost without a prompt cache (or less).

    Several prices are separated by commas; "" is the price of nothing. `assumed:` says that the model has no known
    price and that of another is used, `unpriced:` that the price leaves something out that nobody knows.
    """

    nano_dollars: int
    price: str
    saved_nano_dollars: int = 0


FREE: Final = Charge(0, "")


class _Tier(NamedTuple):
    """The price of prompts up to a length; the fraction multiplies all that tokens cost."""

    up_to: float
    input: int
    output: int
    cache_write_5m: int
    cache_write_1h: int
    cache_read: int
    numerator: int
    denominator: int
    id: str
    is_assumed: bool


class _Key(NamedTuple):
    """What a price depends on, besides the length of the prompt; `is_told`: the speed is upstream's word."""

    model: str | None
    asked: str
    speed: str | None
    is_told: bool
    inference_geo: str | None
    service_tier: str | None


_RateKey: TypeAlias = tuple[str | None, str, str | None, bool, str | None, str | None]


class Prices:
    """The price list, and before it the operator's `own` prices by model or by pattern.

    A model without any price costs as much as the row that the table of models uses for unknown ids.
    """

    def __init__(self, own: Mapping[str, OwnPrice] | None = None, models: ModelTable | None = None) -> None:
        self._models = models or model_table()
        self._charges = charges()
        self._older = [(re.compile(each.pattern), Listed(each.id, (each.price,))) for each in older_prices()]
        self._own = OwnPrices(own or {})
        self._rates: dict[_RateKey, tuple[_Tier, ...]] = {}

    def listed(self, model: str) -> Listed:
        """The prices of a model before anything is known of a call: the operator's, the list's, or those assumed."""
        return self._find(model) or self._assumed(_Key(None, model, None, False, None, None))

    def charge(self, used: MessageUsage, asked: str, terms: Terms = STANDARD) -> Charge:
        """What one call costs; `asked` and `terms` count where upstream does not say what it was."""
        speed, geo = used.speed, used.inference_geo
        # In the order of `_Key`, which is made only when the price has to be looked up.
        key = (used.model, asked, speed or terms[0], speed is not None, geo or terms[1], used.service_tier)
        tiers = self._rates.get(key) or self._remembered(_Key(*key))
        read, short, long = used.cache_read_tokens, used.cache_write_5m_tokens, used.cache_write_1h_tokens
        cached_tokens = read + short + long
        prompt_tokens = used.input_tokens + cached_tokens
        tier = tiers[0]
        for tier in tiers:
            if prompt_tokens <= tier.up_to:
                break
        pico, saved = used.input_tokens * tier.input + used.output_tokens * tier.output, 0
        if cached_tokens:
            cached = read * tier.cache_read + short * tier.cache_write_5m + long * tier.cache_write_1h
            pico += cached
            if not tier.is_assumed:
                saved = _nano((cached_tokens * tier.input - cached) * tier.numerator, tier.denominator)
        pico *= tier.numerator
        if not used.server_tools:
            return Charge(_nano(pico, tier.denominator), tier.id, saved)
        fees, unpriced = self._fees(used.server_tools)
        return Charge(_nano(pico + fees * tier.denominator, tier.denominator), tier.id + unpriced, saved)

    def total(self, calls: Sequence[MessageUsage], asked: str, terms: Terms = STANDARD) -> Charge:
        """What several calls cost; each is rounded by itself."""
        if len(calls) < 2:
            return self.charge(calls[0], asked, terms) if calls else FREE
        each = [self.charge(used, asked, terms) for used in calls]
        return Charge(
            sum(charge.nano_dollars for charge in each),
            _SEPARATOR.join(dict.fromkeys(charge.price for charge in each)),
            sum(charge.saved_nano_dollars for charge in each),
        )

    def _fees(self, used: tuple[tuple[str, int], ...]) -> tuple[int, str]:
        """The fees for server tools in pico-dollars, and what the price's id says of tools without a price."""
        known, fees, unpriced = self._charges.server_tools, 0, ""
        for name, count in used:
            if (fee := known.get(name)) is None:
                unpriced += _unpriced(name)
            else:
                fees += count * fee
        return fees * _PICO_IN_MICRO, unpriced

    def _remembered(self, key: _Key) -> tuple[_Tier, ...]:
        if len(self._rates) >= _MOST_RATES:
            self._rates.clear()
        tiers = self._rates[key] = self._tiers(key)
        return tiers

    def _tiers(self, key: _Key) -> tuple[_Tier, ...]:
        listed = self._find(key.model) or self._find(key.asked) or self._assumed(key)
        factor, marks = self._factor(key)
        prices = listed.prices
        if key.speed == _FAST and listed.fast_prices:
            prices, marks = listed.fast_prices, f"+{_FAST}{marks}"
        elif key.speed == _FAST and key.is_told:
            marks = _unpriced(_FAST) + marks
        return tuple(_tier(listed, price, factor, marks) for price in prices)

    def _factor(self, key: _Key) -> tuple[Fraction, str]:
        """The multiplier of a price, and how its id tells of it."""
        factor, marks = Fraction(1), ""
        for value, factors in (
            (key.service_tier, self._charges.service_tier),
            (key.inference_geo, self._charges.inference_geo),
        ):
            if value is None:
                continue
            if value not in factors:
                marks += _unpriced(value)
            elif (each := Fraction(*factors[value])) != 1:
                factor *= each
                marks += f"+{value}"
        return factor, marks

    def _find(self, model: str | None) -> Listed | None:
        """The operator's price of a model in full, or that of the list."""
        if not model:
            return None
        listed = self._listed(model)
        own = self._own.find(model) if listed is None else self._own.find(model, listed.name)
        if own is None or (listed is None and own[1].is_part):
            return listed
        return applied(*own, listed or self._unknown())

    def _assumed(self, key: _Key) -> Listed:
        """The price of a model that has none; a part of the list price is a part of that, too."""
        listed = self._unknown()
        own = self._own.find(*filter(None, (key.model, key.asked)))
        return listed if own is None else applied(*own, listed)

    def _unknown(self) -> Listed:
        listed = self._listed(self._models.unknown)
        assert listed is not None, "the row for unknown models has prices"
        return listed._replace(name=f"assumed:{listed.name}", is_assumed=True)

    def _listed(self, model: str) -> Listed | None:
        known, row = self._models.provenance(model), self._models.find(model)
        if known is not None and known.prices:
            return Listed(row.id if row is not None else model, known.prices, known.fast_prices)
        spelled = id_in(model)
        return next((listed for pattern, listed in self._older if spelled and pattern.fullmatch(spelled)), None)


@cache
def list_prices() -> Prices:
    """The price list alone."""
    return Prices()


def prices_of(settings: Mapping[str, Amounts]) -> Prices:
    """The price list with the prices of a configuration before it."""
    return Prices(own_prices(settings))


def _nano(pico: int, denominator: int) -> int:
    """A fraction of pico-dollars in nano-dollars, rounded to the nearest, a half up."""
    unit = _PICO_IN_NANO * denominator
    return (2 * pico + unit) // (2 * unit)


def _tier(listed: Listed, price: Price, factor: Fraction, marks: str) -> _Tier:
    up_to = price.up_to_prompt_tokens
    day = f"/{price.date.isoformat()}" if listed.has_date else ""
    length = "" if up_to is None else f"/{up_to}"
    return _Tier(
        inf if up_to is None else up_to,
        price.input,
        price.output,
        price.cache_write_5m,
        price.cache_write_1h,
        price.cache_read,
        factor.numerator,
        factor.denominator,
        f"{listed.name}{day}{length}{marks}",
        listed.is_assumed,
    )


def _unpriced(what: str) -> str:
    """How an id tells of something without a price; the words are upstream's."""
    return f"+unpriced:{_UNUSUAL.sub('_', what)}"
