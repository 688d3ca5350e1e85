"""The table of models against the wire reference, sections 11.1 to 11.3, transcribed here a second time."""

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import pytest

from translators.models import EFFORT_LEVELS, ModelRow, ModelTable, limit_class, model_table
from translators.price_list import Price

ALL = EFFORT_LEVELS
BEFORE_XHIGH = ("low", "medium", "high", "max")
ADAPTIVE = {"adaptive"}
SWITCHABLE = {"adaptive", "disabled"}
TRANSITIONAL = {"adaptive", "enabled", "disabled"}
MANUAL = {"enabled", "disabled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A line of the reference; defaults are what most of the newest models have."""

    released: str
    thinking: frozenset[str] | set[str]
    thinks: bool = True
    efforts: tuple[str, ...] = ALL
    effort: str | None = "high"
    forced: bool = False
    prefill: bool = False
    sampling: str = "none"
    system: bool = True
    cache: int | None = 512
    size: tuple[int, int] = (1_000_000, 128_000)
    disabled_effort: str | None = None


SMALL = (200_000, 64_000)
BETWEEN = {"adaptive", "between_tools"}
REFERENCE = {
    "claude-fable-5-2": Facts(released="2026-11-09", thinking=ADAPTIVE, cache=None),
    "claude-mythos-5-2": Facts(released="2026-11-09", thinking=ADAPTIVE, cache=None),
    "claude-fable-5-1": Facts(released="2026-09-01", thinking=ADAPTIVE),
    "claude-mythos-5-1": Facts(released="2026-09-01", thinking=ADAPTIVE),
    "claude-opus-5-5": Facts(released="2026-09-22", thinking=ADAPTIVE, effort="medium"),
    "claude-sonnet-5-5": Facts(released="2026-09-28", thinking=BETWEEN, disabled_effort="high"),
    "claude-haiku-5-5": Facts(
        released="2026-10-07", thinking=SWITCHABLE, effort="medium", forced=True, disabled_effort="high"
    ),
    "claude-opus-5": Facts(released="2026-07-24", thinking=SWITCHABLE, forced=True, disabled_effort="high"),
    "claude-sonnet-5": Facts(released="2026-06-30", thinking=SWITCHABLE, forced=True, system=False, cache=1024),
    "claude-fable-5": Facts(released="2026-06-09", thinking=ADAPTIVE, forced=True),
    "claude-mythos-5": Facts(released="2026-06-09", thinking=ADAPTIVE, forced=True),
    "claude-opus-4-8": Facts(released="2026-05-28", thinking=SWITCHABLE, thinks=False, forced=True, cache=1024),
    "claude-opus-4-7": Facts(
        released="2026-04-16", thinking=SWITCHABLE, thinks=False, forced=True, system=False, cache=2048
    ),
    "claude-mythos-preview": Facts(
        released="2026", thinking={"adaptive", "enabled"}, efforts=BEFORE_XHIGH, system=False, cache=2048
    ),
    "claude-opus-4-6": Facts(
        released="2026-02-05",
        thinking=TRANSITIONAL,
        thinks=False,
        efforts=BEFORE_XHIGH,
        forced=True,
        sampling="honoured",
        system=False,
        cache=4096,
    ),
    "claude-sonnet-4-6": Facts(
        released="2026-02-17",
        thinking=TRANSITIONAL,
        thinks=False,
        efforts=BEFORE_XHIGH,
        forced=True,
        sampling="honoured",
        system=False,
        cache=1024,
    ),
    "claude-opus-4-5-20251101": Facts(
        released="2025-11-24",
        thinking=MANUAL,
        thinks=False,
        efforts=("low", "medium", "high"),
        forced=True,
        prefill=True,
        sampling="honoured",
        system=False,
        cache=4096,
        size=SMALL,
    ),
    "claude-haiku-4-5-20251001": Facts(
        released="2025-10-15",
        thinking=MANUAL,
        thinks=False,
        efforts=(),
        effort=None,
        forced=True,
        prefill=True,
        sampling="exclusive",
        system=False,
        cache=4096,
        size=SMALL,
    ),
    "claude-sonnet-4-5-20250929": Facts(
        released="2025-09-29",
        thinking=MANUAL,
        thinks=False,
        efforts=(),
        effort=None,
        forced=True,
        prefill=True,
        sampling="exclusive",
        system=False,
        cache=1024,
        size=SMALL,
    ),
}

# Dollars a million tokens as the reference writes them: input / output / 5-minute write / 1-hour write / read.
PRICES = {
    "claude-fable-5-2": "8 / 40 / 10 / 16 / 0.20",
    "claude-mythos-5-2": "8 / 40 / 10 / 16 / 0.20",
    "claude-fable-5-1": "10 / 50 / 12.50 / 20 / 0.25",
    "claude-mythos-5-1": "10 / 50 / 12.50 / 20 / 0.25",
    "claude-opus-5-5": "4 / 20 / 5 / 8 / 0.20",
    "claude-sonnet-5-5": "2 / 10 / 2.50 / 4 / 0.10",
    "claude-haiku-5-5": "100000: 0.10 / 0.50 / 0.125 / 0.20 / 0.01; 0.50 / 2.50 / 0.625 / 1 / 0.05",
    "claude-opus-5": "5 / 25 / 6.25 / 10 / 0.50",
    "claude-sonnet-5": "2 / 10 / 2.50 / 4 / 0.20",
    "claude-fable-5": "10 / 50 / 12.50 / 20 / 1",
    "claude-mythos-5": "10 / 50 / 12.50 / 20 / 1",
    "claude-opus-4-8": "5 / 25 / 6.25 / 10 / 0.50",
    "claude-opus-4-7": "5 / 25 / 6.25 / 10 / 0.50",
    "claude-opus-4-6": "5 / 25 / 6.25 / 10 / 0.50",
    "claude-sonnet-4-6": "3 / 15 / 3.75 / 6 / 0.30",
    "claude-opus-4-5-20251101": "5 / 25 / 6.25 / 10 / 0.50",
    "claude-haiku-4-5-20251001": "1 / 5 / 1.25 / 2 / 0.10",
    "claude-sonnet-4-5-20250929": "3 / 15 / 3.75 / 6 / 0.30",
    "claude-mythos-preview": "10 / 50 / 12.50 / 20 / 1",
}
# The same for `speed: fast`: the reference has input and output, the cache's multipliers come on top.
FAST_PRICES = {
    "claude-fable-5-2": "16 / 80 / 20 / 32 / 0.40",
    "claude-mythos-5-2": "16 / 80 / 20 / 32 / 0.40",
    "claude-opus-5-5": "8 / 40 / 10 / 16 / 0.40",
    "claude-opus-5": "10 / 50 / 12.50 / 20 / 1",
    "claude-opus-4-8": "10 / 50 / 12.50 / 20 / 1",
}
# It has ended there on 2026-11-30: earlier answers have their price.
FAST_UNTIL_NOW = {"claude-opus-4-8"}

# Of the additions of 2026-11-30: who checks what stood before a thinking block.
BINDS_THINKING = {
    *("claude-fable-5-2", "claude-mythos-5-2", "claude-fable-5-1", "claude-mythos-5-1"),
    *("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"),
}


def test_the_table_has_exactly_the_models_of_the_reference() -> None:
    assert sorted(row.id for row in model_table().rows) == sorted(REFERENCE)


@pytest.mark.parametrize("model", REFERENCE)
def test_a_row_says_what_the_reference_says(model: str) -> None:
    row, facts = model_table().row(model), REFERENCE[model]

    assert row.id == model
    assert row.released.isoformat().startswith(facts.released)
    assert (row.context, row.max_output) == facts.size
    assert set(row.thinking) == facts.thinking
    assert row.thinks_by_default == facts.thinks
    assert (row.efforts, row.effort) == (facts.efforts, facts.effort)
    assert row.disabled_effort == facts.disabled_effort
    assert row.forced_tools == facts.forced
    assert row.prefill == facts.prefill
    assert row.sampling == facts.sampling
    assert row.system_messages == facts.system
    assert row.cache_minimum == facts.cache or facts.cache is None
    assert row.binds_thinking == (model in BINDS_THINKING)


@pytest.mark.parametrize("model", REFERENCE)
def test_a_row_is_consistent_in_itself(model: str) -> None:
    row = model_table().row(model)

    assert row.effort in row.efforts or (row.effort is None and not row.efforts)
    assert list(row.efforts) == [level for level in EFFORT_LEVELS if level in row.efforts]
    assert row.can_disable_thinking == ("disabled" in row.thinking)
    assert row.has_adaptive_thinking == ("adaptive" in row.thinking)
    assert row.can_disable_thinking or row.thinks_by_default
    assert row.max_output <= row.context


@pytest.mark.parametrize("model", REFERENCE)
def test_a_dated_model_is_found_without_its_date_and_no_other_has_an_alias(model: str) -> None:
    row = model_table().row(model)
    dateless = re.sub(r"-\d{8}$", "", model)

    assert model_table().row(dateless) is row
    assert row.aliases == (() if dateless == model else (dateless,))


@pytest.mark.parametrize(
    ("spelling", "model"),
    [
        ("anthropic.claude-opus-5-5", "claude-opus-5-5"),
        ("anthropic.claude-opus-4-6-v1", "claude-opus-4-6"),
        ("anthropic.claude-sonnet-4-6", "claude-sonnet-4-6"),
        ("anthropic.claude-haiku-4-5-20251001-v1:0", "claude-haiku-4-5-20251001"),
        ("anthropic.claude-haiku-4-5", "claude-haiku-4-5-20251001"),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "claude-haiku-4-5-20251001"),
        ("global.anthropic.claude-opus-4-5-20251101-v1:0", "claude-opus-4-5-20251101"),
        ("us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5-20250929"),
        ("claude-haiku-4-5@20251001", "claude-haiku-4-5-20251001"),
        ("claude-opus-4-6", "claude-opus-4-6"),
        ("anthropic/claude-haiku-4-5", "claude-haiku-4-5-20251001"),
    ],
)
def test_a_model_is_found_under_the_spelling_of_another_host(spelling: str, model: str) -> None:
    assert model_table().row(spelling).id == model


