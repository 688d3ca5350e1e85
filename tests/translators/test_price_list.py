"""The price list against another one, which others keep: `genai-prices`, as of the day that ours was made."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data import providers

from translators.message_usage import MessageUsage
from translators.models import charges, model_table, older_prices
from translators.prices import list_prices

THEIRS = {model.id: model for provider in providers if provider.id == "anthropic" for model in provider.models}
DAY = datetime(2026, 11, 30, 12, tzinfo=UTC)
MILLION = 1_000_000


class Profile(NamedTuple):
    """Tokens of each class, in the order of `MessageUsage`: uncached, read, written for 5 m and 1 h, output."""

    uncached: int = 0
    read: int = 0
    short: int = 0
    long: int = 0
    output: int = 0
    searches: int = 0


PROFILES = {
    "input": Profile(1_000),
    "output": Profile(output=1_000),
    "cache read": Profile(read=1_000),
    "cache write, 5 minutes": Profile(short=1_000),
    "cache write, 1 hour": Profile(long=1_000),
    "all": Profile(1, 20, 300, 4_000, 50, 6),
    "prompt at the step": Profile(100_000, output=7),
    "prompt above the step": Profile(100_001, output=7),
    "long prompt": Profile(150_000, 1, 2, 40_000, 900),
    "longer than 200,000": Profile(200_001, 1, 2, 3, 900),
}
MODES: dict[str, dict[str, str]] = {"standard": {}, "batch": {"service_tier": "batch"}, "fast": {"speed": "fast"}}
CONTEXTS = {"standard": None, "batch": {"processing": "batch"}, "fast": {"speed": "fast"}}

# Where the two differ, and why ours is right.
DISAGREEMENTS = {
    ("claude-sonnet-4-5-20250929", "longer than 200,000"): (
        "they keep the price of the beta for a million tokens, which ended on 2026-04-30 (section 11.1): such a prompt "
        "is longer than the context window"
    ),
}
# What they do not list; the reference has no second source for these but its own.
NOT_LISTED = {"claude-mythos-5-1", "claude-mythos-5", "claude-mythos-preview"}
OLDER = {
    "claude-opus-4": ("claude-opus-4-1", "claude-opus-4-0"),
    "claude-sonnet-4": ("claude-sonnet-4-0", "claude-3-7-sonnet-latest", "claude-3-5-sonnet", "claude-3-sonnet"),
    "claude-haiku-3-5": ("claude-3-5-haiku-latest",),
    "claude-opus-3": ("claude-3-opus-latest",),
    "claude-haiku-3": ("claude-3-haiku",),
}
LISTED = [row.id for row in model_table().rows if row.id not in NOT_LISTED]


def theirs(model: str, profile: Profile, mode: str) -> Decimal:
    """Nano-dollars."""
    usage = Usage(
        input_tokens=sum(profile[:4]),
        cache_read_tokens=profile.read,
        cache_write_tokens=profile.short + profile.long,
        cache_write_1h_tokens=profile.long,
        output_tokens=profile.output,
        web_searches=profile.searches,
    )
    context = CONTEXTS[mode]
    price = calc_price(usage, model, provider_id="anthropic", genai_request_timestamp=DAY, price_context=context)
    return price.total_price * 10**9


def ours(model: str, profile: Profile, mode: str) -> int:
    tools = (("web_search_requests", profile.searches),) if profile.searches else ()
    terms: Any = MODES[mode]
    return list_prices().charge(MessageUsage(model, *profile[:5], server_tools=tools, **terms), model).nano_dollars


def modes_of(model: str) -> list[str]:
    """The modes for which they have prices."""
    name = next(name for name in (model, model.rpartition("-20")[0]) if name in THEIRS)
    variants = THEIRS[name].price_variants or []
    return ["standard", *(mode for mode, when in CONTEXTS.items() if when in [variant.when for variant in variants])]


@pytest.mark.parametrize("model", LISTED)
def test_both_lists_give_the_same_price(model: str) -> None:
    found = {
        (model, name): (mode, ours(model, profile, mode), their_price)
        for mode in modes_of(model)
        for name, profile in PROFILES.items()
        if ours(model, profile, mode) != (their_price := theirs(model, profile, mode))
    }

    assert found.keys() == {place for place in DISAGREEMENTS if place[0] == model}, found


def test_every_model_that_has_a_fast_mode_or_batches_is_compared_in_them() -> None:
    fast = {model for model in LISTED if (known := model_table().provenance(model)) and known.fast_prices}

    assert {model for model in LISTED if "fast" in modes_of(model)} == fast
    assert {model for model in LISTED if "batch" not in modes_of(model)} == set()


@pytest.mark.parametrize(("ours_id", "model"), [(id_, model) for id_, models in OLDER.items() for model in models])
def test_older_models_have_the_same_price_in_both_lists(ours_id: str, model: str) -> None:
    assert list_prices().charge(MessageUsage(model), "").price == f"{ours_id}/2026-11-30"
    for profile in PROFILES.values():
        without_searches = profile._replace(searches=0)

        assert ours(model, without_searches, "standard") == theirs(model, without_searches, "standard")


def test_neither_list_has_a_model_of_which_the_other_knows_nothing() -> None:
    compared = {name for model in LISTED for name in (model, model.rpartition("-20")[0])}
    older = {model for models in OLDER.values() for model in models}
    # No longer served by anybody, and without a row here.
    gone = {"claude-2", "claude-v1"}

    assert THEIRS.keys() - compared - older <= gone
    assert {each.id for each in older_prices()} == OLDER.keys()
    assert NOT_LISTED.isdisjoint(THEIRS)


def test_what_they_do_not_list_costs_what_its_sibling_does() -> None:
    siblings = {
        "claude-mythos-5-1": "claude-fable-5-1",
        "claude-mythos-5": "claude-fable-5",
        "claude-mythos-preview": "claude-fable-5",
    }

    assert siblings.keys() == NOT_LISTED
    for model, sibling in siblings.items():
        assert [ours(model, each, "standard") for each in PROFILES.values()] == [
            ours(sibling, each, "standard") for each in PROFILES.values()
        ]


def test_what_they_do_not_model_is_the_references() -> None:
    # They have no prices by region, and of the server tools only searches.
    assert charges().inference_geo == {"global": (1, 1), "not_available": (1, 1), "us": (11, 10)}
    assert charges().service_tier == {"standard": (1, 1), "priority": (1, 1), "batch": (1, 2)}
    assert charges().server_tools == {
        "web_search_requests": 10_000,
        "web_fetch_requests": 0,
        "code_execution_requests": 0,
    }
