"""Rows and their sums are written together, and once."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from gateway.ledger.writing import write_rows
from tests.support.ledgers import NOON, ended, entry, row, rows, table, used


def test_sums_by_hour_and_day_come_with_the_rows(connection: sqlite3.Connection, file: Path) -> None:
    requests = [
        ended(entry(used(10, 1), at=NOON)),
        ended(entry(used(20, 2), at=NOON + 3599), entry(used(5, 0), at=NOON + 3600, error="cut_off")),
    ]
    assert write_rows(connection, rows(*requests)) == 3

    hours, days = table(file, "hours"), table(file, "days")
    assert [(sums["start"], sums["requests"], sums["attempts"], sums["errors"]) for sums in hours] == [
        (NOON, 2, 2, 0),
        (NOON + 3600, 0, 1, 1),
    ]
    assert [(sums["input"], sums["output"]) for sums in hours] == [(30, 3), (5, 0)]
    assert [(sums["start"], sums["attempts"], sums["input"]) for sums in days] == [(NOON - 12 * 3600, 3, 35)]


def test_a_batch_that_is_written_again_changes_nothing(connection: sqlite3.Connection, file: Path) -> None:
    batch = rows(ended(entry(used())), ended(entry(used())))
    write_rows(connection, batch)
    before = table(file), table(file, "hours"), table(file, "days")

    assert write_rows(connection, batch) == 0
    assert (table(file), table(file, "hours"), table(file, "days")) == before


def test_of_a_batch_that_is_there_in_part_the_rest_is_added(connection: sqlite3.Connection, file: Path) -> None:
    first, second = rows(ended(entry(used(1, 1))), ended(entry(used(2, 2))))
    write_rows(connection, [first])

    assert write_rows(connection, [first, second, second]) == 1
    assert [sums["input"] for sums in table(file, "hours")] == [3]


def test_a_row_that_the_database_refuses_leaves_nothing(connection: sqlite3.Connection, file: Path) -> None:
    with pytest.raises(OverflowError):
        write_rows(connection, [row(), row(input=2**63)])

    assert table(file) == table(file, "hours") == []


def test_callers_models_and_keys_have_sums_of_their_own(connection: sqlite3.Connection, file: Path) -> None:
    different: list[dict[str, Any]] = [
        {"caller": "a"},
        {"caller": "b"},
        {"group_name": "g"},
        {"end_user": b"12345678"},
        {"endpoint": "/v1/messages"},
        {"upstream_key": "other"},
        {"model": "claude-opus-5"},
        {"batch": 1},
        {"service_tier": "priority"},
    ]
    write_rows(connection, [row(**columns) for columns in different])

    assert len(table(file, "hours")) == len(table(file, "days")) == len(different)
