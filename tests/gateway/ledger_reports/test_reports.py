"""What the ledger says of a range of time, by whatever is asked for."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.ledger.lane import AccountsFile
from gateway.ledger.questions import Line, Question, TooManyLinesError
from gateway.ledger.reports import LedgerReports
from gateway.ledger.writing import write_rows
from gateway.service.totals import ClientTotals
from tests.support.ledgers import DAY, HOUR, MIDNIGHT, Call, row, write_ledger


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "accounts.db"


@pytest.fixture
async def reports(file: Path) -> AsyncIterator[LedgerReports]:
    found = LedgerReports(AccountsFile(file))
    yield found
    await found.close()


def shown(lines: list[Line]) -> list[tuple[int | None, tuple[str, ...], int]]:
    return [(line.start, line.values, line.sums.requests) for line in lines]


async def test_everything_of_a_range_is_summed(file: Path, reports: LedgerReports) -> None:
    write_ledger(file, Call(), Call(error="overloaded", requests=0), Call(at=MIDNIGHT + 5 * DAY))

    (line,) = await reports.lines(Question(MIDNIGHT, MIDNIGHT + DAY), 10)

    assert line.start is None
    assert tuple(line.sums) == (1, 2, 1, 200, 40, 6, 8, 100, 20, 0, 2_000_000, 500)


async def test_a_range_without_whole_days_is_exact_to_the_hour(file: Path, reports: LedgerReports) -> None:
    # One call in each hour of five days.
    write_ledger(file, *(Call(at=MIDNIGHT + hour * HOUR) for hour in range(120)))

    for since, until in ((0, 120), (1, 120), (0, 119), (5, 6), (23, 25), (30, 100), (24, 48), (7, 7)):
        question = Question(MIDNIGHT + since * HOUR, MIDNIGHT + until * HOUR)
        found = await reports.lines(question, 10)
        assert sum(line.sums.requests for line in found) == until - since


async def test_a_range_is_rounded_outwards_to_hours(file: Path, reports: LedgerReports) -> None:
    write_ledger(file, *(Call(at=MIDNIGHT + minutes * 60) for minutes in (0, 59, 60, 119, 120)))

    (line,) = await reports.lines(Question(MIDNIGHT + 61 * 60, MIDNIGHT + 62 * 60), 10)

    assert line.sums.requests == 2


async def test_sums_are_by_any_columns_with_the_dearest_first(file: Path, reports: LedgerReports) -> None:
    write_ledger(
        file,
        Call(caller="key_a", model="claude-haiku-5-5", cost=5),
        Call(caller="key_b", model="claude-sonnet-5-5", cost=7, end_user=b"\xab" * 8),
        Call(caller="key_b", model="claude-sonnet-5-5", cost=1),
    )

    lines = await reports.lines(Question(MIDNIGHT, MIDNIGHT + DAY, by=("key", "model")), 10)
    users = await reports.lines(Question(MIDNIGHT, MIDNIGHT + DAY, by=("end_user", "batch")), 10)

    assert [(line.values, line.sums.cost) for line in lines] == [
        (("key_b", "claude-sonnet-5-5"), 8),
        (("key_a", "claude-haiku-5-5"), 5),
    ]
    assert [line.values for line in users] == [("ab" * 8, "0"), ("", "0")]


async def test_sums_are_by_minute_hour_and_day(file: Path, reports: LedgerReports) -> None:
    write_ledger(file, Call(), Call(at=MIDNIGHT + 59.9), Call(at=MIDNIGHT + 60), Call(at=MIDNIGHT + DAY))

    def until_end(width: int) -> Question:
        return Question(MIDNIGHT, MIDNIGHT + 2 * DAY, width=width)

    assert shown(await reports.lines(until_end(60), 10)) == [
        (MIDNIGHT, (), 2),
        (MIDNIGHT + 60, (), 1),
        (MIDNIGHT + DAY, (), 1),
    ]
    assert shown(await reports.lines(until_end(HOUR), 10)) == [(MIDNIGHT, (), 3), (MIDNIGHT + DAY, (), 1)]
    assert shown(await reports.lines(until_end(DAY), 10)) == [(MIDNIGHT, (), 3), (MIDNIGHT + DAY, (), 1)]


@pytest.mark.parametrize("width", [None, 60, HOUR, DAY])
async def test_filters_leave_out_everything_else(file: Path, reports: LedgerReports, width: int | None) -> None:
    write_ledger(
        file,
        Call(caller="a", end_user=b"\x01" * 8, batch=1),
        Call(caller="b"),
        Call(caller="c', 'd"),
    )

    async def count(**filters: list[str]) -> int:
        question = Question(MIDNIGHT, MIDNIGHT + DAY, (), width, filters)
        return sum(line.sums.requests for line in await reports.lines(question, 10))

    assert await count() == 3
    assert await count(key=["a", "b"]) == 2
    assert await count(key=["c', 'd"]) == 1
    assert await count(key=["a"], end_user=["01" * 8], batch=["1"]) == 1
    assert await count(end_user=["02" * 8]) == 0
    assert await count(key=["' OR 1 --"]) == 0


async def test_more_lines_than_are_wanted_are_refused(file: Path, reports: LedgerReports) -> None:
    write_ledger(file, *(Call(caller=f"key_{number}") for number in range(4)))

    assert len(await reports.lines(Question(MIDNIGHT, MIDNIGHT + DAY, ("key",)), 4)) == 4
    with pytest.raises(TooManyLinesError):
        await reports.lines(Question(MIDNIGHT, MIDNIGHT + DAY, ("key",)), 3)


async def test_totals_go_by_the_names_of_stored_keys(file: Path, reports: LedgerReports) -> None:
    write_ledger(file, Call(caller="abc", saved=1_500_400), Call(caller="app", at=MIDNIGHT + DAY), keys={"abc": "team"})

    assert await reports.clients() == [
        ClientTotals("app", 1, 127, 20, 7, 50, 0),
        ClientTotals("team", 1, 127, 20, 7, 50, 1500),
    ]


async def test_calls_of_two_requests_with_one_id_are_two(file: Path, reports: LedgerReports) -> None:
    rows = [row(MIDNIGHT, request_id="mine"), row(MIDNIGHT, request_id="mine")]
    AccountsFile(file).run_now(lambda connection: write_rows(connection, rows))

    for width in (60, HOUR):
        (line,) = await reports.lines(Question(MIDNIGHT, MIDNIGHT + DAY, width=width), 10)
        assert line.sums.attempts == 2


async def test_a_ledger_that_nobody_has_written_is_empty(reports: LedgerReports) -> None:
    assert await reports.lines(Question(0, MIDNIGHT, ("key",), DAY), 10) == []
    assert await reports.names() == {}
