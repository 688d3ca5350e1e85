"""The abilities of each model, as data: the table of `models.toml`, and how an id finds its row."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache, lru_cache
from importlib.resources import files
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from translators.price_list import Charges, OlderPrice, Price

# A thousand times what models have today.
_HIGHEST_LIMIT: Final = 10**9
EFFORT_LEVELS: Final = ("low", "medium", "high", "xhigh", "max")
# Hosts decorate ids: `us.anthropic.claude-x-v1:0`, `claude-x@date`, `anthropic/claude-x`.
_T = TypeVar("_T")
_HOST_SPELLING: Final = re.compile(r"^(?:[a-z-]+\.)?(?:anthropic[./])?(?P<id>claude-[a-z0-9-]+?)(?:-v\d+(?::\d+)?)?$")


_MOST_NAMES: Final = 5000

# Names of optional fields that a row may refuse.
CACHE_MARKS: Final = "cache_control"
CACHE_LIFETIME: Final = "cache_control.ttl"
CONTEXT_MANAGEMENT: Final = "context_management"
COMPACTION: Final = "context_management.compact_20260112"
DISPLAY: Final = "thinking.display"
BINDING: Final = "thinking.block_binding"
FORM: Final = "output_config.format"
STRICT: Final = "strict"
SERVICE_TIER: Final = "service_tier"
METADATA: Final = "metadata"
STOPS: Final = "stop_sequences"
ONE_CALL: Final = "tool_choice.disable_parallel_tool_use"

# Limits are set per family and generation ("Opus 5, Sonnet 5, Haiku 4.5 classes": section 12 of the reference).
_LIMIT_CLASS: Final = re.compile(
    r"claude-(?:(?P<family>[a-z]+)-(?P<generation>\d+)|(?P<first>\d+)(?:-\d+)?-(?P<old>[a-z]+))"
)


class ModelRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model's abilities; `models.toml` explains each field."""

    id: str
    aliases: tuple[str, ...] = ()
    released: date
    context: int
    max_output: int
    thinking: tuple[Literal["adaptive", "enabled", "disabled", "between_tools"], ...]
    thinks_by_default: bool
    binds_thinking: bool
    disabled_effort: str | None = None
    efforts: tuple[str, ...]
    effort: str | None = None
    forced_tools: bool
    prefill: bool
    sampling: Literal["honoured", "exclusive", "none"]
    system_messages: bool
    cache_minimum: int
    fast: bool = False
    retires: date | None = None
    note: str = ""
    refuses: tuple[str, ...] = ()

    @property
    def can_disable_thinking(self) -> bool:
        """Whether `thinking: disabled` is accepted."""
        return "disabled" in self.thinking

    @property
    def can_think(self) -> bool:
        """Whether thinking can be requested at all."""
        return "adaptive" in self.thinking or "enabled" in self.thinking

    @property
    def compacts(self) -> bool:
        """Whether upstream summarizes long conversations with this model by itself."""
        return not (COMPACTION in self.refuses or CONTEXT_MANAGEMENT in self.refuses)

    @property
    def has_adaptive_thinking(self) -> bool:
        """Whether the model itself decides how much to think."""
        return "adaptive" in self.thinking


