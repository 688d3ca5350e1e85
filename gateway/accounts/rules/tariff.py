"""What a request may cost before it is sent: what is expected, and what it cannot exceed."""

from collections.abc import Sequence
from typing import Final, TypeAlias

from msgspec import Struct

from gateway.accounts.rules.habits import Habits
from gateway.accounts.rules.rule import Hold, Rule, What
from gateway.accounts.rules.wish import Wish
from translators.estimate import BYTES_A_TOKEN
from translators.models import ModelRow
from translators.price_list import Price

# What a request may take, by place: what is expected of each `What`, and then what it cannot exceed.
Costs: TypeAlias = tuple[int, ...]
STRICT_INPUT: Final = 5
STRICT_OUTPUT: Final = 6
STRICT_MONEY: Final = 7

# Prices are in micro-dollars per million tokens: a thousand of them are a nano-dollar for a token.
_PRICE_A_NANO: Final = 1_000
# An image or a document whose size is not known is expected to be this long.
_MEDIA_TOKENS: Final = 1_600
# What upstream and the gateway add to a prompt: the words for tools, schemas, separators. Bounded from above.
_ADDED_TOKENS: Final = 4_096
# More tokens than any prompt has.
_ENDLESS: Final = 10**15
# Processing in the United States costs a tenth more.
_GEO_NUMERATOR: Final = 11
_GEO_DENOMINATOR: Final = 10


class Terms(Struct, frozen=True):
    """What the operator allows callers to ask for that makes an answer dearer."""

    fast: bool = False
    geo: bool = False


def place_of(rule: Rule, usual: Hold) -> int:
    """Which of the costs a rule counts."""
    if (rule.hold or usual) == "expected" or not rule.is_aligned:
        return int(rule.what)
    return {
        What.MONEY: STRICT_MONEY,
        What.INPUT_TOKENS: STRICT_INPUT,
        What.OUTPUT_TOKENS: STRICT_OUTPUT,
    }.get(rule.what, int(rule.what))


class Priced(Struct, frozen=True):
    """One model: what it can do, and its prices by the length of the prompt."""

    row: ModelRow
    prices: Sequence[Price]
    fast_prices: Sequence[Price] = ()


class Tariff:
    """The prices and bounds of a request for one model, for which others may stand in."""

    def __init__(self, model: Priced, stand_ins: Sequence[Priced], terms: Terms) -> None:
        models = (model, *stand_ins)
        self._context = max(each.row.context for each in models)
        self._max_output = max(each.row.max_output for each in models)
        self._prices = [
            (price.up_to_prompt_tokens or _ENDLESS, price.input, price.cache_read, price.output)
            for price in model.prices
        ]
        dearest = [price for each in models for price in (*each.prices, *(each.fast_prices if terms.fast else ()))]
        factor = _GEO_NUMERATOR if terms.geo else _GEO_DENOMINATOR
        # All of a prompt may be written to a cache.
        self._most_input = factor * max((max(each.input, each.cache_write_1h) for each in dearest), default=0)
        self._most_output = factor * max((each.output for each in dearest), default=0)

    def costs(self, wish: Wish, habits: Habits, *, max_tokens: int | None = None, is_strict: bool = False) -> Costs:
        """All costs; `max_tokens` lowers what the caller asked for. Those that a request cannot exceed, if asked."""
        expected = self._expected(wish, habits)
        if not is_strict:
            return expected
        choices, prompt, answer = wish.choices, self.most_input(wish), max_tokens or self.most_output(wish)
        money = self._most_money(prompt, answer, choices)
        return (*expected, prompt * choices, answer * choices, money)

    def _expected(self, wish: Wish, habits: Habits) -> Costs:
        prompt, choices = wish.input_bytes // BYTES_A_TOKEN, wish.choices
        if wish.has_media:
            prompt += _MEDIA_TOKENS
        cached = int(prompt * share) if (share := habits.cached_share) else 0
        fresh, output = prompt - cached, wish.max_tokens or self._max_output
        if output > habits.longest:
            # Whatever is held is more than nothing.
            output = habits.longest or 1
        money = 0
        for most_tokens, read, cache_read, written in self._prices:
            if prompt <= most_tokens:
                money = fresh * read + cached * cache_read + output * written
                break
        return (1, fresh * choices, output * choices, 1, -(-money * choices // _PRICE_A_NANO))

    def most_input(self, wish: Wish) -> int:
        """What the prompt cannot exceed: no token is shorter than a byte, and no prompt longer than the context."""
        if wish.has_media:
            return self._context
        most = wish.input_bytes + _ADDED_TOKENS
        return most if most < self._context else self._context

    def most_output(self, wish: Wish) -> int:
        """What upstream is asked to write at most, for each choice."""
        asked, most = wish.max_tokens, self._max_output
        return asked if asked and asked < most else most

    def most_money(self, wish: Wish, max_tokens: int) -> int:
        """What all choices cannot exceed."""
        return self._most_money(self.most_input(wish), max_tokens, wish.choices)

    def longer(self, tokens: int, choices: int) -> Costs:
        """What a prompt that is longer by these tokens costs in addition, at most."""
        return (0, 0, 0, 0, 0, tokens * choices, 0, self._most_money(tokens, 0, choices))

    def affordable(self, wish: Wish, money: int) -> int:
        """How many tokens each choice may write so that all do not exceed that; may be negative."""
        if not self._most_output:
            return self._max_output
        micros = money * _PRICE_A_NANO * _GEO_DENOMINATOR // wish.choices
        return (micros - self.most_input(wish) * self._most_input) // self._most_output

    def _most_money(self, prompt: int, answer: int, choices: int) -> int:
        micros = (prompt * self._most_input + answer * self._most_output) * choices
        return -(-micros // (_PRICE_A_NANO * _GEO_DENOMINATOR))