@pytest.mark.parametrize(
    "unknown",
    [
        "",
        "claude",
        "claude-sonnet-6",
        "claude-haiku-4-5-20991231",
        "gpt-5",
        "my deployment",
        "xclaude-haiku-4-5",
        "\ud83d",
    ],
)
def test_an_unknown_id_is_treated_like_the_newest_generation(unknown: str) -> None:
    newest = max(model_table().rows, key=lambda row: (row.released, row.id == "claude-fable-5-2"))

    assert model_table().row(unknown) is newest


def test_what_an_unknown_id_may_do_every_model_of_its_generation_may() -> None:
    strictest = model_table().row("claude-next-9")

    assert not any((strictest.forced_tools, strictest.prefill, strictest.can_disable_thinking))
    assert strictest.sampling == "none"


def test_a_table_can_be_made_of_other_rows() -> None:
    row = model_table().row("claude-opus-5")

    table = ModelTable([row], unknown="claude-opus-5")

    assert table.row("claude-haiku-4-5") is row
    assert table.rows == (row,)


@pytest.mark.parametrize("model", REFERENCE)
def test_every_fact_of_a_row_has_one_source_and_its_date(model: str) -> None:
    known = model_table().provenance(model)
    fields = set(ModelRow.__struct_fields__) - {"id", "aliases"}

    assert known is not None
    facts = [fact for other in known.other_sources for fact in other.facts]
    assert set(facts) <= fields
    assert len(set(facts)) == len(facts)
    stated = [(known.source, known.date)]
    stated += [(other.source, other.date) for other in known.other_sources]
    stated += [(price.source, price.date) for price in (*known.prices, *known.fast_prices)]
    for source, day in stated:
        assert re.search(r"section|not in the reference", source)
        assert date(2026, 8, 1) <= day <= date(2026, 11, 30)


