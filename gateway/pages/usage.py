"""`GET /admin/usage`: what was used and what it has cost, as `dragoman usage` shows it."""

from collections.abc import Callable
from typing import Final

import msgspec
from starlette.types import Receive, Scope, Send

from gateway.edge.responder import NEVER_KEPT, responder_of
from gateway.ledger.questions import COLUMNS, TooManyLinesError
from gateway.ledger.trouble import AccountsFileError
from gateway.ledger.usage import MOST_LINES, UsageError, UsageQuery, usage_query, usage_report
from gateway.pages.ledger_access import LedgerAccess
from gateway.pages.paging import query_of
from translators.errors import TranslationError

_ENCODER: Final = msgspec.json.Encoder()


class UsagePage:
    """The query has `by`, `since`, `until`, and a filter for each name of `COLUMNS`."""

    def __init__(self, access: LedgerAccess, now: Callable[[], float]) -> None:
        self._access = access
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._access.check(scope)
        query = _query(scope, self._now())
        try:
            report = await usage_report(self._access.reports(), query)
        except AccountsFileError as error:
            raise self._access.unreadable(error) from error
        except TooManyLinesError:
            what = f"There are more than {MOST_LINES} lines: ask for less with by, since, until, or a filter."
            raise TranslationError(what, param="by", code="invalid_value") from None
        await responder_of(scope).send_json(200, _ENCODER.encode(report), NEVER_KEPT)


def _query(scope: Scope, now: float) -> UsageQuery:
    fields = query_of(scope)
    if unknown := [name for name in fields if name not in ("by", "since", "until", *COLUMNS)]:
        what = f"Unknown parameter: '{unknown[0][:40]}'. Expected by, since, until, {', '.join(COLUMNS)}."
        raise TranslationError(what, param=unknown[0], code="unknown_parameter")
    try:
        return usage_query(
            now,
            since=fields.get("since", [""])[-1],
            until=fields.get("until", [""])[-1],
            by=fields.get("by", ()),
            filters={name: fields[name] for name in COLUMNS if name in fields},
        )
    except UsageError as error:
        raise TranslationError(f"Invalid '{error.param}': {error}.", param=error.param, code="invalid_value") from error
