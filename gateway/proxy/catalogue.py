"""The models a caller can name: upstream's list where it could be had, the built-in table where not, and aliases."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import msgspec
import orjson
from msgspec import Raw, Struct

from gateway.proxy.ports import Call, Endpoint, Upstream
from gateway.proxy.routing import Aliases
from translators.errors import ErrorKind, FailedError, Failure
from translators.hosts import CURRENT_VERSION
from translators.models import ModelInfo, ModelRow, ModelTable
from translators.upstream_errors import answered_failure
from translators.wire.chat import MAX_MODEL_NAME

_PAGE: Final = 1000
_MAX_LIST_BYTES: Final = 8 * 1024 * 1024
# There are two dozen. What an upstream lists beyond that, or at greater length, is passed over.
_MOST_PAGES: Final = 5
_MOST_MODELS: Final = 1000
_MAX_INFO_BYTES: Final = 16 * 1024
_OWNER: Final = "anthropic"


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model: `created` in Unix seconds, `info` as Anthropic describes it, `target` where the id is an alias."""

    id: str
    created: int
    info: bytes
    target: str | None = None

    def as_openai(self) -> dict[str, object]:
        """The object of OpenAI's list; `root` is what vLLM and others call the model behind an alias."""
        shown: dict[str, object] = {
            "id": self.id,
            "object": "model",
            "created": self.created,
            "owned_by": _OWNER,
        }
        if self.target is not None:
            shown["root"] = self.target
        return shown

    def as_anthropic(self) -> object:
        """The object of Anthropic's list."""
        if self.target is None:
            return orjson.Fragment(self.info)
        return {**orjson.loads(self.info), "id": self.id}


class Catalogue:
    """What is known of models right now."""

    def __init__(self, aliases: Aliases, table: ModelTable) -> None:
        self._aliases = aliases
        self._table = table
        self._entries = {row.id: _entry_of_row(row) for row in table.rows}
        self._is_upstreams = False

    def update(self, entries: Iterable[ModelEntry]) -> None:
        """Replace what is known by what upstream has just said, also of the models' abilities."""
        self._entries = {entry.id: entry for entry in entries}
        self._table.refine(_INFO_DECODER.decode(entry.info) for entry in self._entries.values())
        self._is_upstreams = True

    def renewed(self, aliases: Aliases, table: ModelTable) -> "Catalogue":
        """What is known, under other aliases, for another table."""
        catalogue = Catalogue(aliases, table)
        if self._is_upstreams:
            catalogue.update(self._entries.values())
        return catalogue

    def all(self) -> list[ModelEntry]:
        """Upstream's models, then the aliases that are names (patterns cannot be listed)."""
        aliases = (self.find(name) for name in self._aliases.names)
        return [*self._entries.values(), *(entry for entry in aliases if entry is not None)]

    def find(self, model: str) -> ModelEntry | None:
        """The model of an id, of an alias, or of a dateless spelling; None when nobody knows it."""
        if (entry := self._entries.get(model)) is not None:
            return entry
        target = self._aliases.resolve(model)
        row = self._table.find(target)
        entry = self._entries.get(target) or (self._entries.get(row.id) if row else None)
        return replace(entry, id=model, target=entry.id) if entry is not None else None


class _ModelList(Struct):
    data: list[Raw]
    has_more: bool = False
    last_id: str | None = None


_LIST_DECODER: Final = msgspec.json.Decoder(_ModelList)
_INFO_DECODER: Final = msgspec.json.Decoder(ModelInfo)


async def fetch_models(upstream: Upstream, endpoint: Endpoint) -> list[ModelEntry]:
    """What the Models API lists for a key, within bounds; raises `FailedError`."""
    entries: list[ModelEntry] = []
    after = ""
    for _ in range(_MOST_PAGES):
        page = await _fetch_page(upstream, endpoint, after)
        try:
            entries += [_entry_of_info(info) for info in page.data if len(bytes(info)) <= _MAX_INFO_BYTES]
        except msgspec.DecodeError as error:
            raise _not_a_list(error) from error
        if not page.has_more or not page.last_id or page.last_id in after:
            break
        after = f"&after_id={page.last_id}"
    return [entry for entry in entries if len(entry.id) <= MAX_MODEL_NAME][:_MOST_MODELS]


async def _fetch_page(upstream: Upstream, endpoint: Endpoint, after: str) -> _ModelList:
    version = endpoint.profile.version or CURRENT_VERSION
    call = Call(version, method="GET", path=f"/v1/models?limit={_PAGE}{after}")
    async with upstream.open(endpoint, call) as answer:
        body = await answer.read(_MAX_LIST_BYTES)
        if answer.status != 200:
            raise FailedError(answered_failure(answer.status, body))
    try:
        return _LIST_DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _not_a_list(error) from error


def _not_a_list(error: Exception) -> FailedError:
    return FailedError(Failure(ErrorKind.PROTOCOL_ERROR, f"Upstream's list of models cannot be read: {error}"))


def _entry_of_info(info: Raw) -> ModelEntry:
    read = _INFO_DECODER.decode(info)
    return ModelEntry(read.id, _unix_seconds(read.created_at), bytes(info))


def _entry_of_row(row: ModelRow) -> ModelEntry:
    created_at = f"{row.released.isoformat()}T00:00:00Z"
    info = {
        "type": "model",
        "id": row.id,
        "display_name": row.id.removeprefix("claude-").replace("-", " ").title(),
        "created_at": created_at,
        "lifecycle": "deprecated" if row.retires else "active",
        "deprecated_at": None,
        "retires_at": f"{row.retires.isoformat()}T00:00:00Z" if row.retires else None,
        "max_input_tokens": row.context,
        "max_tokens": row.max_output,
    }
    return ModelEntry(row.id, _unix_seconds(created_at), orjson.dumps(info))


def _unix_seconds(moment: str) -> int:
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError:
        return 0
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp())
