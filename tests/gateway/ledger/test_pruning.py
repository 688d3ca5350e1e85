"""What is not kept any longer is deleted in small steps."""

import sqlite3
from pathlib import Path

from gateway.ledger.pruning import DELETED_AT_ONCE, Keep, prune
from gateway.ledger.writing import write_rows
from tests.support.ledgers import NOON, row, table

DAY = 86_400
MUCH = 2**31


def test_rows_go_first_then_sums_by_hour_then_sums_by_day(connection: sqlite3.Connection, file: Path) -> None:
    write_rows(connection, [row(NOON - days * DAY) for days in (0, 5, 50, 500)])

    assert not prune(connection, Keep(days=2, totals_days=40, bytes=MUCH), NOON)
    assert [len(table(file, name)) for name in ("attempts", "hours", "days")] == [1, 2, 2]


def test_what_is_kept_long_enough_stays(connection: sqlite3.Connection, file: Path) -> None:
    write_rows(connection, [row(NOON - days * DAY) for days in (0, 5, 50)])
    prune(connection, Keep(days=51, totals_days=1200, bytes=MUCH), NOON)

    assert len(table(file)) == 3


def test_a_step_is_small_and_says_whether_there_is_more(connection: sqlite3.Connection, file: Path) -> None:
    write_rows(connection, [row(NOON - 10 * DAY, end_user=str(n).encode()) for n in range(DELETED_AT_ONCE + 10)])
    keep = Keep(days=1, totals_days=4, bytes=MUCH)

    assert prune(connection, keep, NOON)
    assert [len(table(file, name)) for name in ("attempts", "hours", "days")] == [10, 10, 10]
    assert not prune(connection, keep, NOON)
    assert [len(table(file, name)) for name in ("attempts", "hours", "days")] == [0, 0, 0]


def test_a_file_that_is_too_large_loses_its_oldest_rows_and_keeps_its_sums(
    connection: sqlite3.Connection, file: Path
) -> None:
    rows = [row(NOON + n, request_id="x" * 180) for n in range(4000)]
    for begin in range(0, len(rows), 500):
        write_rows(connection, rows[begin : begin + 500])
    small = Keep(days=90, totals_days=1200, bytes=600_000)
    steps = 0
    while prune(connection, small, NOON):
        steps += 1

    kept = table(file)
    assert 5 < steps < 100
    assert 0 < len(kept) < 2000
    assert [found["at"] for found in kept] == [(NOON + n) * 1000 for n in range(4000 - len(kept), 4000)]
    assert sum(sums["attempts"] for sums in table(file, "days")) == 4000
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    assert pages * 4096 < 2 * 600_000


def test_if_nothing_else_helps_sums_go_too_and_it_ends(connection: sqlite3.Connection, file: Path) -> None:
    write_rows(connection, [row(NOON, end_user=str(n).encode()) for n in range(1000)])
    while prune(connection, Keep(days=90, totals_days=1200, bytes=1), NOON):
        pass

    assert [table(file, name) for name in ("attempts", "hours", "days")] == [[], [], []]
