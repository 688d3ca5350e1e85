"""What each model can do, as data: the table of `models.toml` and how an id finds its row."""

import re
import tomllib
from collections.abc import Iterable
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Final, Literal

import msgspec
from msgspec import Struct

EFFORT_LEVELS: Final = ("low", "medium", "high", "xhigh", "max")
# Hosts write the same model with more around it: `us.anthropic.claude-x-v1:0`, `claude-x@date`, `anthropic/claude-x`.
_HOST_SPELLING: Final = re.compile(r"^(?:[a-z-]+\.)?(?:anthropic[./])?(?P<id>claude-[a-z0-9-]+?)(?:-v\d+(?::\d+)?)?$")


class ModelRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model's abilities; `models.toml` explains each field."""

    id: str
    aliases: tuple[str, ...] = ()
    released: date
    context: int
    max_output: int
    thinking: tuple[Literal["adaptive", "enabled", "disabled", "between_tools"], ...]
    thinks_by_default: bool
    disabled_effort: str | None = None
    efforts: tuple[str, ...]
    effort: str | None = None
    forced_tools: bool
    prefill: bool
    sampling: Literal["honoured", "exclusive", "none"]
    system_messages: bool
    cache_minimum: int
    note: str = ""

    @property
    def can_disable_thinking(self) -> bool:
        """Whether `thinking: disabled` is accepted."""
        return "disabled" in self.thinking

    @property
    def has_adaptive_thinking(self) -> bool:
        """Whether the model decides by itself how much to think."""
        return "adaptive" in self.thinking


class _ModelFile(Struct, frozen=True, forbid_unknown_fields=True):
    """The file as it is written: all rows, and the id whose row stands for every id that is not listed."""

    unknown: str
    models: tuple[ModelRow, ...]


class ModelTable:
    """Rows by id."""

    def __init__(self, rows: Iterable[ModelRow], unknown: str) -> None:
        self.rows = tuple(rows)
        self._by_id = {name: row for row in self.rows for name in (row.id, *row.aliases)}
        self._unknown = self._by_id[unknown]

    def row(self, model: str) -> ModelRow:
        """The row of an id; of one that nobody knows, the newest generation's."""
        return self.find(model) or self._unknown

    def find(self, model: str) -> ModelRow | None:
        """The row of an id, of its alias, or of its spelling at another host."""
        if (row := self._by_id.get(model)) is not None:
            return row
        spelled = _HOST_SPELLING.match(model.replace("@", "-"))
        return self._by_id.get(spelled["id"]) if spelled else None


@cache
def model_table() -> ModelTable:
    """The table that comes with the package."""
    text = files("translators").joinpath("models.toml").read_text("utf-8")
    file = msgspec.convert(tomllib.loads(text), _ModelFile)
    return ModelTable(file.models, file.unknown)
