"""`GET /v1/organization/usage/completions` and `/v1/organization/costs`: OpenAI's reports, out of the ledger."""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Final

import orjson
from starlette.types import Receive, Scope, Send

from gateway.edge.responder import NEVER_KEPT, responder_of
from gateway.ledger.questions import Line, Question, Reports, TooManyLinesError
from gateway.ledger.trouble import AccountsFileError
from gateway.pages.ledger_access import LedgerAccess
from gateway.pages.organization_query import (
    COSTS,
    UNLABELED,
    USAGE,
    BucketQuery,
    Kind,
    bucket_query,
    line_item,
    page_of,
)
from translators.errors import TranslationError

# The most results of one page, in all buckets.
_MOST_LINES: Final = 20_000
_NANO: Final = Decimal(10) ** 9


class OrganizationPage:
    """One of the two endpoints."""

    def __init__(self, kind: Kind, access: LedgerAccess, now: Callable[[], float]) -> None:
        self._kind = kind
        self._access = access
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._access.check(scope)
        query = bucket_query(scope, self._kind, self._now())
        reports = self._access.reports()
        try:
            starts, lines = await _lines(reports, query, self._kind)
        except AccountsFileError as error:
            raise self._access.unreadable(error) from error
        write = _USE[self._kind is COSTS]
        page = _page(query, starts, lines, lambda line: write(line, query.groups))
        await responder_of(scope).send_json(200, orjson.dumps(page), NEVER_KEPT)


def organization_pages(access: LedgerAccess, now: Callable[[], float]) -> Iterator[tuple[str, OrganizationPage]]:
    """The endpoints by their paths without /v1."""
    yield "/organization/usage/completions", OrganizationPage(USAGE, access, now)
    yield "/organization/costs", OrganizationPage(COSTS, access, now)


async def _lines(reports: Reports, query: BucketQuery, kind: Kind) -> tuple[list[int], list[Line]]:
    """The beginnings of the buckets of a page, and what is in them; fewer buckets if there is too much in them."""
    by = tuple(column for group in query.groups if (column := kind.groups[group]) is not None)
    count = min(query.limit, -(-(query.until - query.since) // query.width))
    while True:
        until = query.since + count * query.width
        try:
            found = await reports.lines(Question(query.since, until, by, query.width, query.filters), _MOST_LINES)
        except TooManyLinesError:
            if count == 1:
                what = f"One bucket has more than {_MOST_LINES} results: group by less, or filter."
                raise TranslationError(what, param="group_by", code="invalid_value") from None
            count = (count + 1) // 4 or 1
            continue
        return list(range(query.since, until, query.width)), found


def _page(
    query: BucketQuery, starts: Sequence[int], lines: Sequence[Line], write: Callable[[Line], dict[str, object]]
) -> dict[str, object]:
    results: dict[int, list[dict[str, object]]] = {}
    for line in lines:
        results.setdefault(line.start or 0, []).append(write(line))
    following = starts[-1] + query.width
    has_more = following < query.until
    return {
        "object": "page",
        "data": [
            {
                "object": "bucket",
                "start_time": start,
                "end_time": start + query.width,
                "results": results.get(start, []),
            }
            for start in starts
        ],
        "has_more": has_more,
        "next_page": page_of(following) if has_more else None,
    }


def _groups(line: Line, groups: Sequence[str]) -> dict[str, str | None]:
    """The values of the groups; what is unknown to the ledger is null, as what was not asked for."""
    values = iter(line.values)
    return {group: UNLABELED if group == "api_source" else next(values) or None for group in groups}


def _usage(line: Line, groups: Sequence[str]) -> dict[str, object]:
    sums, found = line.sums, _groups(line, groups)
    batch = found.get("batch")
    return {
        "object": "organization.usage.completions.result",
        "input_tokens": sums.prompt,
        "output_tokens": sums.output,
        "num_model_requests": sums.requests,
        "input_cached_tokens": sums.cache_read,
        "input_uncached_tokens": sums.input,
        "input_cache_write_tokens": sums.cache_write_5m + sums.cache_write_1h,
        # Claude's caches live for 5 minutes or an hour.
        "input_cache_write_30m_tokens": None,
        "input_cache_write_12h_tokens": None,
        # Upstream does not tell apart tokens of texts and of images.
        "input_text_tokens": None,
        "input_image_tokens": None,
        "input_audio_tokens": 0,
        "input_cached_text_tokens": None,
        "input_cached_image_tokens": None,
        "input_cached_audio_tokens": 0,
        "output_text_tokens": sums.output,
        "output_image_tokens": 0,
        "output_audio_tokens": 0,
        "project_id": found.get("project_id"),
        "user_id": found.get("user_id"),
        "api_key_id": found.get("api_key_id"),
        "model": found.get("model"),
        "batch": None if batch is None else batch == "1",
        "service_tier": found.get("service_tier"),
        "api_source": found.get("api_source"),
    }


def _costs(line: Line, groups: Sequence[str]) -> dict[str, object]:
    sums, found = line.sums, _groups(line, groups)
    item = found.get("line_item")
    return {
        "object": "organization.costs.result",
        # OpenAI's API has a number here; the exact amount is in /admin/usage.
        "amount": {"value": float(Decimal(sums.cost) / _NANO), "currency": "usd"},
        "line_item": None if item is None else line_item(item),
        "quantity": None if item is None else sums.prompt + sums.output,
        "quantity_unit": None if item is None else "tokens",
        "project_id": found.get("project_id"),
        "user_id": found.get("user_id"),
        "api_key_id": found.get("api_key_id"),
        "api_source": found.get("api_source"),
    }


_USE: Final = (_usage, _costs)
