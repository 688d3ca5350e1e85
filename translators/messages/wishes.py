"""How much a caller asks a model to think, in any of the ways there are to say it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from msgspec import Raw, Struct

from translators.adjustments import Adjustments
from translators.errors import TranslationError
from translators.intent import Intent, ReasoningWish
from translators.models import EFFORT_LEVELS
from translators.reading import decode, is_null
from translators.unknown import read_counted
from translators.wire.known import Counted
from translators.wire.raw import NULL, OBJECT_DECODER

OPENAI_EFFORTS: Final = ("none", "minimal", *EFFORT_LEVELS)
BUDGETS: Final = {"low": 2_048, "medium": 8_192, "high": 16_384, "xhigh": 24_576, "max": 32_768}
_SHOWN: Final = "summarized"
_HIDDEN: Final = "omitted"
_DISPLAYS: Final = (_SHOWN, _HIDDEN, "updates")
# Modes without thinking proper: they take no other field, and some models no high effort beside them.
THOUGHTLESS: Final = ("disabled", "between_tools")
BLOCK_BINDING: Final = "block_binding"
# Anthropic's own field, and OpenRouter's.
THINKING: Final = "thinking"
OPENROUTER: Final = "reasoning"
# Where nothing stands beside Anthropic's own field.
_NO_EFFORT: Final = ReasoningWish("reasoning_effort")


class Circumstances(Struct, frozen=True):
    """What besides the caller's wish decides about thinking; `own_effort` is that of `output_config`, which wins."""

    max_tokens: int
    is_limited_by_caller: bool
    is_tool_forced: bool
    is_in_tool_loop: Callable[[], bool]
    always_show: bool
    own_effort: str | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """What the caller asked for: an effort (`none`: no thinking), perhaps a budget, and whether to see it.

    `field` is the name to report under. `mode` is the type of Anthropic's own field where that was used, `beside` the
    effort that stands beside it, in the `effort_field`.
    """

    effort: str | None = None
    budget: int | None = None
    display: str = "summarized"
    field: str = "reasoning_effort"
    mode: str | None = None
    beside: str | None = None
    binding: bytes | None = None
    effort_field: str = "reasoning_effort"

    @property
    def asked_effort(self) -> str | None:
        """What the caller's field for the effort says."""
        if self.field == THINKING:
            return self.beside
        return self.effort if self.field == self.effort_field else None

    @property
    def amount_field(self) -> str | None:
        """The field in which the caller has said how much to think; None where nobody has."""
        if self.budget is not None:
            return "thinking.budget_tokens" if self.field == "thinking" else "reasoning.max_tokens"
        if self.effort is None:
            return None
        return "reasoning.effort" if self.field == "reasoning" else self.effort_field


class _Thinking(Struct):
    """Anthropic's own field."""

    type: str
    budget_tokens: int | None = None
    display: str | None = None
    block_binding: Raw = NULL


_THINKING: Final[Counted[_Thinking]] = Counted(_Thinking)


def read_wish(intent: Intent, circumstances: Circumstances, adjustments: Adjustments) -> Wish | None:
    """What the caller asks for; Anthropic's own field wins over any other."""
    thinking = intent.native.get(THINKING, NULL)
    wish = intent.reasoning
    if wish is not None:
        for name in wish.overruled:
            adjustments.add(name, "dropped", wish.field if is_null(thinking) else THINKING)
    if not is_null(thinking):
        return _wish_of_thinking(thinking, wish or _NO_EFFORT, adjustments)
    if wish is None:
        return None
    is_openrouters = wish.field == OPENROUTER
    effort = wish.effort
    if effort is not None:
        effort = _checked_effort(effort, f"{OPENROUTER}.effort" if is_openrouters else wish.field)
    display = wish.display or (_HIDDEN if intent.hides_reasoning else _SHOWN)
    if circumstances.always_show and display == _HIDDEN:
        display = _SHOWN
    return Wish(
        effort, wish.budget, display, wish.field, effort_field=_NO_EFFORT.field if is_openrouters else wish.field
    )


def _wish_of_thinking(thinking: Raw, asked: ReasoningWish, adjustments: Adjustments) -> Wish:
    """Anthropic's field in whichever of its generations; each model gets it in the one it takes."""
    given = read_counted(_THINKING, thinking, THINKING, adjustments)
    effort = None if asked.effort is None else _checked_effort(asked.effort, asked.field)
    display = _SHOWN if given.display is None else given.display
    if display not in _DISPLAYS:
        raise _not_a_value(display, _DISPLAYS, "thinking.display")
    if not is_null(given.block_binding):
        decode(OBJECT_DECODER, given.block_binding, f"thinking.{BLOCK_BINDING}")
    if given.type in THOUGHTLESS:
        if given.display is not None:
            adjustments.add("thinking.display", "dropped", THINKING)
        if not is_null(given.block_binding):
            adjustments.add("thinking.block_binding", "dropped", THINKING)
        return Wish("none", field=THINKING, mode=given.type, beside=effort, effort_field=asked.field)
    if given.type not in ("enabled", "adaptive"):
        raise _not_a_value(given.type, ("enabled", "adaptive", *THOUGHTLESS), "thinking.type")
    level = None if effort == "none" else effort
    if level is None and given.budget_tokens is not None:
        level = effort_of_budget(given.budget_tokens)
    binding = None if is_null(given.block_binding) else bytes(given.block_binding)
    return Wish(level, given.budget_tokens, display, THINKING, given.type, effort, binding, asked.field)


def _checked_effort(effort: str, path: str) -> str:
    if effort not in OPENAI_EFFORTS:
        raise _not_a_value(effort, OPENAI_EFFORTS, path)
    return effort


def _not_a_value(value: str, allowed: tuple[str, ...], path: str) -> TranslationError:
    values = ", ".join(f"'{item}'" for item in allowed)
    return TranslationError(
        f"Invalid value: '{value}'. Supported values are: {values}.", param=path, code="invalid_value"
    )


def effort_of_budget(budget: int) -> str:
    """The lowest effort whose budget is at least as large."""
    return next((effort for effort, tokens in BUDGETS.items() if tokens >= budget), "max")
