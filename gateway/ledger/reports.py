"""Answers questions about what was used, from the ledger's sums by day and hour, and by minute from its rows."""

import sqlite3
import time
from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Final

import msgspec

from gateway.ledger.lane import AccountsFile
from gateway.ledger.questions import (
    COLUMNS,
    DAY_SECONDS,
    HOUR_SECONDS,
    MINUTE_SECONDS,
    Line,
    Question,
    Sums,
    TooManyLinesError,
)
from gateway.ledger.rows import id_prefix
from gateway.ledger.trouble import AccountsFileError
from gateway.service.totals import ClientTotals

# A question that takes longer is given up: nobody waits for it.
_LONGEST_SECONDS: Final = 30.0
_STEPS: Final = 100_000
_MILLISECONDS: Final = 1_000
_NANO_IN_MICRO: Final = 1_000
_FOREVER: Final = 2**37
# More than there are keys, deleted ones included, and clients.
_MOST_CALLERS: Final = 2**31
# What stands for the sums of `hours` and `days` in a row of `attempts`.
_OF_ROWS: Final = {"attempts": "COUNT(*)", "errors": "COUNT(error)"}
_SHOWN: Final = {"end_user": "lower(hex(end_user))", "batch": "CAST(batch AS TEXT)"}
# Filters take a list of any length in one parameter.
_OF_TEXTS: Final = "{column} IN (SELECT value FROM json_each(?))"


class LedgerReports:
    """`Reports` on a file, which should be nobody else's: its thread is busy while it reads."""

    def __init__(self, file: AccountsFile) -> None:
        self._file = file

    async def lines(self, question: Question, most: int) -> list[Line]:
        return await self._file.run(lambda connection: lines_of(connection, question, most))

    async def clients(self) -> list[ClientTotals]:
        return await self._file.run(client_totals)

    async def names(self) -> Mapping[str, str]:
        return await self._file.run(names_of)

    async def close(self) -> None:
        await self._file.close()


def names_of(connection: sqlite3.Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT id, name FROM keys"))


def client_totals(connection: sqlite3.Connection) -> list[ClientTotals]:
    """What each caller has used, as far as days are kept, by name; a stored key goes by its current name."""
    names = names_of(connection)
    lines = lines_of(connection, Question(0, _FOREVER, ("key",)), _MOST_CALLERS)
    return sorted((_client(names.get(*line.values, *line.values), line.sums) for line in lines), key=attrgetter("name"))


def lines_of(connection: sqlite3.Connection, question: Question, most: int) -> list[Line]:
    """The lines that answer a question."""
    question = question.rounded()
    text, values = _statement(question, most)
    ends_at = time.monotonic() + _LONGEST_SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > ends_at, _STEPS)
    try:
        found = connection.execute(text, values).fetchall()
    except sqlite3.OperationalError as error:
        if time.monotonic() > ends_at:
            raise AccountsFileError(f"the question was not answered within {_LONGEST_SECONDS:g} s") from error
        raise
    finally:
        connection.set_progress_handler(None, 0)
    if len(found) > most:
        raise TooManyLinesError
    end = 1 + len(question.by)
    return [Line(row[0], tuple(row[1:end]), Sums(*row[end:])) for row in found]


def _client(name: str, sums: Sums) -> ClientTotals:
    written = sums.cache_write_5m + sums.cache_write_1h
    saved = round(sums.saved / _NANO_IN_MICRO)
    return ClientTotals(name, sums.requests, sums.prompt, sums.cache_read, written, sums.output, saved)


def _statement(question: Question, most: int) -> tuple[str, list[object]]:
    """One statement over all tables that the range needs."""
    columns = [_SHOWN.get(column := COLUMNS[name], column) for name in question.by]
    named = [f"v{number}" for number in range(len(columns))]
    conditions, allowed = _conditions(question)
    texts: list[str] = []
    values: list[object] = []
    for table, since, until in _portions(question):
        is_rows = table == "attempts"
        selected = [_start(question, is_rows)]
        selected += [f"{column} AS {name}" for column, name in zip(columns, named, strict=True)]
        selected += [
            f"{_OF_ROWS[name]} AS {name}" if is_rows and name in _OF_ROWS else f"SUM({name}) AS {name}"
            for name in Sums._fields
        ]
        place = "id >= ? AND id < ?" if is_rows else "start >= ? AND start < ?"
        where = " AND ".join([place, *conditions])
        grouped = ", ".join(["bucket", *named])
        texts.append(f"SELECT {', '.join(selected)} FROM {table} WHERE {where} GROUP BY {grouped}")  # noqa: S608
        bounds = (since, until)
        values += [id_prefix(at * _MILLISECONDS) for at in bounds] if is_rows else bounds
        values += allowed
    names = ", ".join(["bucket", *named])
    sums = ", ".join(f"SUM({name})" for name in Sums._fields)
    united = " UNION ALL ".join(texts)
    text = (
        f"SELECT {names}, {sums} FROM ({united}) GROUP BY {names} "  # noqa: S608 - names and marks of this module only
        f"ORDER BY bucket, SUM(cost) DESC, SUM(output) DESC{''.join(f', {name}' for name in named)} LIMIT {most + 1:d}"
    )
    return text, values


def _start(question: Question, is_rows: bool) -> str:
    if question.width is None:
        return "NULL AS bucket"
    seconds = f"at / {_MILLISECONDS}" if is_rows else "start"
    return f"{seconds} / {question.width:d} * {question.width:d} AS bucket"


def _conditions(question: Question) -> tuple[list[str], list[object]]:
    conditions: list[str] = []
    values: list[object] = []
    for name, allowed in question.filters.items():
        column = COLUMNS[name]
        conditions.append(_OF_TEXTS.format(column=_SHOWN.get(column, column)))
        values.append(_as_json(allowed))
    return conditions, values


def _as_json(values: object) -> str:
    # Lone surrogates in a query cannot be in the ledger either.
    return msgspec.json.encode(values).decode()


def _portions(question: Question) -> Iterator[tuple[str, int, int]]:
    """The tables with the parts of the range that are read from each: whole days, and hours where it has none."""
    since, until = question.since, question.until
    if question.width == MINUTE_SECONDS:
        yield "attempts", since, until
        return
    if question.width == HOUR_SECONDS:
        yield "hours", since, until
        return
    first_day, last_day = -(-since // DAY_SECONDS) * DAY_SECONDS, until // DAY_SECONDS * DAY_SECONDS
    if first_day >= last_day:
        yield "hours", since, until
        return
    yield "days", first_day, last_day
    if since < first_day:
        yield "hours", since, first_day
    if last_day < until:
        yield "hours", last_day, until
