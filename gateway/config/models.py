"""The settings of models: which one a name means, what each can do and costs, and how long its answers may get."""

from fractions import Fraction
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

from gateway.config.checks import Name, Seconds, as_model_id
from gateway.config.mistakes import Mistakes, path_to

_MICRO_DOLLARS: Final = 1_000_000

ModelId = Annotated[str, Meta(min_length=1, pattern="^[^*?]*$", extra={"check": as_model_id})]


class AbilitiesConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, repr_omit_defaults=True):
    """What a model can do, where the built-in table is wrong or has no entry; other facts stay as in the table."""

    context: Annotated[int | None, Meta(description="Tokens of the context window.")] = None
    max_output: Annotated[int | None, Meta(description="The most tokens of an answer, thinking included.")] = None
    thinking: Annotated[
        tuple[Literal["adaptive", "enabled", "disabled", "between_tools"], ...] | None,
        Meta(description="The values of thinking.type that are accepted."),
    ] = None
    thinks_by_default: Annotated[bool | None, Meta(description="Whether it thinks when thinking is left out.")] = None
    binds_thinking: Annotated[
        bool | None,
        Meta(description="Whether its thinking is valid only after an unchanged conversation."),
    ] = None
    efforts: Annotated[
        tuple[Literal["low", "medium", "high", "xhigh", "max"], ...] | None,
        Meta(description="The effort levels it has, lowest first."),
    ] = None
    forced_tools: Annotated[bool | None, Meta(description="Whether a tool call can be forced.")] = None
    prefill: Annotated[bool | None, Meta(description="Whether the last message may be the assistant's.")] = None
    sampling: Annotated[
        Literal["honoured", "exclusive", "none"] | None,
        Meta(description="Whether temperature and top_p are honoured, only one of them, or none."),
    ] = None
    system_messages: Annotated[bool | None, Meta(description="Whether messages may have the role system.")] = None
    cache_minimum: Annotated[int | None, Meta(description="Tokens below which a prompt is not cached.")] = None


Dollars = Annotated[float, Meta(ge=0, le=1_000_000)]


class PriceConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, repr_omit_defaults=True):
    """What a model costs: a part of the list price, or dollars per million tokens."""

    percent: Annotated[
        Annotated[float, Meta(ge=0, le=1000)] | None, Meta(description="Percent of the list price: 85 is 15 % off.")
    ] = None
    input: Annotated[Dollars | None, Meta(description="Dollars per million input tokens, with output.")] = None
    output: Annotated[Dollars | None, Meta(description="Dollars per million output tokens, with input.")] = None
    cache_write_5m: Annotated[
        Dollars | None,
        Meta(description="The same, written to a cache for 5 minutes; without it in proportion to input."),
    ] = None
    cache_write_1h: Annotated[Dollars | None, Meta(description="The same, written for an hour.")] = None
    cache_read: Annotated[Dollars | None, Meta(description="The same, read from a cache.")] = None


class ModelsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which model a name means, and how long its answers may get."""

    aliases: Annotated[
        dict[Name, ModelId],
        Meta(description="Name or pattern (with *) that clients ask for, to the model that answers."),
    ] = field(default_factory=dict)
    builtin_aliases: Annotated[
        bool, Meta(description="Whether OpenAI's model names are understood without an alias of your own.")
    ] = True
    max_output_tokens: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="The limit for requests without one; null is the model's own maximum."),
    ] = None
    abilities: Annotated[
        dict[Name, AbilitiesConfig], Meta(description="Model to what it can do, overriding the built-in table.")
    ] = field(default_factory=dict)
    fallbacks: Annotated[
        dict[ModelId, tuple[ModelId, ...]],
        Meta(description="Model to the models that are asked in turn while all of its class are overloaded."),
    ] = field(default_factory=dict)
    prices: Annotated[
        dict[Name, PriceConfig], Meta(description="Model or pattern (with *) to its price, instead of the list price.")
    ] = field(default_factory=dict)
    refresh_seconds: Annotated[
        Seconds, Meta(description="How often the list of models is fetched from upstream again.")
    ] = 3600.0


def check_prices(prices: dict[str, PriceConfig], mistakes: Mistakes) -> None:
    """Report prices that say too little or two things at once."""
    for model, price in prices.items():
        path = path_to("models.prices", str(model))
        if not isinstance(price, PriceConfig) or mistakes.are_at(path):
            continue
        amounts = [name for name in PriceConfig.__struct_fields__[1:] if getattr(price, name) is not None]
        if price.percent is not None and amounts:
            mistakes.add(path, f"percent is of the list price: leave it out, or {', '.join(amounts)}")
        elif price.percent is None and (price.input is None or price.output is None):
            mistakes.add(path, "expected percent, or input and output in dollars per million tokens")
        for name in amounts:
            if (Fraction(repr(getattr(price, name))) * _MICRO_DOLLARS).denominator != 1:
                mistakes.add(path_to(path, name), "expected dollars with at most 6 decimals")
