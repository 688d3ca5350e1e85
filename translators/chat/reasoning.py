"""How much a model thinks: `reasoning_effort` as thinking mode, budget and effort."""

from dataclasses import dataclass
from typing import Final

from translators.adjustments import Adjustments
from translators.chat.content import Block
from translators.errors import TranslationError
from translators.models import EFFORT_LEVELS, ModelRow

OPENAI_EFFORTS: Final = ("none", "minimal", *EFFORT_LEVELS)
# Where thinking is a budget in tokens; 1,024 is the least that Messages takes.
MIN_BUDGET_TOKENS: Final = 1024
_BUDGETS: Final = {"low": 2_048, "medium": 8_192, "high": 16_384, "xhigh": 24_576, "max": 32_768}
# Below this limit a model that thinks first would have nothing left to answer with.
SMALL_LIMIT_TOKENS: Final = 1024


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What is sent: the `thinking` field and the effort, each None where it is left out."""

    thinking: Block | None = None
    effort: str | None = None
    is_thinking: bool = False


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What besides the caller's wish decides about thinking."""

    max_tokens: int
    is_limited_by_caller: bool
    is_tool_forced: bool
    is_in_tool_loop: bool
    always_show: bool


def write_reasoning(
    wanted: str | None, row: ModelRow, circumstances: Circumstances, adjustments: Adjustments
) -> Reasoning:
    """The thinking mode and effort for one model."""
    if wanted is None:
        return _unasked(row, circumstances)
    if wanted not in OPENAI_EFFORTS:
        levels = ", ".join(f"'{level}'" for level in OPENAI_EFFORTS)
        raise TranslationError(
            f"Invalid value: '{wanted}'. Supported values are: {levels}.",
            param="reasoning_effort",
            code="invalid_value",
        )
    if wanted == "none":
        return _none(row, adjustments)
    level = "low" if wanted == "minimal" else wanted
    effort = _nearest(level, row, adjustments)
    if row.has_adaptive_thinking:
        return Reasoning({"type": "adaptive", "display": "summarized"}, effort, is_thinking=True)
    return _budgeted(level, effort, circumstances, adjustments)


def _unasked(row: ModelRow, circumstances: Circumstances) -> Reasoning:
    if not row.thinks_by_default:
        return Reasoning()
    if circumstances.is_limited_by_caller and circumstances.max_tokens < SMALL_LIMIT_TOKENS:
        if row.can_disable_thinking:
            return Reasoning({"type": "disabled"})
        return Reasoning(effort=row.efforts[0] if row.efforts else None, is_thinking=True)
    if circumstances.always_show:
        return Reasoning({"type": "adaptive", "display": "summarized"}, is_thinking=True)
    return Reasoning(is_thinking=True)


def _none(row: ModelRow, adjustments: Adjustments) -> Reasoning:
    if not row.thinks_by_default:
        return Reasoning()
    if row.can_disable_thinking:
        return Reasoning({"type": "disabled"})
    lowest = row.efforts[0]
    adjustments.add("reasoning_effort", f"none->{lowest}", "model")
    return Reasoning(effort=lowest, is_thinking=True)


def _nearest(level: str, row: ModelRow, adjustments: Adjustments) -> str | None:
    """The level itself, or the nearest lower one that the model has; None for a model without levels."""
    if not row.efforts:
        return None
    rank = EFFORT_LEVELS.index(level)
    effort = next(name for name in reversed(row.efforts) if EFFORT_LEVELS.index(name) <= rank)
    if effort != level:
        adjustments.add("reasoning_effort", f"{level}->{effort}", "model")
    return effort


def _budgeted(level: str, effort: str | None, circumstances: Circumstances, adjustments: Adjustments) -> Reasoning:
    budget = min(_BUDGETS[level], circumstances.max_tokens - 1)
    off_because = None
    if budget < MIN_BUDGET_TOKENS:
        off_because = "max_tokens"
    elif circumstances.is_tool_forced:
        off_because = "tool_choice"
    elif circumstances.is_in_tool_loop:
        # Manual thinking needs the signed block of the turn that called the tools; the client did not keep it.
        off_because = "no-signed-thinking"
    if off_because is not None:
        adjustments.add("reasoning_effort", "thinking-off", off_because)
        return Reasoning(effort=effort)
    thinking: Block = {"type": "enabled", "budget_tokens": budget, "display": "summarized"}
    return Reasoning(thinking, effort, is_thinking=True)
