"""What OpenAI's usage endpoints are asked for: the query read, or refused with the errors that OpenAI has for it."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct
from starlette.types import Scope

from gateway.ledger.questions import DAY_SECONDS, HOUR_SECONDS, MINUTE_SECONDS
from gateway.pages.paging import query_of
from translators.errors import TranslationError
from translators.reading import missing_parameter

_PAGE: Final = "page_"
# The end of the year 9999.
_LATEST: Final = 253_402_300_799
_WIDTHS: Final = {"1m": MINUTE_SECONDS, "1h": HOUR_SECONDS, "1d": DAY_SECONDS}
_TRUTHS: Final = {"true": "1", "1": "1", "false": "0", "0": "0"}
# The values of `api_source`: this gateway knows of no Agents API.
UNLABELED: Final = "unlabeled"


class Kind(Struct, frozen=True):
    """One of the endpoints: its groups and filters with the ledger's names for them, and how many buckets it gives."""

    groups: Mapping[str, str | None]
    filters: Mapping[str, str]
    limits: Mapping[str, tuple[int, int]]


USAGE: Final = Kind(
    groups={
        "project_id": "group",
        "user_id": "end_user",
        "api_key_id": "key",
        "model": "model",
        "batch": "batch",
        "service_tier": "service_tier",
        "api_source": None,
    },
    filters={"project_ids": "group", "user_ids": "end_user", "api_key_ids": "key", "models": "model"},
    limits={"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)},
)
COSTS: Final = Kind(
    groups={
        "project_id": "group",
        "user_id": "end_user",
        "line_item": "model",
        "api_key_id": "key",
        "api_source": None,
    },
    filters={"project_ids": "group", "api_key_ids": "key", "line_items": "model"},
    limits={"1d": (7, 180)},
)


class BucketQuery(Struct, frozen=True):
    """Buckets of `width` seconds: the first begins at `since`, none at `until` or later; at most `limit` of them."""

    since: int
    until: int
    width: int
    limit: int
    groups: tuple[str, ...]
    filters: Mapping[str, Sequence[str]]


def bucket_query(scope: Scope, kind: Kind, now: float) -> BucketQuery:
    """The query of a request; raises `TranslationError`."""
    query = query_of(scope)
    start, end = _integer(query, "start_time"), _integer(query, "end_time")
    if start is None:
        raise missing_parameter("start_time")
    name = _one_of(_last(query, "bucket_width") or "1d", "bucket_width", kind.limits)
    width, (usual, most) = _WIDTHS[name], kind.limits[name]
    end = int(now) + 1 if end is None else end
    if end <= start:
        what = "Invalid 'end_time': expected a time after 'start_time'."
        raise TranslationError(what, param="end_time", code="invalid_value")
    groups = tuple(dict.fromkeys(_one_of(group, "group_by", kind.groups) for group in _listed(query, "group_by")))
    since = start // width * width
    if page := _last(query, "page"):
        since = _page_start(page, since, end, width)
    return BucketQuery(since, end, width, _limit(query, usual, most), groups, _filters(query, kind))


def page_of(start: int) -> str:
    """What `next_page` says for a page that begins with the bucket of this time."""
    return _PAGE + base64.urlsafe_b64encode(str(start).encode()).decode().rstrip("=")


def line_item(model: str) -> str:
    """The name of what is paid for: the ledger keeps what a model has cost, not what each class of tokens has."""
    return f"{model}, tokens"


def _filters(query: Mapping[str, Sequence[str]], kind: Kind) -> dict[str, Sequence[str]]:
    filters: dict[str, Sequence[str]] = {}
    for name, column in kind.filters.items():
        if values := _listed(query, name):
            if name == "line_items":
                values = [value.removesuffix(", tokens") for value in values if value.endswith(", tokens")]
            filters[column] = values
    if "batch" in kind.groups and (batch := _last(query, "batch")):
        filters["batch"] = [_TRUTHS[_one_of(batch.lower(), "batch", _TRUTHS)]]
    return filters


def _page_start(page: str, since: int, until: int, width: int) -> int:
    try:
        text = page.removeprefix(_PAGE)
        start = int(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        start = -1
    if not page.startswith(_PAGE) or start % width or not since <= start < until:
        what = "Invalid 'page': expected the next_page of an answer to the same query."
        raise TranslationError(what, param="page", code="invalid_value")
    return start


def _limit(query: Mapping[str, Sequence[str]], usual: int, most: int) -> int:
    limit = _integer(query, "limit")
    if limit is None:
        return usual
    if not 1 <= limit <= most:
        side, bound, sign = ("above maximum", most, "<=") if limit > most else ("below minimum", 1, ">=")
        raise TranslationError(
            f"Invalid 'limit': integer {side} value. Expected a value {sign} {bound}, but got {limit} instead.",
            param="limit",
            code="integer_above_max_value" if limit > most else "integer_below_min_value",
        )
    return limit


def _integer(query: Mapping[str, Sequence[str]], name: str) -> int | None:
    text = _last(query, name)
    if not text:
        return None
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 12 and abs(int(text)) <= _LATEST):
        what = f"Invalid type for '{name}': expected an integer."
        raise TranslationError(what, param=name, code="invalid_type")
    if int(text) < 0:
        what = f"Invalid '{name}': integer below minimum value. Expected a value >= 0, but got {text} instead."
        raise TranslationError(what, param=name, code="integer_below_min_value")
    return int(text)


def _one_of(value: str, name: str, allowed: Mapping[str, object]) -> str:
    if value in allowed:
        return value
    listed = ", ".join(f"'{each}'" for each in allowed)
    what = f"Invalid value: '{value}'. Supported values are: {listed}."
    raise TranslationError(what, param=name, code="invalid_value")


def _last(query: Mapping[str, Sequence[str]], name: str) -> str:
    values = query.get(name)
    return values[-1].strip() if values else ""


def _listed(query: Mapping[str, Sequence[str]], name: str) -> list[str]:
    """All values, also of `name=a,b`, as some clients write lists; a line item holds a comma of its own."""
    values = query.get(name, ())
    if name == "line_items":
        return [value for value in values if value]
    return [part.strip() for value in values for part in value.split(",") if part.strip()]
