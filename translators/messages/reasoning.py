"""How much a model thinks: `reasoning_effort` and its likes as thinking mode, budget and effort."""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace
from orjson import Fragment

from translators.adjustments import Adjustments
from translators.intent import Intent, ReasoningWish
from translators.messages.blocks import Block
from translators.messages.wishes import (
    BLOCK_BINDING,
    BUDGETS,
    OPENROUTER,
    THINKING,
    THOUGHTLESS,
    Circumstances,
    Wish,
    effort_of_budget,
    read_wish,
)
from translators.model_names import Spelling
from translators.models import BINDING, DISPLAY, EFFORT_LEVELS, ModelRow

# Where thinking is a budget in tokens; 1,024 is the least that Messages takes.
MIN_BUDGET_TOKENS: Final = 1024
# Below this limit a model that thinks first would have nothing left to answer with.
SMALL_LIMIT_TOKENS: Final = 1024
# What parts of `thinking` need in `anthropic-beta` (section 2 of the Messages reference).
_UPDATES_BETA: Final = "thinking-display-updates-2026-08-18"
_BINDING_BETA: Final = "thinking-binding-controls-2026-08-01"


class Reasoning(Struct, frozen=True):
    """What is sent: the `thinking` field and the effort, each None where it is left out."""

    thinking: Block | None = None
    effort: str | None = None
    is_thinking: bool = False

    @property
    def betas(self) -> list[str]:
        """What the `thinking` field needs."""
        if (thinking := self.thinking) is None:
            return []
        updates = [_UPDATES_BETA] if thinking.get("display") == "updates" else []
        return [*updates, _BINDING_BETA] if BLOCK_BINDING in thinking else updates


def write_reasoning(intent: Intent, row: ModelRow, circumstances: Circumstances, adjustments: Adjustments) -> Reasoning:
    """The thinking mode and effort for one model."""
    wish = read_wish(intent, circumstances, adjustments)
    decided = _unasked(row, circumstances) if wish is None else _decided(wish, row, circumstances, adjustments)
    if row.refuses and decided.thinking is not None:
        decided = _without_refused(decided, decided.thinking, row, adjustments)
    return _with_allowed_effort(decided, wish, row, circumstances.own_effort, adjustments)


def _without_refused(decided: Reasoning, thinking: Block, row: ModelRow, adjustments: Adjustments) -> Reasoning:
    """The same without parts of `thinking` that the model refuses."""
    fields = dict(thinking)
    # That thinking is summarised is what the gateway asks for by itself.
    if DISPLAY in row.refuses and fields.pop("display", "summarized") != "summarized":
        adjustments.add(DISPLAY, "dropped", "model")
    if BINDING in row.refuses and fields.pop(BLOCK_BINDING, None) is not None:
        adjustments.add(BINDING, "dropped", "model")
    return replace(decided, thinking=fields)


def with_wishes(intent: Intent, name: Spelling) -> Intent:
    """The intent with what the model's name asks for, as `claude-x-high` does; the caller's own fields win."""
    if not (name.effort or name.thinks):
        return intent
    own = intent.reasoning
    if THINKING in intent.native or (own is not None and own.effort != "" and own.field != "include_reasoning"):
        return intent
    if name.effort:
        return replace(intent, reasoning=ReasoningWish("reasoning_effort", name.effort))
    # That a name asks for thinking is OpenRouter's way.
    return replace(intent, reasoning=ReasoningWish(OPENROUTER), hides_reasoning=False, shows_reasoning_twice=True)


def _decided(wish: Wish, row: ModelRow, circumstances: Circumstances, adjustments: Adjustments) -> Reasoning:
    """What becomes of a wish, `output_config` left out of account."""
    if wish.mode == "between_tools" and wish.mode in row.thinking:
        return Reasoning({"type": "between_tools"}, _beside(wish, row, adjustments), is_thinking=True)
    if wish.effort == "none":
        if wish.budget is not None and wish.field == OPENROUTER:
            adjustments.add("reasoning.max_tokens", "dropped", "reasoning.effort")
        return _none(wish, row, adjustments)
    is_manual = wish.mode == "enabled" and "enabled" in row.thinking
    # A budget is as good as an effort, where the model takes one; else the nearest effort stands for it.
    effort = _beside(wish, row, adjustments) if is_manual else _effort(wish, row, adjustments)
    if not row.can_think:
        if wish.field != wish.effort_field or effort is None:
            adjustments.add(wish.field, "dropped", "model")
        return Reasoning(effort=effort)
    if row.has_adaptive_thinking and not is_manual:
        if wish.mode == "enabled":
            adjustments.add("thinking", "enabled->adaptive", "model")
        return Reasoning(_bound(wish, {"type": "adaptive", "display": wish.display}), effort, is_thinking=True)
    if wish.mode == "adaptive":
        adjustments.add("thinking", "adaptive->enabled", "model")
    return _budgeted(wish, effort, row, circumstances, adjustments)


def _with_allowed_effort(
    decided: Reasoning, wish: Wish | None, row: ModelRow, own: str | None, adjustments: Adjustments
) -> Reasoning:
    """The same with the caller's own effort, and not with more than the model takes beside thinking switched off."""
    if own is not None and not row.efforts:
        adjustments.add("output_config.effort", "dropped", "model")
        own = None
    effort = decided.effort if own is None else own
    if own is not None and wish is not None and (asked := wish.asked_effort) not in (None, "none", own):
        adjustments.add(wish.effort_field, f"{asked}->{own}", "output_config")
    mode = decided.thinking["type"] if decided.thinking is not None else None
    if mode in THOUGHTLESS and not _is_allowed_without_thinking(effort, row):
        name = wish.effort_field if own is None and wish is not None else "output_config.effort"
        adjustments.add(name, f"{effort}->{row.disabled_effort}", "thinking")
        effort = row.disabled_effort
    return decided if effort == decided.effort else replace(decided, effort=effort)


