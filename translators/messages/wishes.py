"""How much a caller asks a model to think, in any of the ways there are to say it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from msgspec import Raw, Struct

from translators.adjustments import Adjustments
from translators.errors import TranslationError
from translators.models import EFFORT_LEVELS
from translators.reading import decode, is_null
from translators.unknown import read_counted
from translators.wire.chat import ChatRequest, ReasoningOptions
from translators.wire.known import Counted
from translators.wire.raw import NULL, OBJECT_DECODER

OPENAI_EFFORTS: Final = ("none", "minimal", *EFFORT_LEVELS)
BUDGETS: Final = {"low": 2_048, "medium": 8_192, "high": 16_384, "xhigh": 24_576, "max": 32_768}
_DISPLAYS: Final = ("summarized", "omitted", "updates")
# Modes without thinking proper: they take no other field, and some models no high effort beside them.
THOUGHTLESS: Final = ("disabled", "between_tools")
BLOCK_BINDING: Final = "block_binding"


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

    `field` is the name to report under, `mode` the type of Anthropic's own field where that was used, `beside` the
    `reasoning_effort` beside it.
    """

    effort: str | None = None
    budget: int | None = None
    display: str = "summarized"
    field: str = "reasoning_effort"
    mode: str | None = None
    beside: str | None = None
    binding: bytes | None = None

    @property
    def amount_field(self) -> str | None:
        """The field in which the caller has said how much to think; None where nobody has."""
        if self.budget is not None:
            return "thinking.budget_tokens" if self.field == "thinking" else "reasoning.max_tokens"
        if self.effort is None:
            return None
        return "reasoning.effort" if self.field == "reasoning" else "reasoning_effort"


class _Thinking(Struct):
    """Anthropic's own field."""

    type: str
    budget_tokens: int | None = None
    display: str | None = None
    block_binding: Raw = NULL


_THINKING: Final[Counted[_Thinking]] = Counted(_Thinking)


def read_wish(request: ChatRequest, circumstances: Circumstances, adjustments: Adjustments) -> Wish | None:
    """Anthropic's own field wins over OpenAI's, which wins over OpenRouter's."""
    if not is_null(request.thinking):
        _name_overruled(request.reasoning, "thinking", None, adjustments)
        return _wish_of_thinking(request, adjustments)
    if request.reasoning_effort is not None:
        _name_overruled(request.reasoning, "reasoning_effort", request.reasoning_effort, adjustments)
        hidden = request.include_reasoning is False and not circumstances.always_show
        effort = _checked_effort(request.reasoning_effort, "reasoning_effort")
        return Wish(effort, display="omitted" if hidden else "summarized")
    options = request.reasoning
    if options is not None and (options.enabled or options.effort or options.max_tokens):
        level = _checked_effort(options.effort, "reasoning.effort") if options.effort else None
        display = "omitted" if options.exclude and not circumstances.always_show else "summarized"
        return Wish(level, options.max_tokens, display, "reasoning")
    if options is not None and options.enabled is False:
        return Wish("none", field="reasoning")
    # OpenRouter's field asks for nothing by itself.
    return Wish(field="include_reasoning") if request.include_reasoning else None


def _name_overruled(options: ReasoningOptions | None, by: str, effort: str | None, adjustments: Adjustments) -> None:
    """Name the amounts of OpenRouter's field that another field overrules; `effort` is the one that both may say."""
    if options is None:
        return
    if options.max_tokens:
        adjustments.add("reasoning.max_tokens", "dropped", by)
    if options.effort and options.effort != effort:
        adjustments.add("reasoning.effort", "dropped", by)


def _wish_of_thinking(request: ChatRequest, adjustments: Adjustments) -> Wish:
    """Anthropic's field in whichever of its generations; each model gets it in the one it takes."""
    given = read_counted(_THINKING, request.thinking, "thinking", adjustments)
    asked = request.reasoning_effort
    effort = None if asked is None else _checked_effort(asked, "reasoning_effort")
    display = "summarized" if given.display is None else given.display
    if display not in _DISPLAYS:
        raise _not_a_value(display, _DISPLAYS, "thinking.display")
    if not is_null(given.block_binding):
        decode(OBJECT_DECODER, given.block_binding, f"thinking.{BLOCK_BINDING}")
    if given.type in THOUGHTLESS:
        if given.display is not None:
            adjustments.add("thinking.display", "dropped", "thinking")
        if not is_null(given.block_binding):
            adjustments.add("thinking.block_binding", "dropped", "thinking")
        return Wish("none", field="thinking", mode=given.type, beside=effort)
    if given.type not in ("enabled", "adaptive"):
        raise _not_a_value(given.type, ("enabled", "adaptive", *THOUGHTLESS), "thinking.type")
    level = None if effort == "none" else effort
    if level is None and given.budget_tokens is not None:
        level = effort_of_budget(given.budget_tokens)
    binding = None if is_null(given.block_binding) else bytes(given.block_binding)
    return Wish(level, given.budget_tokens, display, "thinking", given.type, effort, binding)


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
