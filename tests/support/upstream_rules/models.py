"""What each model of the demo refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway.demo.models import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRules:
    forced_tools: bool = True
    prefill: bool = False
    # `defaults`: only the default values are accepted; `one_of`: temperature or top_p, not both.
    sampling: Literal["defaults", "honoured", "one_of"] = "defaults"
    system_messages: bool = True
    # Thinking is valid only after an unchanged prefix, and that of other models is skipped.
    preserved_thinking: bool = False
    reads_thinking_of: tuple[str, ...] = ()
    # These models refuse `thinking: disabled` with an effort above `high`.
    quiet_up_to_high: bool = False


_RULES = {
    "claude-fable-5-2": ModelRules(forced_tools=False, preserved_thinking=True),
    "claude-mythos-5-2": ModelRules(
        forced_tools=False, preserved_thinking=True, reads_thinking_of=("claude-fable-5-2",)
    ),
    "claude-haiku-5-5": ModelRules(preserved_thinking=True, quiet_up_to_high=True),
    "claude-sonnet-5-5": ModelRules(forced_tools=False, preserved_thinking=True, quiet_up_to_high=True),
    "claude-opus-5-5": ModelRules(forced_tools=False, preserved_thinking=True),
    "claude-fable-5-1": ModelRules(forced_tools=False, preserved_thinking=True, reads_thinking_of=("claude-opus-5-5",)),
    "claude-mythos-5-1": ModelRules(forced_tools=False, preserved_thinking=True),
    "claude-opus-5": ModelRules(quiet_up_to_high=True),
    "claude-sonnet-5": ModelRules(system_messages=False),
    "claude-fable-5": ModelRules(),
    "claude-mythos-5": ModelRules(),
    "claude-opus-4-8": ModelRules(),
    "claude-opus-4-7": ModelRules(system_messages=False),
    "claude-sonnet-4-6": ModelRules(sampling="honoured", system_messages=False),
    "claude-opus-4-6": ModelRules(sampling="honoured", system_messages=False),
    "claude-opus-4-5-20251101": ModelRules(prefill=True, sampling="honoured", system_messages=False),
    "claude-haiku-4-5-20251001": ModelRules(prefill=True, sampling="one_of", system_messages=False),
    "claude-sonnet-4-5-20250929": ModelRules(prefill=True, sampling="one_of", system_messages=False),
}


def rules_of(model: Model) -> ModelRules:
    """What this model refuses."""
    return _RULES[model.id]
