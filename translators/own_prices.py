"""Prices of the operator's own, negotiated or of a model that no list has: for models by name, or by pattern."""

import re
from collections.abc import Mapping
from datetime import date
from fractions import Fraction
from hashlib import blake2b
from typing import Final, NamedTuple, Protocol

from msgspec import Struct
from msgspec.structs import replace

from translators.price_list import Price

# What caches cost of most models, where the price list has none to compare with.
_OF_INPUT: Final = {"cache_write_5m": Fraction(5, 4), "cache_write_1h": Fraction(2), "cache_read": Fraction(1, 10)}
_AMOUNTS: Final = ("input", "output", *_OF_INPUT)
_MICRO_IN_DOLLAR: Final = 1_000_000
_NO_DATE: Final = date(1970, 1, 1)


class OwnPrice(Struct, frozen=True):
    """A part of the list price; or amounts in micro-dollars per million tokens, whatever the length of the prompt.

    Caches whose amount is left out cost the same part of `input` as in the price list.
    """

    percent: Fraction = Fraction(100)
    input: int | None = None
    output: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    cache_read: int | None = None

    @property
    def is_part(self) -> bool:
        """Whether it is a part of the list price."""
        return self.input is None or self.output is None


class Amounts(Protocol):
    """The same as it stands in a configuration: dollars per million tokens."""

    @property
    def percent(self) -> float | None: ...
    @property
    def input(self) -> float | None: ...
    @property
    def output(self) -> float | None: ...
    @property
    def cache_write_5m(self) -> float | None: ...
    @property
    def cache_write_1h(self) -> float | None: ...
    @property
    def cache_read(self) -> float | None: ...


class Listed(NamedTuple):
    """The prices of a model, one for each length of a prompt; `is_assumed`: they are those of another model."""

    name: str
    prices: tuple[Price, ...]
    fast_prices: tuple[Price, ...] = ()
    is_assumed: bool = False
    has_date: bool = True


class OwnPrices:
    """The operator's prices: one for the exact name first, then the longest pattern that matches."""

    def __init__(self, prices: Mapping[str, OwnPrice]) -> None:
        self._exact = {name: price for name, price in prices.items() if "*" not in name}
        patterns = sorted((name for name in prices if "*" in name), key=len, reverse=True)
        self._patterns = [(_pattern(name), name, prices[name]) for name in patterns]

    def find(self, *names: str) -> tuple[str, OwnPrice] | None:
        """The price of a model that has these names, with the name or pattern under which it is set."""
        for name in names:
            if (price := self._exact.get(name)) is not None:
                return name, price
        found = ((label, price) for pattern, label, price in self._patterns if any(map(pattern.fullmatch, names)))
        return next(found, None)


def own_prices(settings: Mapping[str, Amounts]) -> dict[str, OwnPrice]:
    """The prices of a configuration, by model or pattern."""
    return {
        name: OwnPrice(
            Fraction(100) if (percent := setting.percent) is None else exact(percent),
            *(None if (dollars := getattr(setting, each)) is None else _micro(dollars) for each in _AMOUNTS),
        )
        for name, setting in settings.items()
    }


def exact(number: float) -> Fraction:
    """The decimal number that was written."""
    return Fraction(repr(number))


def _micro(dollars: float) -> int:
    return _rounded(exact(dollars) * _MICRO_IN_DOLLAR)


def applied(label: str, own: OwnPrice, listed: Listed) -> Listed:
    """The operator's price in place of the listed one."""
    name = f"own:{label}#{blake2b(repr(own).encode(), digest_size=4).hexdigest()}"
    if own.is_part:
        factor = own.percent / 100
        return listed._replace(
            name=f"{name}/{listed.name}",
            prices=tuple(_scaled(price, factor) for price in listed.prices),
            fast_prices=tuple(_scaled(price, factor) for price in listed.fast_prices),
        )
    price = _in_full(own, None if listed.is_assumed else listed.prices[0])
    fast = tuple(_scaled(price, Fraction(fast.input, listed.prices[0].input)) for fast in listed.fast_prices)
    return Listed(name, (price,), () if listed.is_assumed else fast, has_date=False)


def _in_full(own: OwnPrice, listed: Price | None) -> Price:
    """All amounts of a price whose input and output are set."""
    given = {name: getattr(own, name) for name in _AMOUNTS}
    for name, usual in _OF_INPUT.items():
        if given[name] is None:
            part = Fraction(getattr(listed, name), listed.input) if listed is not None and listed.input else usual
            given[name] = _rounded(given["input"] * part)
    return Price(**given, source="", date=_NO_DATE)


def _scaled(price: Price, factor: Fraction) -> Price:
    return replace(price, **{name: _rounded(getattr(price, name) * factor) for name in _AMOUNTS})


def _rounded(amount: Fraction) -> int:
    """An amount in whole micro-dollars per million tokens, a half up."""
    return int(amount + Fraction(1, 2))


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, name.split("*"))))
