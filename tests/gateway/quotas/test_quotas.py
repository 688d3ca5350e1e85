"""Workers share a rule's amount: never above it, and used up to the last piece."""

from collections.abc import Iterator

import pytest

from gateway.accounts.rules.rule import Measure, What
from gateway.workers.quotas.messages import Report
from gateway.workers.quotas.stocks import BucketStock
from tests.gateway.quotas.family import START, Family

MONEY = Measure("budget", What.MONEY, 100, "day", is_aligned=True)
RATE = Measure("rate", What.REQUESTS, 60, "minute", is_aligned=False)
SEATS = Measure("seats", What.IN_FLIGHT, 10, "total", is_aligned=True)


@pytest.fixture
def family() -> Iterator[Family]:
    found = Family()
    yield found
    found.close()


@pytest.mark.parametrize("measure", [MONEY, RATE, SEATS])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_of_many_at_once_exactly_as_many_are_admitted_as_there_is_room_for(
    family: Family, measure: Measure, workers: int
) -> None:
    members = [family.join(number) for number in range(workers)]
    requests = [family.ask(members[number % workers], 1, measure) for number in range(300)]
    family.deliver_all()

    assert sum(bool(request.is_admitted) for request in requests) == measure.amount


def test_a_worker_answers_from_its_portion_without_asking(family: Family) -> None:
    member = family.join(1)
    first = family.admitted(member, 1, MONEY)
    requests = [family.ask(member, 1, MONEY) for _ in range(10)]

    assert first
    assert all(request.is_admitted for request in requests)


def test_what_one_worker_has_spare_is_called_back_when_another_needs_it(family: Family) -> None:
    idle, busy = family.join(1), family.join(2)
    assert family.admitted(idle, 1, MONEY)
    assert idle.leases.meter(MONEY, START).spare > 0

    assert sum(family.admitted(busy, 1, MONEY) for _ in range(120)) == 99


def test_what_comes_back_from_one_workers_requests_serves_another_one_at_the_edge(family: Family) -> None:
    one, other = family.join(1), family.join(2)
    held = [family.ask(one, 10, MONEY) for _ in range(10)]
    family.deliver_all()
    refused = family.admitted(other, 10, MONEY)
    family.settle(one, held[0], 0)
    family.deliver_all()

    assert all(request.is_admitted for request in held)
    assert not refused
    assert family.admitted(other, 10, MONEY)


def test_a_request_takes_from_all_meters_or_from_none(family: Family) -> None:
    member = family.join(1)
    seats = [family.ask(member, 1, SEATS) for _ in range(10)]
    family.deliver_all()
    refused = family.ask(member, 1, MONEY, SEATS)
    family.deliver_all()
    for request in seats:
        family.settle(member, request, 1)

    assert refused.is_admitted is False
    family.ledger.rows.clear()
    assert sum(family.admitted(member, 1, MONEY) for _ in range(120)) == 100


def test_the_ledger_says_what_was_spent_before(family: Family) -> None:
    family.ledger.rows += [(START - 86_400, 50), (START - 60, 30)]
    member = family.join(1)

    assert sum(family.admitted(member, 1, MONEY) for _ in range(120)) == 70


def test_while_the_ledger_cannot_be_read_nothing_is_admitted(family: Family) -> None:
    family.ledger.is_broken = True
    member = family.join(1)
    refused = family.admitted(member, 1, MONEY)
    family.ledger.is_broken = False

    assert not refused
    assert family.admitted(member, 1, MONEY)
    assert family.admitted(member, 1, RATE)


def test_a_dead_workers_portion_counts_as_spent_until_the_ledger_says_what_was(family: Family) -> None:
    doomed, other = family.join(1), family.join(2)
    request = family.ask(doomed, 10, MONEY)
    family.deliver_all()
    family.settle(doomed, request, 3)
    family.kill(doomed)
    before = family.admitted(other, 96, MONEY)
    family.sleep(60)
    family.deliver_all()

    assert not before
    assert not family.admitted(other, 98, MONEY)
    assert family.admitted(other, 97, MONEY)


def test_the_seats_of_a_dead_worker_are_free_at_once(family: Family) -> None:
    doomed, other = family.join(1), family.join(2)
    for _ in range(10):
        assert family.admitted(doomed, 1, SEATS)
    family.kill(doomed)

    assert sum(family.admitted(other, 1, SEATS) for _ in range(20)) == 10


def test_a_silent_worker_costs_its_portion_and_a_moment(family: Family) -> None:
    silent, other = family.join(1), family.join(2)
    assert family.admitted(silent, 1, MONEY)
    has = silent.leases.meter(MONEY, START).spare
    admitted = 0
    while True:
        request = family.ask(other, 1, MONEY)
        for _ in range(4):
            family.deliver(other, to_parent=True)
            family.deliver(other, to_parent=False)
        if request.is_admitted is None:
            # The parent waits for the silent worker, and then does without it.
            family.sleep(0.6)
            family.deliver(other, to_parent=False)
        if not request.is_admitted:
            break
        admitted += 1

    assert request.is_admitted is False
    assert admitted == 99 - has


