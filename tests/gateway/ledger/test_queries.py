"""What the ledger answers is what its rows add up to, whatever it is read from."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.files import AccountsFiles, set_up
from gateway.ledger.queries import EVERYTHING, Sums, Where, client_totals, grouped, spent
from gateway.ledger.rows import COLUMNS, Row
from gateway.ledger.writing import write_rows
from gateway.service.totals import ClientTotals
from tests.support.ledgers import NOON, row

MIDNIGHT = NOON - 12 * 3600
MOMENTS = st.integers(-3 * 24 * 3600 * 4, 3 * 24 * 3600 * 4).map(lambda quarters: NOON + quarters / 4)
# On and around the edges of hours and days.
EDGES = st.builds(
    lambda hours, more: MIDNIGHT + hours * 3600 + more, st.integers(-80, 80), st.sampled_from([-0.25, 0, 0.25, 1800])
)
ROWS = st.lists(
    st.builds(
        lambda at, caller, end_user, model, cost, is_failed: row(
            at, caller=caller, end_user=end_user, model=model, cost=cost, error="cut_off" if is_failed else None
        ),
        st.one_of(MOMENTS, EDGES),
        st.sampled_from("ab"),
        st.sampled_from([b"", b"12345678"]),
        st.sampled_from(["claude-opus-5", "claude-sonnet-5-5", "odd[1]?"]),
        st.integers(0, 10**12),
        st.booleans(),
    ),
    max_size=30,
)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = AccountsFiles(tmp_path / "accounts.db").open().connection
    yield opened
    opened.close()


def in_memory(rows: list[Row]) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    set_up(connection)
    write_rows(connection, rows)
    return connection


def value(made: Row, name: str) -> Any:
    return made[COLUMNS.index(name)]


def added_up(rows: list[Row]) -> Sums:
    names = Sums._fields
    return Sums(
        *(
            len(rows)
            if name == "attempts"
            else sum(value(each, "error") is not None for each in rows)
            if name == "errors"
            else sum(value(each, name) for each in rows)
            for name in names
        )
    )


@given(ROWS, st.one_of(MOMENTS, EDGES), st.one_of(st.none(), MOMENTS, EDGES))
def test_a_span_has_exactly_its_rows(rows: list[Row], since: float, until: float | None) -> None:
    inside = [
        each for each in rows if since * 1000 <= value(each, "at") < (float("inf") if until is None else until * 1000)
    ]

    assert spent(in_memory(rows), since, until=until) == added_up(inside)


@given(ROWS, st.one_of(MOMENTS, EDGES))
def test_groups_and_conditions_divide_it(rows: list[Row], since: float) -> None:
    connection = in_memory(rows)
    later = [each for each in rows if value(each, "at") >= since * 1000]
    groups = grouped(connection, since, by=("caller", "end_user", "model"))

    def by(each: Row) -> tuple[Any, ...]:
        return tuple(value(each, name) for name in ("caller", "end_user", "model"))

    assert {group.by for group in groups} == set(map(by, later))
    for group in groups:
        caller, end_user, model = group.by
        assert isinstance(end_user, bytes)
        assert group.sums == added_up([each for each in later if by(each) == group.by])
        assert spent(connection, since, Where(str(caller), end_user=end_user, model=str(model))) == group.sums
    assert sum((group.sums for group in groups), Sums()) == spent(connection, since)


def test_a_star_stands_for_any_text_and_nothing_else_for_another(connection: sqlite3.Connection) -> None:
    write_rows(connection, [row(model=model) for model in ("claude-opus-5", "claude-opus-4", "gpt[1]?", "gpt1x")])

    def count(model: str) -> int:
        return spent(connection, 0, Where(model=model)).attempts

    assert (count("claude-opus-*"), count("*"), count("*-5"), count("gpt[1]?"), count("CLAUDE-*")) == (2, 4, 1, 1, 0)


@pytest.mark.parametrize(
    ("where", "columns"),
    [
        (Where(group="g"), {"group_name": "g"}),
        (Where(end_user=b"12345678"), {"end_user": b"12345678"}),
        (Where(caller="b", model="x*"), {"caller": "b", "model": "xy"}),
    ],
)
def test_each_condition_finds_its_rows(connection: sqlite3.Connection, where: Where, columns: dict[str, Any]) -> None:
    write_rows(connection, [row(), row(**columns)])

    assert spent(connection, 0, where).attempts == 1
    assert spent(connection, 0, EVERYTHING).attempts == 2


@pytest.mark.parametrize("begin", [MIDNIGHT, NOON])
def test_what_an_end_user_has_spent_is_found_among_any_number_of_others(begin: float) -> None:
    def steps(others: int) -> int:
        users = [b"12345678", *(number.to_bytes(8, "big") for number in range(others))]
        connection = in_memory([row(NOON, end_user=user) for user in users])
        counted = list[None]()
        connection.set_progress_handler(lambda: counted.append(None), 1)
        assert spent(connection, begin, Where(end_user=b"12345678"), NOON + 7200).attempts == 1
        return len(counted)

    assert steps(2_000) < 2 * steps(20)


def test_names_of_columns_do_not_come_from_outside(connection: sqlite3.Connection) -> None:
    with pytest.raises(ValueError, match="not grouped by cost"):
        grouped(connection, 0, by=("cost",))  # type: ignore[arg-type]


def test_the_dearest_group_comes_first(connection: sqlite3.Connection) -> None:
    write_rows(connection, [row(caller="cheap", cost=1), row(caller="dear", cost=9), row(caller="dear", cost=9)])

    assert [group.by for group in grouped(connection, 0, by=("caller",))] == [("dear",), ("cheap",)]


def test_totals_go_by_the_names_of_stored_keys(connection: sqlite3.Connection) -> None:
    key = "INSERT INTO keys (id, name, hash, prefix, created_at) VALUES ('abc', 'team', x'00', 'dgm-', 0)"
    connection.execute(key)
    write_rows(connection, [row(caller="abc", saved=1_500_400, cache_read=7, cache_write_1h=2), row(caller="app")])

    assert client_totals(connection) == [
        ClientTotals("app", 1, 10, 0, 0, 5, 0),
        ClientTotals("team", 1, 19, 7, 2, 5, 1500),
    ]
