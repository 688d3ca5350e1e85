"""The report of what was used, as `dragoman usage` and `/admin/usage` give it: one query, one form."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from gateway.ledger.money import dollars
from gateway.ledger.questions import COLUMNS, DAY_SECONDS, HOUR_SECONDS, Line, Question, Reports, Sums
from translators.moments import iso_text

# More lines are refused: the question is to be narrower.
MOST_LINES: Final = 10_000
WIDTHS: Final[Mapping[str, int]] = {"day": DAY_SECONDS, "hour": HOUR_SECONDS}
BY: Final = (*COLUMNS, *WIDTHS)
DEFAULT_BY: Final = ("key", "model")
DEFAULT_SINCE: Final = "7d"
# How the sums are called where they are shown; money has a form of its own.
_SHOWN: Final[Mapping[str, str]] = {
    "requests": "requests",
    "attempts": "attempts",
    "errors": "errors",
    "input_tokens": "input",
    "cache_read_tokens": "cache_read",
    "cache_write_5m_tokens": "cache_write_5m",
    "cache_write_1h_tokens": "cache_write_1h",
    "output_tokens": "output",
    "thinking_tokens": "thinking",
    "server_tool_uses": "server_tool_uses",
}
_AGO: Final = re.compile(r"(\d{1,6})([mhdw])")
_UNITS: Final = {"m": 60, "h": HOUR_SECONDS, "d": DAY_SECONDS, "w": 7 * DAY_SECONDS}
# The end of the year 9999, which is the last that has a date.
_LATEST: Final = 253_402_300_799


class UsageQuery(Struct, frozen=True):
    """What a report is about: `by` has names of `BY`, `filters` names of `COLUMNS`; keys are named or by id."""

    since: int
    until: int
    by: tuple[str, ...] = DEFAULT_BY
    filters: Mapping[str, Sequence[str]] = {}


class UsageError(ValueError):
    """What is wrong with a query; `param` names the part."""

    def __init__(self, text: str, param: str) -> None:
        super().__init__(text)
        self.param = param


class UsageReport(Struct):
    """What was used: `data` has one entry for each combination of the values of `by`."""

    since: str
    until: str
    by: tuple[str, ...]
    data: list[dict[str, object]]
    total: dict[str, object]


def usage_query(
    now: float,
    *,
    since: str | None = None,
    until: str | None = None,
    by: Sequence[str] = (),
    filters: Mapping[str, Sequence[str]] = {},
) -> UsageQuery:
    """A query from texts; raises `UsageError`."""
    named = tuple(dict.fromkeys(name.strip() for part in by for name in part.split(",") if name.strip())) or DEFAULT_BY
    if unknown := [name for name in named if name not in BY]:
        raise UsageError(f"expected names of {', '.join(BY)}, got {unknown[0][:40]!r}", "by")
    if all(width in named for width in WIDTHS):
        raise UsageError("day and hour cannot be had together: an hour tells its day", "by")
    ends_at = _moment(until, now, "until") if until else int(now) + 1
    begins_at = _moment(since or DEFAULT_SINCE, now, "since")
    if begins_at >= ends_at:
        raise UsageError("expected a time before the end of the range", "since")
    return UsageQuery(begins_at, ends_at, named, {name: list(values) for name, values in filters.items() if values})


async def usage_report(reports: Reports, query: UsageQuery) -> UsageReport:
    """The report; raises `TooManyLinesError` and `AccountsFileError`."""
    names = await reports.names()
    question = _question(query, names).rounded()
    lines = await reports.lines(question, MOST_LINES)
    return UsageReport(
        _iso(question.since),
        _iso(question.until),
        query.by,
        [_entry(query.by, line, names) for line in lines],
        _shown(_total(lines)),
    )


def columns_of(report: UsageReport) -> list[str]:
    """The names of the columns that a table of the report has."""
    return [*_headings(report.by), *_SHOWN, "cost_usd", "cache_saved_usd"]


def _question(query: UsageQuery, names: Mapping[str, str]) -> Question:
    width = next((seconds for name, seconds in WIDTHS.items() if name in query.by), None)
    filters = dict(query.filters)
    if "key" in filters:
        wanted = set(filters["key"])
        filters["key"] = [*wanted, *(key_id for key_id, name in names.items() if name in wanted)]
    return Question(query.since, query.until, tuple(name for name in query.by if name not in WIDTHS), width, filters)


def _headings(by: Sequence[str]) -> Iterator[str]:
    for name in by:
        yield name
        if name == "key":
            yield "key_name"


def _entry(by: Sequence[str], line: Line, names: Mapping[str, str]) -> dict[str, object]:
    entry: dict[str, object] = {}
    values = iter(line.values)
    for name in by:
        if name in WIDTHS:
            entry[name] = _iso(line.start or 0)
            continue
        entry[name] = value = next(values)
        if name == "key":
            # A client of the configuration is kept by its name.
            entry["key_name"] = names.get(value, value)
    return entry | _shown(line.sums)


def _shown(sums: Sums) -> dict[str, object]:
    shown: dict[str, object] = {name: getattr(sums, field) for name, field in _SHOWN.items()}
    return shown | {"cost_usd": dollars(sums.cost), "cache_saved_usd": dollars(sums.saved)}


def _total(lines: Sequence[Line]) -> Sums:
    return Sums(*map(sum, zip(*(line.sums for line in lines), strict=True)))


def _moment(text: str, now: float, param: str) -> int:
    """A time: so long ago (`7d`), a day, a date with a time, or Unix seconds."""
    text = text.strip()
    if ago := _AGO.fullmatch(text):
        return max(0, int(now) - int(ago[1]) * _UNITS[ago[2]])
    if text.isascii() and text.isdigit() and len(text) <= 12:
        return min(int(text), _LATEST)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        expected = "expected a time like 7d, 24h, 2026-11-30, 2026-11-30T08:00Z, or Unix seconds"
        raise UsageError(expected, param) from None
    return max(0, int((found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()))


def _iso(at: int) -> str:
    return iso_text(min(at, _LATEST))