class OtherSource(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The source of some facts of a row, if it differs from the row's."""

    facts: tuple[str, ...]
    source: str
    date: date


class Provenance(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Data besides a model's abilities: their source, and the model's prices."""

    source: str
    date: date
    other_sources: tuple[OtherSource, ...] = ()
    prices: tuple[Price, ...] = ()
    fast_prices: tuple[Price, ...] = ()


class Older(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A generation that is no longer listed: ids that match `pattern` have this row."""

    pattern: str
    row: ModelRow


class _ModelFile(Struct, frozen=True, forbid_unknown_fields=True):
    """The file: all rows with their provenance, older models, the id whose row is used for unknown ids, and prices."""

    unknown: str
    models: tuple[ModelRow, ...]
    provenance: tuple[Provenance, ...]
    charges: Charges
    older: tuple[Older, ...] = ()
    older_prices: tuple[OlderPrice, ...] = ()


class _Flag(Struct, frozen=True):
    supported: bool = False


class _ThinkingTypes(Struct, frozen=True):
    adaptive: _Flag | None = None
    enabled: _Flag | None = None
    disabled: _Flag | None = None
    between_tools: _Flag | None = None


class _Thinking(Struct, frozen=True):
    types: _ThinkingTypes | None = None


class _Effort(Struct, frozen=True):
    supported: bool = False
    low: _Flag | None = None
    medium: _Flag | None = None
    high: _Flag | None = None
    xhigh: _Flag | None = None
    max: _Flag | None = None


class _Capabilities(Struct, frozen=True):
    effort: _Effort | None = None
    thinking: _Thinking | None = None


class ModelInfo(Struct, frozen=True):
    """A model as the Models API describes it, as far as that refines a row (section 9.3 of the reference)."""

    id: Annotated[str, msgspec.Meta(min_length=1)]
    display_name: str = ""
    created_at: str = ""
    max_input_tokens: int | None = None
    max_tokens: int | None = None
    capabilities: _Capabilities | None = None


def refined(row: ModelRow, info: ModelInfo) -> ModelRow:
    """The row, refined by the Models API, which says nothing about sampling, forced tools and the like."""
    changes: dict[str, Any] = {"id": info.id, "aliases": row.aliases if row.id == info.id else ()}
    if _is_limit(info.max_input_tokens):
        changes["context"] = info.max_input_tokens
    if _is_limit(info.max_tokens):
        changes["max_output"] = info.max_tokens
    capabilities = info.capabilities or _Capabilities()
    if capabilities.effort is not None:
        effort = capabilities.effort
        changes["efforts"] = tuple(
            level for level in EFFORT_LEVELS if effort.supported and _is_supported(getattr(effort, level))
        )
    types = capabilities.thinking.types if capabilities.thinking else None
    if types is not None:
        thinking = tuple(name for name in types.__struct_fields__ if _is_supported(getattr(types, name)))
        changes["thinking"] = thinking
        # Thinking that cannot be disabled is on by default; thinking that does not exist cannot be.
        if "disabled" not in thinking or len(thinking) == 1:
            changes["thinks_by_default"] = any(kind != "disabled" for kind in thinking)
    return replace(row, **changes)


def _is_limit(tokens: int | None) -> bool:
    """Whether a number of tokens is plausible as a model's limit: requests are built from it."""
    return tokens is not None and 0 < tokens <= _HIGHEST_LIMIT


def _is_supported(flag: _Flag | None) -> bool:
    return flag is not None and flag.supported


class ModelTable:
    """Rows by id; the operator's settings take precedence over upstream's, and those over the built-in rows."""

    def __init__(
        self,
        rows: Iterable[ModelRow],
        unknown: str,
        provenance: Iterable[Provenance] = (),
        older: Iterable[Older] = (),
    ) -> None:
        self.rows = tuple(rows)
        self._by_id = {name: row for row in self.rows for name in (row.id, *row.aliases)}
        # Kept separately: a row also serves other models, and rows are compared with each request.
        pairs = zip(self.rows, provenance, strict=False)
        self._provenance = {name: known for row, known in pairs for name in (row.id, *row.aliases)}
        self.unknown = unknown
        self._older = tuple((re.compile(each.pattern), each.row) for each in older)
        self._unknown = self._by_id[unknown]
        self._overrides: dict[str, dict[str, Any]] = {}

    def override(self, model: str, abilities: dict[str, Any]) -> None:
        """Apply the operator's settings for a model, now and after each refinement."""
        self._overrides[model] = abilities
        row = self.row(model)
        self._put(row if model in (row.id, *row.aliases) else replace(row, id=model, aliases=()))

    def refine(self, infos: Iterable[ModelInfo]) -> None:
        """Apply the Models API's list; the number of new names is bounded."""
        for info in infos:
            if len(self._by_id) < _MOST_NAMES or info.id in self._by_id:
                self._put(refined(self.row(info.id), info))

    def _put(self, row: ModelRow) -> None:
        names = (row.id, *row.aliases)
        for name in names:
            row = replace(row, **self._overrides.get(name, {}))
        for name in names:
            self._by_id[name] = row

    def row(self, model: str) -> ModelRow:
        """The row of an id; for older models their generation's row, for unknown ones the newest generation's."""
        return self.find(model) or self._older_row(model) or self._unknown

    def _older_row(self, model: str) -> ModelRow | None:
        if (spelled := id_in(model)) is None:
            return None
        return next((row for pattern, row in self._older if pattern.fullmatch(spelled)), None)

    def find(self, model: str) -> ModelRow | None:
        """The row of an id, of its alias, or of another host's spelling."""
        return _found(self._by_id, model)

    @property
    def ids(self) -> Iterable[str]:
        """All ids, and the aliases of ids."""
        return self._by_id.keys()

    def knows(self, model: str) -> bool:
        """Whether this is an id, or an alias of one."""
        return model in self._by_id

    def provenance(self, model: str) -> Provenance | None:
        """The provenance and prices of a built-in row; None for unknown models."""
        return _found(self._provenance, model)


def _found(table: Mapping[str, _T], model: str) -> _T | None:
    """The entry for an id, or for another host's spelling of it."""
    if (entry := table.get(model)) is not None:
        return entry
    spelled = id_in(model)
    return table.get(spelled) if spelled is not None else None


def id_in(model: str) -> str | None:
    """Anthropic's id in a host's spelling of it, or None."""
    spelled = _HOST_SPELLING.match(model.replace("@", "-"))
    return spelled["id"] if spelled else None


@lru_cache(maxsize=4096)
def limit_class(model: str) -> str:
    """The class of models that shares rate limits: family and generation, as `sonnet-5`; otherwise the name itself.

    Text after a space is not part of the model's name, and is kept to separate its limits.
    """
    name, space, more = model.partition(" ")
    found = _LIMIT_CLASS.search(name)
    if found is None:
        return model
    family, generation = (found["family"], found["generation"]) if found["family"] else (found["old"], found["first"])
    return f"{family}-{generation}{space}{more}"


def charges() -> Charges:
    """What prices depend on besides the model."""
    return _model_file().charges


def older_prices() -> tuple[OlderPrice, ...]:
    """The prices of models that are no longer listed."""
    return _model_file().older_prices


def model_table() -> ModelTable:
    """A new copy of the packaged table, which can be refined independently."""
    file = _model_file()
    return ModelTable(file.models, file.unknown, file.provenance, file.older)


@cache
def _model_file() -> _ModelFile:
    text = files("translators").joinpath("models.toml").read_text("utf-8")
    file = tomllib.loads(text)
    beside = Provenance.__struct_fields__
    provenance = [{name: model.pop(name) for name in beside if name in model} for model in file["models"]]
    older = [{"pattern": model.pop("pattern"), "row": model} for model in file.get("older", ())]
    own = ("pattern", "id")
    old = [{**{name: price.pop(name) for name in own}, "price": price} for price in file.get("older_prices", ())]
    return msgspec.convert({**file, "provenance": provenance, "older": older, "older_prices": old}, _ModelFile)
