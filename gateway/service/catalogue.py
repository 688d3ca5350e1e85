"""The models that callers can name: upstream's list if it is available, otherwise the built-in table, and aliases."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote

import msgspec
import orjson
from msgspec import Raw, Struct

from gateway.service.ports import Call, Endpoint, Upstream
from gateway.service.routing import Aliases
from translators.codex_card import codex_entry
from translators.errors import ErrorKind, FailedError, Failure, json_problem
from translators.hosts import CURRENT_VERSION
from translators.model_card import described, display_name
from translators.models import ModelInfo, ModelRow, ModelTable, Provenance
from translators.moments import iso_moment
from translators.upstream_errors import answered_failure
from translators.wire.shared import MAX_MODEL_NAME

_PAGE: Final = 1000
_MAX_LIST_BYTES: Final = 8 * 1024 * 1024
# There are about two dozen models. Entries beyond these bounds are ignored.
_MOST_PAGES: Final = 5
_MOST_MODELS: Final = 1000
_MAX_INFO_BYTES: Final = 16 * 1024
_OWNER: Final = "anthropic"


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model: `created` in Unix seconds, `info` as Anthropic describes it, `target` if the id is an alias.

    `abilities` and `provenance` come from the table, if it has the model.
    """

    id: str
    created: int
    info: bytes
    name: str = ""
    target: str | None = None
    abilities: ModelRow | None = None
    provenance: Provenance | None = None

    @property
    def is_dateless(self) -> bool:
        """Whether it is the short name of a model that is listed as well."""
        return self.target is not None and self.abilities is not None and self.id in self.abilities.aliases

    def as_openai(self) -> dict[str, object]:
        """The object of OpenAI's list; `root` is the model behind an alias, as in vLLM's list.

        OpenAI's four fields are followed by those of OpenRouter's list, which chat applications read.
        """
        shown: dict[str, object] = {
            "id": self.id,
            "object": "model",
            "created": self.created,
            "owned_by": _OWNER,
        }
        if self.target is not None:
            shown["root"] = self.target
        return shown | described(self.name or self.id, self.abilities, self.provenance)

    def as_codex(self, table: ModelTable, priority: int) -> dict[str, object]:
        """The object of Codex's list; what the table does not know is described as it is treated."""
        row = self.abilities or table.row(self.target or self.id)
        return codex_entry(self.id, self.name or self.id, row, priority, is_listed=not self.is_dateless)

    def as_anthropic(self) -> object:
        if self.target is None:
            return orjson.Fragment(self.info)
        fields = {name: orjson.Fragment(bytes(value)) for name, value in _FIELDS_DECODER.decode(self.info).items()}
        return {**fields, "id": self.id}


class Catalogue:
    """The currently known models."""

    def __init__(self, aliases: Aliases, table: ModelTable) -> None:
        self._aliases = aliases
        self._table = table
        self._entries = {row.id: _entry_of_row(row) for row in table.rows}
        self._is_upstreams = False

    def update(self, entries: Iterable[ModelEntry]) -> None:
        """Replace the known models and their abilities by upstream's latest list."""
        self._entries = {entry.id: entry for entry in entries}
        self._table.refine(_INFO_DECODER.decode(entry.info) for entry in self._entries.values())
        self._is_upstreams = True

    def renewed(self, aliases: Aliases, table: ModelTable) -> "Catalogue":
        """A catalogue of the known models with other aliases and another table."""
        catalogue = Catalogue(aliases, table)
        if self._is_upstreams:
            catalogue.update(self._entries.values())
        return catalogue

    def all(self) -> list[ModelEntry]:
        """Upstream's models, their dateless names, then the aliases without wildcards."""
        dateless = (name for row in self._table.rows if row.id in self._entries for name in row.aliases)
        names = dict.fromkeys((*self._entries, *dateless, *self._aliases.names))
        return [entry for entry in map(self.find, names) if entry is not None]

    def for_codex(self, entries: Iterable[ModelEntry]) -> list[dict[str, object]]:
        """Models as Codex reads them, in this order."""
        return [entry.as_codex(self._table, priority) for priority, entry in enumerate(entries, 1)]

    def find(self, model: str) -> ModelEntry | None:
        """The model for an id, an alias, or a dateless name; None if it is unknown."""
        target = model if model in self._entries else self._aliases.resolve(model).id
        row = self._table.find(target)
        entry = self._entries.get(target) or (self._entries.get(row.id) if row else None)
        if entry is None:
            return None
        known = replace(entry, abilities=row, provenance=self._table.provenance(entry.id))
        if entry.id == model:
            return known
        # Otherwise lists that show names would show this model's twice.
        name = entry.name if row is not None and model in row.aliases else model
        return replace(known, id=model, name=name, target=entry.id)


class _ModelList(Struct):
    data: list[Raw]
    has_more: bool = False
    last_id: str | None = None


_LIST_DECODER: Final = msgspec.json.Decoder(_ModelList)
_INFO_DECODER: Final = msgspec.json.Decoder(ModelInfo)
_FIELDS_DECODER: Final = msgspec.json.Decoder(dict[str, Raw])


async def fetch_models(upstream: Upstream, endpoint: Endpoint) -> list[ModelEntry]:
    """The Models API's list for a key, within bounds; raises `FailedError`."""
    entries: list[ModelEntry] = []
    after = ""
    for _ in range(_MOST_PAGES):
        page = await _fetch_page(upstream, endpoint, after)
        try:
            entries += [_entry_of_info(info) for info in page.data if len(bytes(info)) <= _MAX_INFO_BYTES]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _not_a_list(error) from error
        before, after = after, f"&after_id={quote(page.last_id or '', safe='')}"
        if not page.has_more or not page.last_id or after == before:
            break
    return [entry for entry in entries if len(entry.id) <= MAX_MODEL_NAME][:_MOST_MODELS]


async def _fetch_page(upstream: Upstream, endpoint: Endpoint, after: str) -> _ModelList:
    version = endpoint.profile.version or CURRENT_VERSION
    call = Call(version, method="GET", path=f"/v1/models?limit={_PAGE}{after}")
    async with upstream.open(endpoint, call) as answer:
        body = await answer.read(_MAX_LIST_BYTES)
        if answer.status != 200:
            raise FailedError(answered_failure(answer.status, body))
    try:
        # The JSON decoder does not validate the raw fields of models, and all of them are passed on.
        body.decode()
        return _LIST_DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_a_list(error) from error


def _not_a_list(error: Exception) -> FailedError:
    message = f"Upstream's list of models cannot be read: {json_problem(error)}"
    return FailedError(Failure(ErrorKind.PROTOCOL_ERROR, message))


def _entry_of_info(info: Raw) -> ModelEntry:
    read = _INFO_DECODER.decode(info)
    return ModelEntry(read.id, _unix_seconds(read.created_at), bytes(info), read.display_name)


def _entry_of_row(row: ModelRow) -> ModelEntry:
    created_at = f"{row.released.isoformat()}T00:00:00Z"
    name = display_name(row.id)
    info = {
        "type": "model",
        "id": row.id,
        "display_name": name,
        "created_at": created_at,
        "lifecycle": "deprecated" if row.retires else "active",
        "deprecated_at": None,
        "retires_at": f"{row.retires.isoformat()}T00:00:00Z" if row.retires else None,
        "max_input_tokens": row.context,
        "max_tokens": row.max_output,
    }
    return ModelEntry(row.id, _unix_seconds(created_at), orjson.dumps(info), name)


def _unix_seconds(moment: str) -> int:
    try:
        return int(iso_moment(moment).timestamp())
    except ValueError:
        return 0