def _is_allowed_without_thinking(effort: str | None, row: ModelRow) -> bool:
    # A level that nobody here knows is upstream's to judge.
    if row.disabled_effort is None or effort not in EFFORT_LEVELS:
        return True
    return EFFORT_LEVELS.index(effort) <= EFFORT_LEVELS.index(row.disabled_effort)


def _unasked(row: ModelRow, circumstances: Circumstances) -> Reasoning:
    if not row.thinks_by_default:
        return Reasoning()
    if circumstances.is_limited_by_caller and circumstances.max_tokens < SMALL_LIMIT_TOKENS:
        # An effort that is refused beside `disabled` was asked for: it stays, and so does the thinking.
        if row.can_disable_thinking and _is_allowed_without_thinking(circumstances.own_effort, row):
            return Reasoning({"type": "disabled"})
        return Reasoning(effort=row.efforts[0] if row.efforts else None, is_thinking=True)
    if circumstances.always_show and row.has_adaptive_thinking:
        return Reasoning({"type": "adaptive", "display": "summarized"}, is_thinking=True)
    return Reasoning(is_thinking=True)


def _none(wish: Wish, row: ModelRow, adjustments: Adjustments) -> Reasoning:
    beside = _beside(wish, row, adjustments)
    if row.can_disable_thinking or not row.thinks_by_default:
        if wish.mode == "between_tools":
            adjustments.add(wish.field, "between_tools->disabled", "model")
        return Reasoning({"type": "disabled"} if row.thinks_by_default else None, beside)
    lowest = beside or (row.efforts[0] if row.efforts else None)
    adjustments.add(wish.field, f"none->{lowest or 'default'}", "model")
    return Reasoning(effort=lowest, is_thinking=True)


def _beside(wish: Wish, row: ModelRow, adjustments: Adjustments) -> str | None:
    """The effort beside Anthropic's own field, which decides about thinking and leaves the effort."""
    if wish.beside in (None, "none"):
        return None
    if not row.efforts:
        adjustments.add(wish.effort_field, "dropped", "model")
    return _nearest(wish.beside, wish.effort_field, row, adjustments)


def _bound(wish: Wish, thinking: Block) -> Block:
    """The field with the caller's `block_binding`."""
    return thinking if wish.binding is None else {**thinking, BLOCK_BINDING: Fragment(wish.binding)}


def _effort(wish: Wish, row: ModelRow, adjustments: Adjustments) -> str | None:
    """The effort for a wish; OpenRouter's budget, where the model takes none, is named with what stands for it."""
    effort = _nearest(wish.effort, wish.field, row, adjustments)
    if wish.field != OPENROUTER or wish.budget is None:
        return effort
    if effort is None and row.efforts:
        effort = _lowered(effort_of_budget(wish.budget), row)
    if row.has_adaptive_thinking and effort is None:
        adjustments.add("reasoning.max_tokens", "dropped", "model")
    elif row.has_adaptive_thinking:
        adjustments.add("reasoning.max_tokens", f"{wish.budget}->{effort}", "model")
    elif wish.effort is not None and not row.efforts:
        # The budget decides, and there is no effort beside it.
        adjustments.add("reasoning.effort", "dropped", "model")
    return effort


def _nearest(wanted: str | None, field: str, row: ModelRow, adjustments: Adjustments) -> str | None:
    """The level itself, or the nearest lower one that the model has; None for a model without levels."""
    if not row.efforts or wanted is None:
        return None
    level = "low" if wanted == "minimal" else wanted
    effort = _lowered(level, row)
    if effort != level:
        adjustments.add(field, f"{level}->{effort}", "model")
    return effort


def _lowered(level: str, row: ModelRow) -> str:
    """The nearest level at or below this one that the model has, else its lowest."""
    rank = EFFORT_LEVELS.index(level)
    return next((name for name in reversed(row.efforts) if EFFORT_LEVELS.index(name) <= rank), row.efforts[0])


def _budgeted(
    wish: Wish, effort: str | None, row: ModelRow, circumstances: Circumstances, adjustments: Adjustments
) -> Reasoning:
    """Manual thinking: a budget below the limit on tokens, or none where the turn does not allow it."""
    wanted = wish.budget or BUDGETS["low" if wish.effort == "minimal" else wish.effort or row.effort or "medium"]
    budget = min(max(wanted, MIN_BUDGET_TOKENS), circumstances.max_tokens - 1)
    off_because = None
    if budget < MIN_BUDGET_TOKENS:
        off_because = "max_tokens"
    elif circumstances.is_tool_forced:
        off_because = "tool_choice"
    elif circumstances.is_in_tool_loop():
        # Manual thinking needs the signed block of the turn that called the tools; the client did not keep it.
        off_because = "no-signed-thinking"
    if off_because is not None:
        adjustments.add(wish.field, "thinking-off", off_because)
        return Reasoning(effort=effort)
    if budget != wanted and (field := wish.amount_field) is not None:
        adjustments.add(field, f"{wanted}->{budget}", "range" if wanted < budget else "max_tokens")
    thinking: Block = {"type": "enabled", "budget_tokens": budget, "display": wish.display}
    return Reasoning(_bound(wish, thinking), effort, is_thinking=True)
