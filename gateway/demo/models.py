"""The models of the demo: the only table of their facts in this package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EFFORTS = ("low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model's facts; the defaults are those of the newest generation."""

    id: str
    released: str
    context: int = 1_000_000
    max_output: int = 128_000
    thinking: tuple[str, ...] = ("adaptive",)
    thinks_unasked: bool = True
    display: Literal["omitted", "summarized"] = "omitted"
    efforts: tuple[str, ...] = EFFORTS
    thinks_when_forced: bool = True
    cache_minimum: int = 512
    fast: bool = False
    alias: str | None = None
    retires: str | None = None

    @property
    def line(self) -> str:
        """`opus` of `claude-opus-4-5-20251101`."""
        return self.id.split("-")[1]

    @property
    def name(self) -> str:
        """`Claude Opus 4.5` of `claude-opus-4-5-20251101`."""
        version = [part for part in self.id.split("-")[2:] if len(part) < len("20251101")]
        return f"Claude {self.line.title()} {'.'.join(version)}"


_UP_TO_HIGH = ("low", "medium", "high")
_BEFORE_XHIGH = (*_UP_TO_HIGH, "max")
_SWITCHABLE = ("adaptive", "disabled")
_MANUAL = ("enabled", "disabled")

_ROWS = (
    Model(id="claude-fable-5-2", released="2026-11-09", fast=True),
    Model(id="claude-mythos-5-2", released="2026-11-09", fast=True),
    Model(id="claude-haiku-5-5", released="2026-10-07", thinking=_SWITCHABLE, thinks_when_forced=False),
    Model(id="claude-sonnet-5-5", released="2026-09-28", thinking=("adaptive", "between_tools")),
    Model(id="claude-opus-5-5", released="2026-09-22", fast=True),
    Model(id="claude-fable-5-1", released="2026-09-01"),
    Model(id="claude-mythos-5-1", released="2026-09-01"),
    Model(id="claude-opus-5", released="2026-07-24", thinking=_SWITCHABLE, fast=True),
    Model(id="claude-sonnet-5", released="2026-06-30", thinking=_SWITCHABLE, cache_minimum=1024),
    Model(id="claude-fable-5", released="2026-06-09"),
    Model(id="claude-mythos-5", released="2026-06-09"),
    Model(id="claude-opus-4-8", released="2026-05-28", thinking=_SWITCHABLE, thinks_unasked=False, cache_minimum=1024),
    Model(id="claude-opus-4-7", released="2026-04-16", thinking=_SWITCHABLE, thinks_unasked=False, cache_minimum=2048),
    Model(
        id="claude-sonnet-4-6",
        released="2026-02-17",
        thinking=("adaptive", *_MANUAL),
        thinks_unasked=False,
        display="summarized",
        efforts=_BEFORE_XHIGH,
        cache_minimum=1024,
    ),
    Model(
        id="claude-opus-4-6",
        released="2026-02-05",
        thinking=("adaptive", *_MANUAL),
        thinks_unasked=False,
        display="summarized",
        efforts=_BEFORE_XHIGH,
        cache_minimum=4096,
    ),
    Model(
        id="claude-opus-4-5-20251101",
        alias="claude-opus-4-5",
        released="2025-11-24",
        retires="2027-01-22",
        context=200_000,
        max_output=64_000,
        thinking=_MANUAL,
        thinks_unasked=False,
        display="summarized",
        efforts=_UP_TO_HIGH,
        cache_minimum=4096,
    ),
    Model(
        id="claude-haiku-4-5-20251001",
        alias="claude-haiku-4-5",
        released="2025-10-15",
        context=200_000,
        max_output=64_000,
        thinking=_MANUAL,
        thinks_unasked=False,
        display="summarized",
        efforts=(),
        cache_minimum=4096,
    ),
    Model(
        id="claude-sonnet-4-5-20250929",
        alias="claude-sonnet-4-5",
        released="2025-09-29",
        retires="2026-11-30",
        context=200_000,
        max_output=64_000,
        thinking=_MANUAL,
        thinks_unasked=False,
        display="summarized",
        efforts=(),
        cache_minimum=1024,
    ),
)

MODELS = {model.id: model for model in _ROWS}
"""Every model by its id, newest first."""

_ALIASES = {model.alias: model for model in _ROWS if model.alias}


def find_model(name: str) -> Model | None:
    return MODELS.get(name) or _ALIASES.get(name)
