"""Pages of lists as OpenAI's API gives them: `after`, `limit`, `order` and `include` in the query, and the answer."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

import msgspec
from msgspec import Raw
from starlette.types import Scope

from gateway.edge.slices import LARGE_BYTES, in_slices
from gateway.service.items import id_of, shown
from translators.errors import TranslationError
from translators.steps import in_one_go

_DEFAULT_LIMIT: Final = 20
_MOST: Final = 100
_MOST_FIELDS: Final = 100
_ENCODER: Final = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Which page of a list is wanted."""

    after: str | None
    limit: int
    is_oldest_first: bool
    include: tuple[str, ...]


def query_of(scope: Scope) -> dict[str, list[str]]:
    """The fields of the query; `name[]` counts as `name`. Unknown ones, such as `beta=true`, disturb nobody."""
    try:
        text = scope.get("query_string", b"").decode("latin-1")
        fields = parse_qs(text, max_num_fields=_MOST_FIELDS, keep_blank_values=True)
    except ValueError:
        raise TranslationError(f"The query has too many fields; expected at most {_MOST_FIELDS}.") from None
    query: dict[str, list[str]] = {}
    for name, values in fields.items():
        query.setdefault(name.removesuffix("[]"), []).extend(values)
    return query


def page_query(scope: Scope) -> PageQuery:
    """The page that a request asks for; raises `TranslationError`."""
    query = query_of(scope)
    order = query.get("order", ["desc"])[-1]
    if order not in ("asc", "desc"):
        raise TranslationError("Invalid 'order': expected 'asc' or 'desc'.", param="order", code="invalid_value")
    after = query.get("after", [""])[-1]
    return PageQuery(after or None, _limit(query), order == "asc", tuple(query.get("include", ())))


async def page_json(items: list[bytes], has_more: bool, include: Sequence[str]) -> bytes:
    """A page of items; the ids of an empty page are empty, since typed clients require texts."""
    steps = _page_in_steps(items, has_more, include)
    return await in_slices(steps) if sum(map(len, items)) > LARGE_BYTES else in_one_go(steps)


def _page_in_steps(items: list[bytes], has_more: bool, include: Sequence[str]) -> Generator[None, None, bytes]:
    ids = [id_of(item) or "" for item in (items[:1] + items[-1:])] or [""]
    data: list[Raw] = []
    for item in items:
        data.append(shown(item, include))
        yield
    page = {"object": "list", "data": data, "first_id": ids[0], "last_id": ids[-1], "has_more": has_more}
    return _ENCODER.encode(page)


def _limit(query: dict[str, list[str]]) -> int:
    text = query.get("limit", [""])[-1]
    if not text:
        return _DEFAULT_LIMIT
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 1 <= limit <= _MOST:
        what = f"Invalid 'limit': expected an integer from 1 to {_MOST}."
        raise TranslationError(what, param="limit", code="invalid_value")
    return limit