@pytest.mark.parametrize("model", REFERENCE)
def test_a_model_costs_what_the_reference_says(model: str) -> None:
    known = model_table().provenance(model)

    assert known is not None
    assert "; ".join(written(price) for price in known.prices) == normal(PRICES[model])
    # Section 13.1: what a cache costs follows from the input.
    for price in known.prices:
        assert (price.cache_write_5m, price.cache_write_1h) == (price.input * 5 // 4, price.input * 2)
        assert price.input // price.cache_read in (10, 20, 40)


def written(price: Price) -> str:
    """A price as the reference writes it."""
    amounts = (price.input, price.output, price.cache_write_5m, price.cache_write_1h, price.cache_read)
    bound = "" if price.up_to_prompt_tokens is None else f"{price.up_to_prompt_tokens}: "
    return bound + " / ".join(str(Decimal(amount) / 1_000_000) for amount in amounts)


def normal(text: str) -> str:
    """The same without zeros that say nothing."""
    return re.sub(r"(\.\d*?)0+(?=\D|$)", r"\1", text)


def test_the_last_price_of_a_model_is_for_any_length() -> None:
    for model in REFERENCE:
        known = model_table().provenance(model)
        assert known is not None
        *bounded, last = [price.up_to_prompt_tokens for price in known.prices]
        assert last is None
        assert None not in bounded


@pytest.mark.parametrize("model", REFERENCE)
def test_fast_mode_has_a_price_where_there_is_fast_mode(model: str) -> None:
    known = model_table().provenance(model)

    assert known is not None
    assert model_table().row(model).fast == (model in FAST_PRICES.keys() - FAST_UNTIL_NOW)
    assert "; ".join(written(price) for price in known.fast_prices) == normal(FAST_PRICES.get(model, ""))


def test_what_nobody_knows_has_no_price() -> None:
    table = model_table()

    assert table.provenance("claude-next-9") is None
    assert table.provenance("anthropic.claude-haiku-4-5-20251001-v1:0") == table.provenance("claude-haiku-4-5")


# Limit classes


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("claude-sonnet-5-5", "sonnet-5"),
        ("claude-sonnet-5", "sonnet-5"),
        ("claude-opus-4-5-20251101", "opus-4"),
        ("claude-sonnet-4-20250514", "sonnet-4"),
        ("claude-haiku-5-5", "haiku-5"),
        ("claude-3-5-sonnet-20241022", "sonnet-3"),
        ("claude-3-opus-20240229", "opus-3"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "sonnet-4"),
        ("claude-opus-4-1@20250805", "opus-4"),
        ("anthropic/claude-haiku-5-5", "haiku-5"),
        ("claude-mythos-preview", "claude-mythos-preview"),
        ("something-else", "something-else"),
        ("", ""),
    ],
)
def test_models_of_one_family_and_generation_share_their_limits(model: str, expected: str) -> None:
    assert limit_class(model) == expected


