"""What the Models API and the operator say of models, over the built-in table (Messages reference, 9.3)."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.demo.catalogue import page_of_models
from tests.support.intents import read_intent
from translators.messages.options import Options, Target
from translators.messages.request import write_request
from translators.models import EFFORT_LEVELS, ModelInfo, ModelRow, ModelTable, model_table, refined

KINDS = ("adaptive", "enabled", "disabled", "between_tools")
NEWEST = "claude-fable-5-2"


def flags(names: Iterable[str], given: Iterable[str]) -> dict[str, Any]:
    return {name: {"supported": name in set(given)} for name in names}


def capabilities(
    *, thinking: Iterable[str] = ("adaptive",), efforts: Iterable[str] = EFFORT_LEVELS, **more: Any
) -> dict[str, Any]:
    """Capabilities as the Models API writes them, with some that the gateway does not read."""
    kinds, levels = set(thinking), set(efforts)
    return {
        "batch": {"supported": True},
        "context_management": {"supported": True, "compact_20260112": None},
        "effort": {"supported": bool(levels), **flags(EFFORT_LEVELS, levels)},
        "thinking": {"supported": bool(kinds - {"disabled"}), "types": flags(KINDS, kinds)},
        **more,
    }


def info(model: str, **more: Any) -> ModelInfo:
    """A model as it is read from the wire."""
    described = {
        "type": "model",
        "id": model,
        "display_name": model,
        "created_at": "2026-11-09T00:00:00Z",
        "lifecycle": "active",
        "deprecated_at": None,
        "line": "of-tomorrow",
        "max_input_tokens": None,
        "max_tokens": None,
        "capabilities": None,
        **more,
    }
    return msgspec.json.decode(json.dumps(described), type=ModelInfo)


def row_after(*infos: ModelInfo, model: str, overrides: Mapping[str, dict[str, Any]] | None = None) -> ModelRow:
    table = model_table()
    for name, abilities in (overrides or {}).items():
        table.override(name, abilities)
    table.refine(infos)
    return table.row(model)


def body_for(row: ModelRow, **request: Any) -> dict[str, Any]:
    """What is sent to a model with such a row."""
    asked = {"model": row.id, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4000, **request}
    written = write_request(read_intent(json.dumps(asked).encode()), Target(row.id, row), Options())
    body: dict[str, Any] = json.loads(written.body)
    return body


# What the Models API says.


@pytest.mark.parametrize("model", [row.id for row in model_table().rows])
def test_what_the_api_is_silent_about_stays_as_it_was(model: str) -> None:
    assert row_after(info(model), model=model) == model_table().row(model)


def test_sizes_are_taken_over() -> None:
    row = row_after(info("claude-opus-5", max_input_tokens=300_000, max_tokens=50_000), model="claude-opus-5")

    assert row == replace(model_table().row("claude-opus-5"), context=300_000, max_output=50_000)


@given(
    efforts=st.sets(st.sampled_from(EFFORT_LEVELS), min_size=1), thinking=st.sets(st.sampled_from(KINDS), min_size=1)
)
def test_efforts_and_thinking_types_are_taken_over(efforts: set[str], thinking: set[str]) -> None:
    said = info("claude-sonnet-4-6", capabilities=capabilities(thinking=thinking, efforts=efforts))

    row = row_after(said, model="claude-sonnet-4-6")

    assert row.efforts == tuple(level for level in EFFORT_LEVELS if level in efforts)
    assert set(row.thinking) == thinking


def test_what_it_cannot_say_is_kept_from_the_row() -> None:
    before = model_table().row("claude-opus-4-5")

    row = row_after(info(before.id, max_tokens=1, capabilities=capabilities()), model=before.id)

    silent = ("forced_tools", "prefill", "sampling", "system_messages", "cache_minimum", "aliases", "released")
    assert [getattr(row, name) for name in silent] == [getattr(before, name) for name in silent]


def test_a_dateless_spelling_follows_its_dated_model() -> None:
    row = row_after(info("claude-opus-4-5-20251101", max_tokens=1234), model="claude-opus-4-5")

    assert row.max_output == 1234


def test_other_models_stay_as_they_were() -> None:
    table = model_table()
    table.refine([info("claude-opus-5", max_tokens=1234), info("claude-of-tomorrow-7", max_tokens=77)])

    others = [row for row in model_table().rows if row.id != "claude-opus-5"]
    assert [table.row(row.id) for row in others] == others


def test_an_unknown_id_gets_the_newest_generations_row_refined() -> None:
    said = info(
        "claude-of-tomorrow-7",
        max_input_tokens=2_000_000,
        max_tokens=256_000,
        capabilities=capabilities(thinking=("adaptive", "disabled"), efforts=("low", "max")),
    )

    row = row_after(said, model="claude-of-tomorrow-7")

    assert row == replace(
        model_table().row(NEWEST),
        id="claude-of-tomorrow-7",
        context=2_000_000,
        max_output=256_000,
        thinking=("adaptive", "disabled"),
        efforts=("low", "max"),
    )


def test_a_model_that_neither_table_nor_list_knows_is_still_the_strictest() -> None:
    row = row_after(info("claude-of-tomorrow-7", max_tokens=77), model="claude-of-the-day-after-8")

    assert row == model_table().row(NEWEST)


def test_a_later_list_counts_more_than_an_earlier_one() -> None:
    table = model_table()
    table.refine([info("claude-opus-5", max_tokens=1000)])
    table.refine([info("claude-opus-5", max_tokens=2000)])

    assert table.row("claude-opus-5").max_output == 2000


def test_a_refined_table_leaves_the_next_one_as_it_was() -> None:
    row_after(info("claude-opus-5", max_tokens=1000), model="claude-opus-5")

    assert model_table().row("claude-opus-5").max_output == 128_000


def test_the_simulated_upstreams_list_says_what_the_table_says() -> None:
    page = page_of_models(limit="1000", after_id=None, before_id=None, lifecycles=())
    table = model_table()

    table.refine(info(entry["id"], **entry) for entry in page["data"])

    for entry in page["data"]:
        after, before = table.row(entry["id"]), model_table().row(entry["id"])
        assert replace(after, thinking=()) == replace(before, thinking=())
        assert set(after.thinking) == set(before.thinking)


# The Models API's own shapes.


@pytest.mark.parametrize(
    "more",
    [
        {"capabilities": {}},
        {"capabilities": {"effort": None, "thinking": None}},
        {"capabilities": {"thinking": {"supported": True}}},
        {"capabilities": {"thinking": {"supported": True, "types": None}}},
        {"max_tokens": None, "max_input_tokens": None},
        {"max_tokens": 0, "max_input_tokens": 0},
        {"line": None, "retires_at": None, "allowed_fallback_models": None, "something_new": {"supported": "maybe"}},
    ],
)
def test_what_is_left_out_or_new_changes_nothing(more: dict[str, Any]) -> None:
    assert row_after(info("claude-opus-5", **more), model="claude-opus-5") == model_table().row("claude-opus-5")


def test_a_level_that_is_null_is_one_that_the_model_lacks() -> None:
    # The SDK's `EffortCapability.xhigh` is optional, and null for models without it.
    effort = {"supported": True, **flags(EFFORT_LEVELS, ("low", "medium", "high", "max")), "xhigh": None}

    said = info("claude-sonnet-4-6", capabilities={"effort": effort})

    assert row_after(said, model="claude-sonnet-4-6").efforts == ("low", "medium", "high", "max")


def test_a_thinking_type_that_is_left_out_or_null_is_one_that_the_model_lacks() -> None:
    types = {"adaptive": {"supported": True}, "enabled": {"supported": False}, "between_tools": None}

    said = info("claude-opus-5", capabilities={"thinking": {"supported": True, "types": types}})

    assert row_after(said, model="claude-opus-5").thinking == ("adaptive",)


# What such rows make of requests.


def test_a_model_without_effort_is_sent_none_whatever_the_caller_asks_for() -> None:
    row = row_after(info("claude-opus-5", capabilities=capabilities(efforts=())), model="claude-opus-5")

    body = body_for(row, reasoning_effort="high")

    assert row.efforts == ()
    assert "output_config" not in body


@pytest.mark.parametrize("effort", ["none", "minimal", "low", "high"])
def test_a_model_that_cannot_think_is_never_told_how(effort: str) -> None:
    # The SDK on `disabled`: true on a model that does not support thinking.
    said = info("claude-plain-1", capabilities=capabilities(thinking=("disabled",), efforts=()))

    body = body_for(row_after(said, model="claude-plain-1"), reasoning_effort=effort)

    assert body.get("thinking", {"type": "disabled"}) == {"type": "disabled"}


@pytest.mark.parametrize("asked", [{"reasoning_effort": "none"}, {"max_tokens": 500}, {"reasoning_effort": "low"}, {}])
@pytest.mark.parametrize("thinking", [("adaptive",), ("enabled",), ("disabled",), ("adaptive", "enabled")])
@pytest.mark.parametrize("model", ["claude-opus-4-8", "claude-haiku-4-5", "claude-of-tomorrow-7"])
@pytest.mark.parametrize("efforts", [(), ("high",)])
def test_only_what_the_list_allows_is_sent(
    model: str, thinking: tuple[str, ...], efforts: tuple[str, ...], asked: dict[str, Any]
) -> None:
    said = info(model, capabilities=capabilities(thinking=thinking, efforts=efforts))

    body = body_for(row_after(said, model=model), **asked)

    sent = body.get("thinking", {}).get("type")
    assert sent is None or sent in thinking
    effort = body.get("output_config", {}).get("effort")
    assert effort is None or effort in efforts


def test_a_model_whose_thinking_cannot_be_switched_off_any_more_thinks_by_default() -> None:
    # Or else a small limit would be used up by the thinking that nobody asked for (section 2 of the design).
    said = info("claude-opus-4-8", capabilities=capabilities(thinking=("adaptive",)))

    body = body_for(row_after(said, model="claude-opus-4-8"), max_tokens=500)

    assert body["output_config"] == {"effort": "low"}


# What the operator says.


def test_the_operators_word_counts_before_a_list_was_had() -> None:
    row = row_after(model="claude-opus-5", overrides={"claude-opus-5": {"max_output": 10, "forced_tools": False}})

    assert row == replace(model_table().row("claude-opus-5"), max_output=10, forced_tools=False)


@pytest.mark.parametrize("refreshes", [1, 2])
def test_the_operators_word_counts_more_than_the_list(refreshes: int) -> None:
    table = model_table()
    table.override("claude-opus-5", {"max_output": 10, "thinking": ("adaptive",)})
    said = info("claude-opus-5", max_tokens=50, max_input_tokens=99, capabilities=capabilities(thinking=("enabled",)))

    for _ in range(refreshes):
        table.refine([said])

    row = table.row("claude-opus-5")
    assert (row.max_output, row.context, row.thinking) == (10, 99, ("adaptive",))


def test_the_operator_may_speak_of_a_model_that_nobody_knows() -> None:
    overrides = {"my-model": {"max_output": 10}}

    assert row_after(model="my-model", overrides=overrides) == replace(
        model_table().row(NEWEST), id="my-model", max_output=10
    )
    assert row_after(info("my-model", max_tokens=20), model="my-model", overrides=overrides).max_output == 10
    assert row_after(model="another", overrides=overrides) == model_table().row(NEWEST)


def test_the_operators_word_on_a_dated_model_holds_for_its_dateless_spelling() -> None:
    overrides = {"claude-opus-4-5-20251101": {"prefill": False}}
    said = info("claude-opus-4-5-20251101", max_tokens=20)

    assert not row_after(model="claude-opus-4-5", overrides=overrides).prefill
    assert not row_after(said, model="claude-opus-4-5", overrides=overrides).prefill


def test_the_operators_word_on_a_dateless_spelling_outlives_the_list() -> None:
    # The list has only the dated id, and its row brings the dateless alias along.
    row = row_after(
        info("claude-opus-4-5-20251101", max_tokens=64_000),
        model="claude-opus-4-5",
        overrides={"claude-opus-4-5": {"prefill": False, "max_output": 10}},
    )

    assert (row.prefill, row.max_output) == (False, 10)


@pytest.mark.parametrize("spelling", ["us.anthropic.claude-haiku-4-5-20251001-v1:0", "claude-haiku-4-5@20251001"])
def test_the_operators_word_on_one_hosts_spelling_does_not_reach_others(spelling: str) -> None:
    table = model_table()
    before = table.row("claude-haiku-4-5")
    table.override(spelling, {"prefill": False})

    assert not table.row(spelling).prefill
    assert table.row("claude-haiku-4-5") == before


def test_a_table_of_ones_own_is_refined_the_same_way() -> None:
    table = ModelTable([model_table().row("claude-opus-5")], unknown="claude-opus-5")
    table.refine([info("a", max_tokens=5)])

    assert table.row("a") == refined(model_table().row("claude-opus-5"), info("a", max_tokens=5))
    assert table.row("a").id == "a"
