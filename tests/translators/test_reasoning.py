"""How much a model thinks, for every model, level and circumstance."""

import json
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest

from tests.support.conversations import called, chat, returned, said, tool, translate
from tests.support.legality import violations
from translators.errors import TranslationError
from translators.messages.options import Options
from translators.models import EFFORT_LEVELS, ModelRow, model_table

ROWS = model_table().rows
OPENAI_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
SHOWN = {"type": "adaptive", "display": "summarized"}
LOOP = [said("user", "Go"), called(("c1", "look", "{}")), returned("c1")]


def row_id(row: ModelRow) -> str:
    return row.id


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What was sent about thinking, and the header."""

    thinking: dict[str, Any] | None
    effort: str | None
    adjusted: str | None


def reasoning(
    wanted: str | None,
    model: str,
    *,
    max_tokens: int = 50_000,
    limited: bool = True,
    forced: bool = False,
    in_tool_loop: bool = False,
    always_show: bool = False,
) -> Reasoning:
    """A request in these circumstances, written for a model."""
    messages = LOOP if in_tool_loop else [said("user", "Go")]
    fields: dict[str, Any] = {"tools": [tool("look")], "reasoning_effort": wanted}
    if forced:
        fields["tool_choice"] = "required"
    if limited:
        fields["max_tokens"] = max_tokens
    options = Options(max_output_tokens=None if limited else max_tokens, always_show_reasoning=always_show)
    written = translate(chat(*messages, **fields), model, options=options)
    body = json.loads(written.body)
    return Reasoning(body.get("thinking"), body.get("output_config", {}).get("effort"), written.adjusted)


EVERYTHING = list(product((1, 1023, 1024, 1025, 3000, 50_000), (False, True), (False, True), (False, True)))


@pytest.mark.parametrize("row", ROWS, ids=row_id)
@pytest.mark.parametrize("wanted", [None, *OPENAI_EFFORTS])
def test_only_what_the_model_takes_is_sent(row: ModelRow, wanted: str | None) -> None:
    for max_tokens, forced, in_tool_loop, always_show in EVERYTHING:
        forced = forced and row.forced_tools
        written = reasoning(
            wanted,
            row.id,
            max_tokens=max_tokens,
            forced=forced,
            in_tool_loop=in_tool_loop,
            always_show=always_show,
        )

        assert written.effort is None or written.effort in row.efforts
        if written.thinking is None:
            continue
        kind = written.thinking["type"]
        assert kind in row.thinking
        if kind == "enabled":
            assert 1024 <= written.thinking["budget_tokens"] < max_tokens
            assert not forced
            assert not in_tool_loop
        if kind == "disabled":
            assert written.thinking.keys() == {"type"}
            assert written.effort is None


@pytest.mark.parametrize("row", ROWS, ids=row_id)
@pytest.mark.parametrize("wanted", EFFORT_LEVELS)
def test_a_level_is_the_same_or_the_nearest_lower_one_and_then_it_is_named(row: ModelRow, wanted: str) -> None:
    written = reasoning(wanted, row.id)

    if row.efforts:
        lower = [level for level in row.efforts if EFFORT_LEVELS.index(level) <= EFFORT_LEVELS.index(wanted)]
        assert written.effort == lower[-1]
        assert (written.adjusted is None) == (lower[-1] == wanted)
    else:
        assert written.effort is None


@pytest.mark.parametrize("row", ROWS, ids=row_id)
def test_asked_for_reasoning_is_shown(row: ModelRow) -> None:
    written = reasoning("medium", row.id)

    assert written.thinking is not None
    assert written.thinking["type"] in ("adaptive", "enabled")
    assert written.thinking["display"] == "summarized"


@pytest.mark.parametrize("row", ROWS, ids=row_id)
def test_an_ordinary_request_leaves_thinking_to_the_model(row: ModelRow) -> None:
    assert reasoning(None, row.id) == Reasoning(None, None, None)


@pytest.mark.parametrize("row", ROWS, ids=row_id)
def test_no_reasoning_is_as_little_as_the_model_takes_and_said_where_it_is_not_none(row: ModelRow) -> None:
    written = reasoning("none", row.id)

    if not row.thinks_by_default:
        assert written == Reasoning(None, None, None)
    elif "disabled" in row.thinking:
        assert written == Reasoning({"type": "disabled"}, None, None)
    else:
        assert written == Reasoning(None, "low", "reasoning_effort=none->low:model")


@pytest.mark.parametrize("row", ROWS, ids=row_id)
@pytest.mark.parametrize("mode", [None, "disabled", "between_tools", "adaptive", "enabled"])
def test_thinking_and_effort_in_anthropics_own_fields_are_legal_together(row: ModelRow, mode: str | None) -> None:
    for own, effort, max_tokens in product((None, *row.efforts), (None, *OPENAI_EFFORTS), (500, 5000)):
        thinking = {"type": mode, "budget_tokens": 2000} if mode == "enabled" else {"type": mode}
        fields = {"thinking": thinking if mode else None, "reasoning_effort": effort, "max_tokens": max_tokens}
        written = translate(chat(output_config={"effort": own} if own else None, **fields), row.id)
        body = json.loads(written.body)

        assert violations(body, row, betas=written.betas) == []
        sent = body.get("output_config", {}).get("effort")
        assert own is None or sent == own or f"output_config.effort={own}->{sent}:thinking" in (written.adjusted or "")


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-5"])
def test_budgets_grow_with_the_level(model: str) -> None:
    thinking = [reasoning(level, model).thinking for level in EFFORT_LEVELS]

    budgets = [mode["budget_tokens"] for mode in thinking if mode]

    assert len(budgets) == len(EFFORT_LEVELS)
    assert budgets == sorted(set(budgets))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"max_tokens": 1024}, "max_tokens"),
        ({"forced": True}, "tool_choice"),
        ({"in_tool_loop": True}, "no-signed-thinking"),
    ],
)
def test_a_budget_that_cannot_be_used_switches_thinking_off_and_is_named(given: dict[str, Any], reason: str) -> None:
    written = reasoning("high", "claude-haiku-4-5", **given)

    assert written.thinking in (None, {"type": "disabled"})
    assert written.adjusted is not None
    assert written.adjusted.startswith("reasoning_effort=")
    assert written.adjusted.endswith(f":{reason}")


@pytest.mark.parametrize("given", [{"forced": True}, {"in_tool_loop": True}])
def test_adaptive_thinking_goes_together_with_forced_tools_and_tool_loops(given: dict[str, Any]) -> None:
    assert reasoning("high", "claude-sonnet-4-6", **given) == Reasoning(SHOWN, "high", None)


def test_a_small_limit_of_the_caller_leaves_room_for_the_answer() -> None:
    assert reasoning(None, "claude-haiku-5-5", max_tokens=1023).thinking == {"type": "disabled"}
    assert reasoning(None, "claude-opus-5-5", max_tokens=1023).effort == "low"
    assert reasoning(None, "claude-opus-5-5", max_tokens=1024) == Reasoning(None, None, None)


def test_a_small_limit_of_the_operator_does_not_change_how_the_model_thinks() -> None:
    assert reasoning(None, "claude-opus-5-5", max_tokens=1023, limited=False) == Reasoning(None, None, None)


def test_thinking_is_shown_unasked_where_the_operator_wants_it() -> None:
    assert reasoning(None, "claude-sonnet-5-5", always_show=True).thinking == SHOWN
    assert reasoning(None, "claude-opus-4-8", always_show=True).thinking is None


@pytest.mark.parametrize("wanted", ["", "High", "extreme"])
def test_an_unknown_level_is_refused(wanted: str) -> None:
    with pytest.raises(TranslationError) as caught:
        reasoning(wanted, "claude-opus-5")

    assert (caught.value.failure.param, caught.value.failure.code) == ("reasoning_effort", "invalid_value")
