"""A rule as operators write it, in the configuration, on the command line and in the table of rules."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

RuleId = Annotated[str, Meta(min_length=1, max_length=64)]
_Pattern = Annotated[str, Meta(min_length=1, max_length=256)]


class Definition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One rule: how much of what may be used in which time, by whom, of which models."""

    id: Annotated[RuleId, Meta(description="The name of the rule, in errors and reports; each name once.")]
    what: Annotated[
        Literal["requests", "input_tokens", "output_tokens", "in_flight", "money"],
        Meta(description="What is counted; input tokens do not include those read from a cache."),
    ]
    amount: Annotated[float, Meta(ge=0, le=1e12, description="The most of it; for money in US dollars.")]
    window: Annotated[
        Literal["minute", "hour", "day", "month", "total"],
        Meta(description="The time that the amount is for; in_flight takes none."),
    ] = "total"
    aligned: Annotated[
        bool | None,
        Meta(
            description="true: windows of the calendar (UTC); false: a bucket that refills steadily. "
            "null is false for a minute and an hour, except of money, and else true."
        ),
    ] = None
    scope: Annotated[
        Literal["all", "group", "key", "end_user"],
        Meta(description="Who shares one amount: everyone, or each group, each key, each end user of a key."),
    ] = "all"
    of: Annotated[
        _Pattern,
        Meta(description="Which groups, or which keys (by name or id) the rule is about; * stands for any text."),
    ] = "*"
    model: Annotated[
        _Pattern, Meta(description="Which models it counts, by their ids upstream; * stands for any text.")
    ] = "*"
    over: Annotated[
        _Pattern,
        Meta(description="What becomes of a request above it: refuse, queue, or model:NAME for another model."),
    ] = "refuse"
    shadow: Annotated[bool, Meta(description="Whether it only reports what it would have refused.")] = False
    hold: Annotated[
        Literal["expected", "strict"] | None,
        Meta(description="For money and tokens by the calendar: what a running request holds; null: accounts.hold."),
    ] = None
