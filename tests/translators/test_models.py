"""The table of models against the wire reference, sections 11.1 to 11.3, transcribed here a second time."""

import re
from dataclasses import dataclass

import pytest

from translators.models import EFFORT_LEVELS, ModelTable, model_table

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
