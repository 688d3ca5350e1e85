"""Anthropic's Usage and Cost API: what an organization has used by its own account, day by day and model by model.

The fields are those of the API reference (platform.claude.com, "Usage and Cost API", as of November 2026); amounts are
decimals in cents. It has not been tried with a real key.
"""

import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Final, TypeVar
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from gateway.cli.overview import NotSeenError
from gateway.service.ports import Call, Endpoint, Upstream
from translators.errors import FailedError
from translators.hosts import SAMPLING_VERSION
from translators.moments import iso_text

# What is compared. The cost is in nano-dollars.
TOKENS: Final = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")
COST: Final = "cost"

_USAGE_PATH: Final = "/v1/organizations/usage_report/messages"
_COST_PATH: Final = "/v1/organizations/cost_report"
_DAYS_A_PAGE: Final = 31
_MOST_PAGES: Final = 200
_MAX_BYTES: Final = 32 * 1024 * 1024
_NANO_A_CENT: Final = 10_000_000
_DATED: Final = re.compile(r"[-@]\d{8}$")

S = TypeVar("S", bound=Struct)

# Counts by day (Unix seconds of its beginning), model, and what is counted.
Counts = Counter[tuple[int, str, str]]


class Wanted(Struct, frozen=True):
    """The range in Unix seconds, from midnight to midnight UTC; only these workspaces, if any are named."""

    since: int
    until: int
    workspaces: tuple[str, ...] = ()


class _Writes(Struct):
    ephemeral_5m_input_tokens: int = 0
    ephemeral_1h_input_tokens: int = 0


class _Used(Struct):
    model: str | None = None
    uncached_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_creation: _Writes | None = None
    output_tokens: int = 0


class _Paid(Struct):
    amount: str = "0"
    currency: str = "USD"
    model: str | None = None
    workspace_id: str | None = None


class _UsedBucket(Struct):
    starting_at: str
    results: list[_Used] = []


class _PaidBucket(Struct):
    starting_at: str
    results: list[_Paid] = []


class _Page(Struct):
    data: list[msgspec.Raw] = []
    has_more: bool = False
    next_page: str | None = None


async def used(upstream: Upstream, endpoint: Endpoint, wanted: Wanted) -> Counts:
    """The tokens of each day and model; raises `NotSeenError`."""
    query = [("group_by[]", "model"), *(("workspace_ids[]", each) for each in wanted.workspaces)]
    counts: Counts = Counter()
    async for raw in _buckets(upstream, endpoint, _USAGE_PATH, wanted, query):
        bucket = _read(raw, _UsedBucket)
        for result in bucket.results:
            writes = result.cache_creation or _Writes()
            found = (
                result.uncached_input_tokens,
                result.cache_read_input_tokens,
                writes.ephemeral_5m_input_tokens,
                writes.ephemeral_1h_input_tokens,
                result.output_tokens,
            )
            for what, count in zip(TOKENS, found, strict=True):
                counts[_day(bucket.starting_at), plain(result.model or ""), what] += count
    return counts


async def paid(upstream: Upstream, endpoint: Endpoint, wanted: Wanted) -> Counts:
    """The costs of each day and model; those of no model, such as searches, stand under an empty name."""
    query = [("group_by[]", "description"), ("group_by[]", "workspace_id")]
    counts: Counts = Counter()
    async for raw in _buckets(upstream, endpoint, _COST_PATH, wanted, query):
        bucket = _read(raw, _PaidBucket)
        for result in bucket.results:
            # The API has no filter for workspaces here.
            if not wanted.workspaces or result.workspace_id in wanted.workspaces:
                counts[_day(bucket.starting_at), plain(result.model or ""), COST] += _nano(result)
    return counts


def plain(model: str) -> str:
    """A model's name without its date: both sides may name a model with it or without."""
    return _DATED.sub("", model)


async def _buckets(
    upstream: Upstream, endpoint: Endpoint, path: str, wanted: Wanted, query: Sequence[tuple[str, str]]
) -> AsyncIterator[msgspec.Raw]:
    bounds = [("starting_at", iso_text(wanted.since)), ("ending_at", iso_text(wanted.until)), ("bucket_width", "1d")]
    page: str | None = None
    for _ in range(_MOST_PAGES):
        more = [("page", page)] if page else []
        asked = urlencode([*bounds, ("limit", str(_DAYS_A_PAGE)), *query, *more])
        answer = _read(await _fetch(upstream, endpoint, f"{path}?{asked}"), _Page)
        for bucket in answer.data:
            yield bucket
        page = answer.next_page
        if not answer.has_more or not page:
            return
    raise NotSeenError(f"{path} has more than {_MOST_PAGES} pages: ask for a shorter range.")


async def _fetch(upstream: Upstream, endpoint: Endpoint, path: str) -> bytes:
    where = f"{endpoint.base_url}{path.partition('?')[0]}"
    try:
        async with upstream.open(endpoint, Call(SAMPLING_VERSION, method="GET", path=path)) as answer:
            status, body = answer.status, await answer.read(_MAX_BYTES)
    except FailedError as error:
        raise NotSeenError(f"{where} does not answer: {error.failure.in_full}") from error
    if status == 200:
        return body
    if status in (401, 403):
        raise NotSeenError(f"{where} refuses the key ({status}): it has to be an Admin API key (sk-ant-admin...).")
    raise NotSeenError(f"{where} answers with {status}: {_message_of(body)}".rstrip(": "))


class _Error(Struct):
    message: str = ""


class _Refusal(Struct):
    error: _Error = msgspec.field(default_factory=_Error)


def _message_of(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Refusal).error.message[:500]
    except msgspec.MsgspecError:
        return ""


def _read(body: bytes | msgspec.Raw, kind: type[S]) -> S:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise NotSeenError(f"An answer of the Usage and Cost API cannot be read: {error}") from error


def _nano(result: _Paid) -> int:
    if result.currency != "USD":
        raise NotSeenError(f"The costs are in {result.currency[:10]}, and the ledger is in USD.")
    try:
        return round(Decimal(result.amount) * _NANO_A_CENT)
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise NotSeenError(f"An amount of the Cost API cannot be read: {result.amount[:40]!r}") from error


def _day(text: str) -> int:
    try:
        return int(datetime.fromisoformat(text).timestamp()) // 86_400 * 86_400
    except ValueError as error:
        raise NotSeenError(f"A time of the Usage and Cost API cannot be read: {text[:40]!r}") from error
