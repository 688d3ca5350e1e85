"""The parts of a budget that were spent are reported once a window."""

import asyncio

from msgspec.structs import replace

from gateway.alerts.alert import Alert
from gateway.alerts.money import Budget, MoneyWatch
from gateway.ledger.money import dollars

DOLLAR = 1_000_000_000
NOVEMBER, DECEMBER, JANUARY = 1_793_491_200.0, 1_796_083_200.0, 1_798_761_600.0
MONTHLY = Budget("r1", "team-a", 50 * DOLLAR, NOVEMBER, DECEMBER)


class Watched:
    def __init__(self, *percents: float) -> None:
        self.alerts: list[Alert] = []
        self.watch = MoneyWatch(percents or (50, 80, 100), lambda: NOVEMBER + 5, self.alerts.append)

    @property
    def percents(self) -> list[object]:
        return [alert.data["percent"] for alert in self.alerts]


def test_each_part_is_reported_when_it_is_reached() -> None:
    watched = Watched()

    for spent in (0, 24, 25, 39, 40, 41, 49, 50, 60):
        watched.watch(MONTHLY, spent * DOLLAR)

    assert watched.percents == [50, 80, 100]


def test_an_alert_says_rule_subject_window_and_exact_amounts() -> None:
    watched = Watched()

    watched.watch(MONTHLY, 40 * DOLLAR + 1)

    (alert,) = watched.alerts
    assert alert.name == "money/r1/team-a/2026-11-01T00:00:00Z/80"
    assert alert.text == "80 % of 50.00 USD are spent for team-a (rule r1 until 2026-12-01T00:00:00Z)"
    assert alert.data == {
        "rule": "r1",
        "subject": "team-a",
        "percent": 80,
        "spent_usd": "40.000000001",
        "limit_usd": "50.00",
        "window_starts_at": "2026-11-01T00:00:00Z",
        "window_ends_at": "2026-12-01T00:00:00Z",
    }


def test_of_several_parts_that_are_reached_together_the_greatest_is_reported() -> None:
    watched = Watched()

    watched.watch(MONTHLY, 51 * DOLLAR)
    watched.watch(MONTHLY, 52 * DOLLAR)

    assert watched.percents == [100]


def test_what_is_held_back_and_given_back_is_not_reported_twice() -> None:
    watched = Watched()

    for spent in (26, 24, 26, 41, 39, 41):
        watched.watch(MONTHLY, spent * DOLLAR)

    assert watched.percents == [50, 80]


def test_the_next_window_begins_anew() -> None:
    watched = Watched()
    next_month = Budget("r1", "team-a", 50 * DOLLAR, DECEMBER, JANUARY)

    watched.watch(MONTHLY, 30 * DOLLAR)
    watched.watch(next_month, DOLLAR)
    watched.watch(next_month, 30 * DOLLAR)

    assert [alert.name.split("/")[3] for alert in watched.alerts] == ["2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"]


def test_a_budget_without_an_end_has_one_name_for_ever() -> None:
    watched = Watched()

    watched.watch(Budget("r1", "", 50 * DOLLAR, 0.0), 50 * DOLLAR)

    assert watched.alerts[0].name == "money/r1//total/100"
    assert watched.alerts[0].data["window_ends_at"] is None


def test_a_raised_amount_is_measured_anew() -> None:
    watched = Watched()

    watched.watch(MONTHLY, 30 * DOLLAR)
    watched.watch(Budget("r1", "team-a", 100 * DOLLAR, NOVEMBER, DECEMBER), 31 * DOLLAR)

    assert watched.percents == [50]


def test_parts_may_be_fractions_and_are_never_reported_too_early() -> None:
    watched = Watched(33.3)
    budget = Budget("r1", "", 1000, NOVEMBER, DECEMBER)

    watched.watch(budget, 332)
    watched.watch(budget, 333)

    assert watched.percents == [33.3]


def test_without_parts_nothing_is_reported() -> None:
    alerts: list[Alert] = []

    MoneyWatch((), lambda: 0.0, alerts.append)(MONTHLY, 100 * DOLLAR)

    assert not alerts


def test_dollars_are_exact() -> None:
    assert [dollars(nano) for nano in (0, 1, 1_500_000_000, -20_000_000, 10**18 + 1)] == [
        "0.00",
        "0.000000001",
        "1.50",
        "-0.02",
        "1000000000.000000001",
    ]


async def test_all_budgets_are_looked_at_without_holding_up_what_else_runs() -> None:
    watched = Watched()
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    running = asyncio.create_task(others())
    await watched.watch.look((replace(MONTHLY, subject=f"key-{n}"), n * DOLLAR) for n in range(2_000))
    running.cancel()

    assert len(watched.alerts) == 2_000 - 25
    assert turns >= 4