def test_a_request_waits_for_the_parent_only_so_long_and_what_it_gets_too_late_serves_others(family: Family) -> None:
    member = family.join(1)
    request = family.ask(member, 100, MONEY)
    family.deliver_all()
    assert request.is_admitted
    family.settle(member, request, 0)
    late = family.ask(member, 1, RATE)
    family.sleep(3)
    assert late.is_admitted is False
    family.deliver_all()
    family.sleep(60)

    assert sum(family.admitted(member, 1, RATE) for _ in range(100)) == 60


def test_without_a_parent_requests_are_refused(family: Family) -> None:
    member = family.join(1)
    member.own_end.connection_lost(None)

    assert not family.admitted(member, 1, RATE)


def test_a_new_window_begins_anew(family: Family) -> None:
    member, other = family.join(1), family.join(2)
    old = family.ask(member, 60, MONEY)
    family.deliver_all()
    family.sleep(86_400)
    fresh = family.admitted(other, 90, MONEY)
    family.settle(member, old, 60)
    family.deliver_all()

    assert old.is_admitted
    assert fresh
    assert family.admitted(member, 10, MONEY)
    assert not family.admitted(member, 1, MONEY)


def test_an_amount_that_is_lowered_holds_for_what_workers_have(family: Family) -> None:
    member = family.join(1)
    assert family.admitted(member, 1, MONEY)
    lower = Measure("budget", What.MONEY, 5, "day", is_aligned=True)

    assert sum(family.admitted(member, 1, lower) for _ in range(20)) == 4


def test_what_was_spent_beyond_its_hold_counts(family: Family) -> None:
    member, other = family.join(1), family.join(2)
    request = family.ask(member, 10, MONEY)
    family.deliver_all()
    family.settle(member, request, 95)
    member.leases.pulse()
    family.deliver_all()

    assert sum(family.admitted(other, 1, MONEY) for _ in range(20)) == 5


def test_what_nobody_uses_goes_back(family: Family) -> None:
    member = family.join(1)
    assert family.admitted(member, 1, MONEY)
    family.sleep(2)
    member.leases.pulse()

    assert member.leases.meter(MONEY, family.now).spare == 0


def test_a_forgotten_meter_gives_back_what_it_has(family: Family) -> None:
    one, other = family.join(1), family.join(2)
    request = family.ask(one, 50, MONEY)
    family.deliver_all()
    family.settle(one, request, 20)
    meter = one.leases.meter(MONEY, START)
    assert meter.is_idle(START)
    one.leases.forget(meter)
    family.deliver_all()

    assert family.admitted(other, 80, MONEY)


def test_a_request_that_costs_more_than_a_full_bucket_is_admitted_and_paid_off(family: Family) -> None:
    member, other = family.join(1), family.join(2)
    assert family.admitted(other, 1, RATE)
    family.sleep(60)
    assert family.admitted(member, 120, RATE)
    at_once = family.admitted(other, 1, RATE)
    family.sleep(62)

    assert not at_once
    assert family.admitted(other, 1, RATE)


def test_a_caller_is_told_how_the_whole_stands(family: Family) -> None:
    one, other = family.join(1), family.join(2)
    request = family.ask(one, 30, MONEY)
    family.deliver_all()
    family.settle(one, request, 30)
    family.ask(other, 20, MONEY)
    family.deliver_all()
    other.leases.pulse()
    assert not family.admitted(other, 90, MONEY)
    state = other.leases.meter(MONEY, family.now).state(family.now)

    assert (state.limit, state.spent, state.held, state.remaining) == (100, 30, 20, 50)


def test_a_refund_that_is_told_late_does_not_fill_a_bucket_that_was_full_meanwhile() -> None:
    measure = Measure("rate", What.INPUT_TOKENS, 12, "minute", is_aligned=False)
    stock = BucketStock(measure, START)

    assert stock.hold("slow", 1, START)
    assert stock.hold("quick", 12, START + 61)
    stock.report("slow", Report(measure, refund=1), START + 61)

    assert not stock.hold("quick", 1, START + 61)


def test_a_refund_that_is_told_in_time_counts() -> None:
    measure = Measure("rate", What.INPUT_TOKENS, 12, "minute", is_aligned=False)
    stock = BucketStock(measure, START)

    assert stock.hold("slow", 12, START)
    stock.report("slow", Report(measure, refund=5), START + 1)

    assert stock.hold("quick", 5, START + 1)