def test_what_stands_behind_a_space_keeps_its_limits_apart() -> None:
    assert limit_class("claude-sonnet-5-5 count_tokens") == limit_class("claude-sonnet-5 count_tokens")
    assert limit_class("claude-sonnet-5-5 count_tokens") not in {limit_class("claude-sonnet-5-5"), "sonnet-5"}
    assert limit_class("else count_tokens") == "else count_tokens"


@pytest.mark.parametrize(
    ("model", "max_output", "sampling"),
    [
        ("claude-opus-4-1", 32_000, "exclusive"),
        ("claude-opus-4-1-20250805", 32_000, "exclusive"),
        ("us.anthropic.claude-opus-4-1-20250805-v1:0", 32_000, "exclusive"),
        ("claude-opus-4@20250514", 32_000, "honoured"),
        ("claude-opus-4-0", 32_000, "honoured"),
        ("claude-sonnet-4-20250514", 64_000, "honoured"),
        ("claude-3-7-sonnet-latest", 64_000, "honoured"),
        ("claude-3-5-haiku-20241022", 8_192, "honoured"),
        ("claude-3-haiku-20240307", 4_096, "honoured"),
    ],
)
def test_a_model_of_an_older_generation_is_not_taken_for_one_of_the_newest(
    model: str, max_output: int, sampling: str
) -> None:
    row = model_table().row(model)

    assert (row.max_output, row.sampling, row.efforts) == (max_output, sampling, ())
    assert not row.has_adaptive_thinking


@pytest.mark.parametrize(
    "model", ["claude-opus-4-9", "claude-opus-40", "claude-sonnet-41", "claude-3-9-opus", "claude-nova-3", "gpt-4"]
)
def test_other_ids_that_are_not_listed_have_the_newest_row(model: str) -> None:
    table = model_table()

    assert table.row(model) is table.row("claude-fable-5-2")


def test_older_models_are_not_listed() -> None:
    table = model_table()

    assert not any("claude-opus-4-1" in (row.id, *row.aliases) for row in table.rows)
    assert not table.knows("claude-opus-4-1")
