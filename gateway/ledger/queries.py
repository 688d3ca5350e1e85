"""What the ledger is asked. Pure functions over a connection; times are Unix seconds.

Sums are read from whole days and hours as far as a span has them, and from single rows at its edges, so that they are
exact. Rows that are not kept any longer are missing there: let a span that begins long ago begin with a day.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from gateway.ledger.rows import id_prefix
from gateway.ledger.writing import ADDED, DAY_SECONDS, DIMENSIONS, HOUR_SECONDS, SUMS
from gateway.service.totals import ClientTotals

Dimension: TypeAlias = Literal[
    "caller", "group_name", "end_user", "endpoint", "upstream_key", "model", "batch", "service_tier"
]
_FOREVER: Final = 2**37
_MILLISECONDS: Final = 1000
_NANO_IN_MICRO: Final = 1000


class Sums(NamedTuple):
    """What was used; `cost` and `saved` are in nano-dollars, `errors` counts attempts that have failed."""

    requests: int = 0
    attempts: int = 0
    errors: int = 0
    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    thinking: int = 0
    server_tool_uses: int = 0
    cost: int = 0
    saved: int = 0

    @property
    def prompt(self) -> int:
        """All input: uncached, read from a cache, and written to one."""
        return self.input + self.cache_read + self.cache_write_5m + self.cache_write_1h

    def __add__(self, other: object) -> "Sums":
        return Sums(*map(sum, zip(self, other, strict=True))) if isinstance(other, Sums) else NotImplemented


class Where(NamedTuple):
    """Which rows count: None is no condition.

    In a model, `*` stands for any text. A caller is the id of a stored key, or the name of a configured client.
    """

    caller: str | None = None
    group: str | None = None
    end_user: bytes | None = None
    model: str = "*"


class Group(NamedTuple):
    """The sums of one group, with the values of what was grouped by, in that order."""

    by: tuple[str | bytes | int, ...]
    sums: Sums


EVERYTHING: Final = Where()


def spent(connection: sqlite3.Connection, since: float, where: Where = EVERYTHING, until: float | None = None) -> Sums:
    """What was used from `since` on, and before `until` if that is given; attempts count at their begin."""
    return sum((group.sums for group in grouped(connection, since, where, until=until)), Sums())


def grouped(
    connection: sqlite3.Connection,
    since: float,
    where: Where = EVERYTHING,
    by: Sequence[Dimension] = (),
    until: float | None = None,
) -> list[Group]:
    """The same in groups, the dearest first; nothing is left out."""
    found: dict[tuple[str | bytes | int, ...], Sums] = {}
    for table, start, end in _spans(since, until):
        for group in _read(connection, table, start, end, where, by):
            found[group.by] = found.get(group.by, Sums()) + group.sums
    groups = [Group(values, sums) for values, sums in found.items()]
    return sorted(groups, key=lambda group: (-group.sums.cost, -group.sums.prompt, str(group.by)))


def client_totals(connection: sqlite3.Connection) -> list[ClientTotals]:
    """What each caller has used, as far as days are kept, by name; a stored key goes by its current name."""
    names = dict(connection.execute("SELECT id, name FROM keys"))
    return sorted(
        (_client(str(names.get(*group.by, *group.by)), group.sums) for group in grouped(connection, 0, by=("caller",))),
        key=lambda client: client.name,
    )


def _client(name: str, sums: Sums) -> ClientTotals:
    written = sums.cache_write_5m + sums.cache_write_1h
    saved = round(sums.saved / _NANO_IN_MICRO)
    return ClientTotals(name, sums.requests, sums.prompt, sums.cache_read, written, sums.output, saved)


def _spans(since: float, until: float | None) -> Iterator[tuple[str, float, float]]:
    """A span in parts, each with the table that has it: whole days, whole hours beside them, rows at the edges."""
    end = float(_FOREVER if until is None else until)
    if since >= end:
        return
    hour, last_hour = _up(since, HOUR_SECONDS), _down(end, HOUR_SECONDS)
    if hour > last_hour:
        yield "attempts", since, end
        return
    yield "attempts", since, hour
    day, last_day = _up(since, DAY_SECONDS), _down(end, DAY_SECONDS)
    if day > last_day:
        yield "hours", hour, last_hour
    else:
        yield "hours", hour, day
        yield "days", day, last_day
        yield "hours", last_day, last_hour
    yield "attempts", last_hour, end


def _read(
    connection: sqlite3.Connection, table: str, start: float, end: float, where: Where, by: Sequence[Dimension]
) -> Iterator[Group]:
    if start >= end:
        return
    if unknown := set(by) - set(DIMENSIONS):
        # Names of columns become part of a query: none may come from outside.
        raise ValueError(f"The ledger is not grouped by {', '.join(sorted(unknown))}.")
    span, bounds = _span(table, start, end, where)
    conditions, values = _conditions(where)
    sums = _SUMS_OF_ROWS if table == "attempts" else _SUMS_OF_SUMS
    query = f"SELECT {', '.join((*by, sums))} FROM {table} WHERE {' AND '.join((span, *conditions))}"  # noqa: S608
    if by:
        query += f" GROUP BY {', '.join(by)}"
    for row in connection.execute(query, (*bounds, *values)):
        # Without groups there is a row also where there is nothing to add up.
        if row[-1] is not None:
            yield Group(row[: len(by)], Sums(*row[len(by) :]))


def _span(table: str, start: float, end: float, where: Where) -> tuple[str, tuple[object, ...]]:
    if table == "attempts":
        return "id >= ? AND id < ?", (_id_at(start), _id_at(end))
    if where.end_user is not None:
        return f"start IN ({_STARTS.format(table=table)})", (start, end, end)
    return "start >= ? AND start < ?", (start, end)


def _id_at(seconds: float) -> bytes:
    return id_prefix(-int(-seconds * _MILLISECONDS // 1))


def _conditions(where: Where) -> tuple[list[str], list[object]]:
    """The conditions as SQL, and the values in them."""
    asked = {"caller = ?": where.caller, "group_name = ?": where.group, "end_user = ?": where.end_user}
    if where.model != "*":
        asked["model GLOB ?"] = _as_glob(where.model)
    found = {condition: value for condition, value in asked.items() if value is not None}
    return [*found], [*found.values()]


def _as_glob(pattern: str) -> str:
    """A pattern in which only `*` is special."""
    return pattern.replace("[", "[[]").replace("?", "[?]")


def _up(seconds: float, width: int) -> float:
    return -(-seconds // width) * width


def _down(seconds: float, width: int) -> float:
    return seconds // width * width


# Each hour or day by itself, so that one end user is found there by the primary key, among any number of others.
_STARTS: Final = (
    "WITH RECURSIVE starts (begin) AS (SELECT min(start) FROM {table} WHERE start >= ? AND start < ? UNION ALL "
    "SELECT (SELECT min(start) FROM {table} WHERE start > begin AND start < ?) FROM starts WHERE begin IS NOT NULL) "
    "SELECT begin FROM starts"
)
_SUMS_OF_SUMS: Final = ", ".join(f"sum({name})" for name in SUMS)
_SUMS_OF_ROWS: Final = ", ".join(("sum(requests)", "count(*)", "count(error)", *(f"sum({name})" for name in ADDED)))
assert Sums._fields == SUMS
