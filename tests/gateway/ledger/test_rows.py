"""What a request that has ended becomes in the ledger."""

from typing import Any

from gateway.ledger.rows import COLUMNS, Row, UserHash, id_prefix, rows_of
from tests.support.ledgers import NOON, ended, entry, rows, used

SECRET = b"what end users are hashed with"


def column(row: Row, name: str) -> Any:
    return row[COLUMNS.index(name)]


def test_each_billed_attempt_is_a_row_and_the_answers_counts_the_request() -> None:
    failed, answered = entry(used(7, 2), error="cut_off"), entry(used(10, 5))
    found = rows(ended(failed, entry(error="overloaded"), answered))

    assert [column(row, "id") for row in found] == [failed.id, answered.id]
    assert [column(row, "attempt") for row in found] == [1, 3]
    assert [column(row, "requests") for row in found] == [0, 1]
    assert [(column(row, "error"), column(row, "finish")) for row in found] == [("cut_off", None), (None, "end_turn")]


def test_of_attempts_that_have_all_failed_one_counts_the_request() -> None:
    found = rows(ended(entry(used(), error="cut_off"), entry(used(), error="abandoned")))

    assert sorted(column(row, "requests") for row in found) == [0, 1]


def test_a_request_that_cost_nothing_is_not_in_the_ledger() -> None:
    assert rows(ended(entry(error="overloaded")), ended()) == []


def test_a_row_says_who_asked_for_what_and_what_came() -> None:
    (row,) = rows(
        ended(entry(used()), key_id="abc", caller="team", group="research", end_user="ann", trace_id="f" * 32)
    )
    found: dict[str, Any] = dict(zip(COLUMNS, row, strict=True))

    assert found["at"] == NOON * 1000
    assert found["id"][:6] == id_prefix(int(NOON * 1000))
    assert (found["caller"], found["group_name"], found["end_user"]) == ("abc", "research", "ann")
    assert (found["model_asked"], found["model"], found["upstream_key"]) == ("gpt-5", "claude-sonnet-5-5", "main")
    assert (found["cost"], found["saved"], found["price"]) == (1_500, 20, "list:1")
    assert (found["latency_ms"], found["first_token_ms"], found["trace_id"]) == (1500, 250, "f" * 32)


def test_an_end_user_is_a_keyed_hash() -> None:
    users = UserHash(SECRET)
    (row,) = users.hide(rows(ended(entry(used()), end_user="ann@example.com")))

    assert column(row, "end_user") == users.of("ann@example.com") != UserHash(b"another").of("ann@example.com")
    assert len(users.of("ann@example.com")) == 8
    assert users.hide([row]) == [row]


def test_an_end_user_has_the_same_hash_if_the_secret_is_there_at_once() -> None:
    users, request = UserHash(SECRET), ended(entry(used()), end_user="\ud800" + "x" * 100_000)

    assert rows_of(request, users) == users.hide(rows_of(request))


def test_texts_are_bounded_and_such_that_the_database_takes_them() -> None:
    name = "\ud800" + "x" * 100_000
    (row,) = rows(
        ended(
            entry(used(), model=name, stop_reason=name),
            caller=name,
            group=name,
            end_user=name,
            model=name,
            trace_id=name,
        )
    )

    texts = {name: value for name, value in zip(COLUMNS, row, strict=True) if isinstance(value, str)}
    assert {name: value for name, value in texts.items() if len(value) > 200 or not value.isascii()} == {}
