"""What is watched of rules: the money that was spent, by whom, in which window."""

from gateway.accounts.rules.meters import Calendar, new_meter
from gateway.accounts.rules.rule import Measure, Subject, What, Window
from gateway.alerts.budgets import budgets_of
from gateway.alerts.money import Budget

DOLLAR = 1_000_000_000
NOVEMBER, DECEMBER = 1_793_491_200.0, 1_796_083_200.0
NOW = NOVEMBER + 5 * 86_400


def money(window: Window, subject: Subject, *, spent: int = 0, held: int = 0) -> Calendar:
    meter = new_meter(Measure("r1", What.MONEY, 50 * DOLLAR, window, True, "*", subject), NOW)
    assert isinstance(meter, Calendar)
    meter.begin(spent, meter.ends_at)
    meter.take(held, NOW)
    return meter


def test_what_was_spent_counts_and_what_is_held_does_not() -> None:
    meter = money("month", Subject("key_a"), spent=30 * DOLLAR, held=10 * DOLLAR)

    assert list(budgets_of([meter], NOW)) == [(Budget("r1", "key_a", 50 * DOLLAR, NOVEMBER, DECEMBER), 30 * DOLLAR)]


def test_subjects_are_groups_keys_end_users_and_everyone() -> None:
    subjects = [Subject(), Subject(group="research"), Subject("key_a"), Subject("key_a", None, b"\xab" * 8)]

    found = [budget.subject for budget, _ in budgets_of([money("day", subject) for subject in subjects], NOW)]

    assert found == ["", "research", "key_a", "key_a:" + "ab" * 8]


def test_a_total_has_no_end() -> None:
    ((budget, _),) = budgets_of([money("total", Subject())], NOW)

    assert budget.ends_at is None


def test_nothing_but_money_is_watched() -> None:
    others = [
        new_meter(Measure("r2", What.REQUESTS, 5, "day", True), NOW),
        new_meter(Measure("r3", What.IN_FLIGHT, 5, "total", True), NOW),
        new_meter(Measure("r4", What.INPUT_TOKENS, 5, "minute", False), NOW),
    ]

    assert not list(budgets_of(others, NOW))
