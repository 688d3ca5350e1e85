"""What each simulated model accepts: the only table of model facts in this package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EFFORTS = ("low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model's facts; the defaults are those of the newest generation."""

    id: str
    name: str
    line: str
    released: str
    context: int = 1_000_000
    max_output: int = 128_000
    thinking: tuple[str, ...] = ("adaptive",)
    thinks_unasked: bool = True
    # These models refuse `thinking: disabled` with an effort above `high`.
    quiet_up_to_high: bool = False
    display: Literal["omitted", "summarized"] = "omitted"
    efforts: tuple[str, ...] = EFFORTS
    forced_tools: bool = True
    thinks_when_forced: bool = True
    prefill: bool = False
    # `defaults`: only the default values are accepted; `one_of`: temperature or top_p, not both.
    sampling: Literal["defaults", "honoured", "one_of"] = "defaults"
    system_messages: bool = True
    cache_minimum: int = 512
    fast: bool = False
    # Thinking is valid only after an unchanged prefix, and that of other models is skipped.
    preserved_thinking: bool = False
    reads_thinking_of: tuple[str, ...] = ()
    alias: str | None = None
    retires: str | None = None


_UP_TO_HIGH = ("low", "medium", "high")
_BEFORE_XHIGH = (*_UP_TO_HIGH, "max")
_SWITCHABLE = ("adaptive", "disabled")
_MANUAL = ("enabled", "disabled")

_ROWS = (
    Model(
        id="claude-fable-5-2",
        name="Claude Fable 5.2",
        line="fable",
        released="2026-11-09",
        forced_tools=False,
        fast=True,
        preserved_thinking=True,
    ),
    Model(
        id="claude-mythos-5-2",
        name="Claude Mythos 5.2",
        line="mythos",
        released="2026-11-09",
        forced_tools=False,
        fast=True,
        preserved_thinking=True,
        reads_thinking_of=("claude-fable-5-2",),
    ),
    Model(
        id="claude-haiku-5-5",
        name="Claude Haiku 5.5",
        line="haiku",
        released="2026-10-07",
        thinking=_SWITCHABLE,
        quiet_up_to_high=True,
        thinks_when_forced=False,
        preserved_thinking=True,
    ),
    Model(
        id="claude-sonnet-5-5",
        name="Claude Sonnet 5.5",
        line="sonnet",
        released="2026-09-28",
        thinking=("adaptive", "between_tools"),
        quiet_up_to_high=True,
        forced_tools=False,
        preserved_thinking=True,
    ),
    Model(
        id="claude-opus-5-5",
        name="Claude Opus 5.5",
        line="opus",
        released="2026-09-22",
        forced_tools=False,
        fast=True,
        preserved_thinking=True,
    ),
    Model(
        id="claude-fable-5-1",
        name="Claude Fable 5.1",
        line="fable",
        released="2026-09-01",
        forced_tools=False,
        preserved_thinking=True,
        reads_thinking_of=("claude-opus-5-5",),
    ),
    Model(
        id="claude-mythos-5-1",
        name="Claude Mythos 5.1",
        line="mythos",
        released="2026-09-01",
        forced_tools=False,
        preserved_thinking=True,
    ),
    Model(
        id="claude-opus-5",
        name="Claude Opus 5",
        line="opus",
        released="2026-07-24",
        thinking=_SWITCHABLE,
        quiet_up_to_high=True,
        fast=True,
    ),
    Model(
        id="claude-sonnet-5",
        name="Claude Sonnet 5",
        line="sonnet",
        released="2026-06-30",
        thinking=_SWITCHABLE,
        system_messages=False,
        cache_minimum=1024,
    ),
    Model(id="claude-fable-5", name="Claude Fable 5", line="fable", released="2026-06-09"),
    Model(id="claude-mythos-5", name="Claude Mythos 5", line="mythos", released="2026-06-09"),
    Model(
        id="claude-opus-4-8",
        name="Claude Opus 4.8",
        line="opus",
        released="2026-05-28",
        thinking=_SWITCHABLE,
        thinks_unasked=False,
        cache_minimum=1024,
    ),
    Model(
        id="claude-opus-4-7",
        name="Claude Opus 4.7",
        line="opus",
        released="2026-04-16",
        thinking=_SWITCHABLE,
        thinks_unasked=False,
        system_messages=False,
        cache_minimum=2048,
    ),
    Model(
        id="claude-sonnet-4-6",
        name="Claude Sonnet 4.6",
        line="sonnet",
        released="2026-02-17",
        thinking=("adaptive", *_MANUAL),
        thinks_unasked=False,
        display="summarized",
        efforts=_BEFORE_XHIGH,
        sampling="honoured",
        system_messages=False,
        cache_minimum=1024,
    ),
    Model(
        id="claude-opus-4-6",
        name="Claude Opus 4.6",
        line="opus",
        released="2026-02-05",
        thinking=("adaptive", *_MANUAL),
        thinks_unasked=False,
        display="summarized",
        efforts=_BEFORE_XHIGH,
        sampling="honoured",
        system_messages=False,
        cache_minimum=4096,
    ),
    Model(
        id="claude-opus-4-5-20251101",
        alias="claude-opus-4-5",
        name="Claude Opus 4.5",
        line="opus",
        released="2025-11-24",
        context=200_000,
        max_output=64_000,
        thinking=_MANUAL,
        thinks_unasked=False,
        display="summarized",
        efforts=_UP_TO_HIGH,
        prefill=True,
        sampling="honoured",
        system_messages=False,
        cache_minimum=4096,
        retires="2027-01-22",
    ),
    Model(
        id="claude-haiku-4-5-20251001",
        alias="claude-haiku-4-5",
        name="Claude Haiku 4.5",
        line="haiku",
        released="2025-10-15",
        context=200_000,
        max_output=64_000,
        thinking=_MANUAL,
        thinks_unasked=False,
        display="summarized",
        efforts=(),
        prefill=True,
        sampling="one_of",
        system_messages=False,
        cache_minimum=4096,
    ),
    Model(
        id="claude-sonnet-4-5-20250929",
        alias="claude-sonnet-4-5",
        name="Claude Sonnet 4.5",
        line="sonnet",
        released="2025-09-29",
        context=200_000,
        max_output=64_000,
        thinking=_MANUAL,
        thinks_unasked=False,
        display="summarized",
        efforts=(),
        prefill=True,
        sampling="one_of",
        system_messages=False,
        cache_minimum=1024,
        retires="2026-11-30",
    ),
)

MODELS = {model.id: model for model in _ROWS}
"""Every model by its id, newest first."""

_ALIASES = {model.alias: model for model in _ROWS if model.alias}


def find_model(name: str) -> Model | None:
    return MODELS.get(name) or _ALIASES.get(name)
