"""`GET /admin/models`: what names mean, what the models can do and cost, and what upstream has taught about them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import orjson
from starlette.types import Receive, Scope, Send

from gateway.accounts.guesses import Guesses
from gateway.edge.responder import NEVER_KEPT, responder_of
from gateway.pages.admin import AdminKeys, check_admin
from gateway.pages.overviews import LESSONS
from gateway.service.catalogue import Catalogue, ModelEntry
from gateway.service.routing import Aliases
from gateway.workers.views import Views
from translators.price_list import Price
from translators.prices import Prices

_MICRO: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class ModelNames:
    """What a configuration knows of models."""

    aliases: Aliases
    catalogue: Catalogue
    prices: Prices


class ModelTablePage:
    """Prices are dollars per million tokens."""

    def __init__(self, keys: AdminKeys, guesses: Guesses, views: Views, names: ModelNames) -> None:
        self._keys = keys
        self._guesses = guesses
        self._views = views
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        check_admin(scope, self._keys, self._guesses)
        seen, names = await self._views.see(LESSONS), self._names
        body = {
            "models": [_shown(entry, names.prices) for entry in names.catalogue.all() if entry.target is None],
            "aliases": [
                {"name": name, "target": target, "model": names.aliases.resolve(target).id}
                for name, target in names.aliases.table.items()
            ],
            "missing": seen.missing,
            **seen.fields,
        }
        await responder_of(scope).send_json(200, orjson.dumps(body), NEVER_KEPT)


def _shown(entry: ModelEntry, prices: Prices) -> dict[str, object]:
    row, listed = entry.abilities, prices.listed(entry.id)
    shown: dict[str, object] = {
        "id": entry.id,
        "name": entry.name,
        "created": entry.created,
        "prices": list(_prices(listed.prices)),
        "is_price_assumed": listed.is_assumed,
    }
    if row is not None:
        shown |= {
            "context": row.context,
            "max_output": row.max_output,
            "thinking": row.thinking,
            "efforts": row.efforts,
            "sampling": row.sampling,
            "cache_minimum": row.cache_minimum,
            "retires": row.retires,
            "also": row.aliases,
            "note": row.note,
        }
    if entry.provenance is not None:
        shown |= {"source": entry.provenance.source, "date": entry.provenance.date}
    return shown


def _prices(listed: Iterable[Price]) -> Iterator[dict[str, object]]:
    for price in listed:
        yield {
            "up_to": price.up_to_prompt_tokens,
            "input": price.input / _MICRO,
            "output": price.output / _MICRO,
            "cache_read": price.cache_read / _MICRO,
            "cache_write_5m": price.cache_write_5m / _MICRO,
            "source": price.source,
            "date": price.date,
        }
