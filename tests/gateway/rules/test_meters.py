"""What meters promise: never above the limit, nothing lost, all given back, whatever the order of events."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.accounts.rules.meters import ASK, OVER, TAKEN, WRITTEN_SECONDS, Bucket, Calendar, Count, new_meter
from gateway.accounts.rules.rule import EVERYONE, Measure, Rule, What, Window, matches, measure_of
from gateway.accounts.rules.windows import bounds

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()


def measure(what: What, amount: int, window: Window, *, is_aligned: bool = True) -> Measure:
    return Measure("r", what, amount, window, is_aligned)


def budget(amount: int, window: Window = "day", *, spent: int = 0) -> Calendar:
    meter = Calendar(measure(What.MONEY, amount, window), NOON)
    meter.begin(spent, meter.ends_at)
    return meter


def bucket(amount: int) -> Bucket:
    return Bucket(measure(What.OUTPUT_TOKENS, amount, "minute", is_aligned=False), NOON)


def test_a_window_does_not_know_what_is_left_until_the_ledger_was_read() -> None:
    meter = Calendar(measure(What.MONEY, 10, "month"), NOON)

    assert meter.take(1, NOON) == ASK
    meter.begin(9, meter.ends_at)
    assert (meter.take(1, NOON), meter.take(1, NOON)) == (TAKEN, OVER)


def test_what_the_ledger_says_is_taken_over_once_and_not_for_a_window_that_has_passed() -> None:
    meter = Calendar(measure(What.MONEY, 10, "hour"), NOON)
    meter.begin(4, meter.ends_at)
    meter.begin(4, meter.ends_at)
    assert meter.state(NOON).spent == 4

    late = Calendar(measure(What.MONEY, 10, "hour"), NOON)
    asked_for = late.ends_at
    assert late.take(10, NOON + 3600) == TAKEN
    late.begin(9, asked_for)
    assert late.state(NOON + 3600).spent == 0


def test_money_that_is_held_and_money_that_is_spent_are_two_numbers() -> None:
    meter = budget(100, spent=10)
    meter.take(50, NOON)

    assert (meter.state(NOON).spent, meter.state(NOON).held, meter.state(NOON).remaining) == (10, 50, 40)
    meter.settle(50, 20, NOON)
    assert (meter.state(NOON).spent, meter.state(NOON).held, meter.state(NOON).remaining) == (30, 0, 70)


def test_a_request_that_outlives_its_window_counts_in_the_window_that_admitted_it() -> None:
    meter, next_day = budget(100), NOON + 86400
    meter.take(60, NOON)

    assert meter.take(100, next_day) == TAKEN
    meter.settle(60, 60, NOON)
    assert (meter.state(next_day).spent, meter.state(next_day).held) == (0, 100)


def test_a_clock_that_is_set_back_loses_no_hold_and_refills_nothing_twice() -> None:
    meter, level = budget(100), bucket(60)
    meter.take(60, NOON - 7200)
    meter.settle(60, 1, NOON - 7200)
    level.take(60, NOON)

    assert (meter.state(NOON).spent, meter.state(NOON).held) == (1, 0)
    assert level.take(1, NOON - 7200) == OVER
    assert level.take(1, NOON + 1) == TAKEN


def test_a_bucket_takes_more_than_it_can_hold_when_it_is_full_and_pays_it_off() -> None:
    meter = bucket(60)

    assert meter.take(180, NOON) == TAKEN
    assert meter.take(1, NOON + 120) == OVER
    assert meter.wait_for(1, NOON + 120) == 1
    assert meter.take(1, NOON + 121) == TAKEN


def test_the_time_to_wait_for_a_bucket_is_true() -> None:
    meter = bucket(60)
    meter.take(50, NOON)
    seconds = meter.wait_for(30, NOON)

    assert seconds == 20
    assert meter.take(30, NOON + seconds - 0.01) == OVER
    assert meter.take(30, NOON + seconds) == TAKEN


def test_settling_brings_a_bucket_into_debt_or_gives_back() -> None:
    meter = bucket(60)
    meter.take(10, NOON)
    meter.settle(10, 100, NOON)
    assert (meter.left(NOON), meter.wait_for(1, NOON)) == (0, 41)

    meter = bucket(60)
    meter.take(60, NOON)
    meter.settle(60, 0, NOON)
    assert (meter.left(NOON), meter.is_idle(NOON)) == (60, True)


def test_an_amount_of_nothing_takes_nothing_but_the_free() -> None:
    for meter in (bucket(0), budget(0), Count(measure(What.IN_FLIGHT, 0, "total"), NOON)):
        assert meter.state(NOON).remaining == 0
        assert meter.wait_for(1, NOON) in (0.0, math.inf)
    assert budget(0).take(1, NOON) == OVER
    assert Count(measure(What.IN_FLIGHT, 0, "total"), NOON).take(1, NOON) == OVER


def test_a_meter_is_idle_when_forgetting_it_loses_nothing() -> None:
    window, level, count = budget(100), bucket(60), Count(measure(What.IN_FLIGHT, 3, "total"), NOON)
    for meter in (window, level, count):
        meter.take(1, NOON)
        assert not meter.is_idle(NOON + 90)
        meter.settle(1, 1, NOON)

    assert not window.is_idle(NOON + 91)
    assert window.is_idle(NOON + 91 + WRITTEN_SECONDS)
    assert level.is_idle(NOON + 90)
    assert count.is_idle(NOON + 90)


def test_another_amount_keeps_what_was_counted() -> None:
    window, level = budget(100, spent=60), bucket(60)
    level.take(60, NOON)
    window.amend(measure(What.MONEY, 50, "day"), NOON)
    level.amend(measure(What.OUTPUT_TOKENS, 90, "minute", is_aligned=False), NOON)

    assert window.take(1, NOON) == OVER
    assert level.left(NOON) == 30


@pytest.mark.parametrize(
    ("window", "at", "begins", "ends"),
    [
        ("minute", "2026-11-30T12:34:56", "2026-11-30T12:34:00", "2026-11-30T12:35:00"),
        ("day", "2026-11-30T12:34:56", "2026-11-30T00:00:00", "2026-12-01T00:00:00"),
        ("month", "2026-12-31T23:59:59", "2026-12-01T00:00:00", "2027-01-01T00:00:00"),
        ("month", "2028-02-29T00:00:00", "2028-02-01T00:00:00", "2028-03-01T00:00:00"),
    ],
)
def test_windows_are_aligned_to_utc(window: Window, at: str, begins: str, ends: str) -> None:
    at_, begins_, ends_ = (datetime.fromisoformat(f"{text}+00:00").timestamp() for text in (at, begins, ends))

    assert bounds(window, at_) == (begins_, ends_)
    assert bounds("total", at_) == (0, math.inf)


def test_a_pattern_knows_no_sign_but_the_star() -> None:
    assert matches("claude-*", "claude-opus-5")
    assert matches("*opus*", "claude-opus-5")
    assert not matches("claude-?pus-5", "claude-opus-5")
    assert not matches("[a-z]*", "claude")
    assert matches("team[1]*", "team[1]-x")
    assert not matches("claude", "Claude")


def test_a_rule_is_about_a_key_by_its_name_or_id_and_about_a_group() -> None:
    of_key = Rule(id="r", scope="key", of="team-*", what=What.REQUESTS, amount=1)
    of_group = Rule(id="r", scope="group", of="research", what=What.REQUESTS, amount=1)

    assert of_key.is_about("k1", "team-a", None)
    assert Rule(id="r", scope="key", of="k1", what=What.REQUESTS, amount=1).is_about("k1", "other", None)
    assert not of_key.is_about("k1", "other", None)
    assert of_group.is_about(None, "x", "research")
    assert not of_group.is_about(None, "x", None)


def test_a_measure_is_the_same_for_another_amount() -> None:
    one = Rule(id="r", what=What.MONEY, amount=1, window="day")
    two = Rule(id="r", what=What.MONEY, amount=2, window="day", over="queue")

    assert measure_of(one, EVERYONE).identity == measure_of(two, EVERYONE).identity
    assert measure_of(one, EVERYONE) != measure_of(two, EVERYONE)


COSTS = st.integers(0, 150)
KINDS: list[tuple[What, Window, bool]] = [
    (What.MONEY, "day", True),
    (What.OUTPUT_TOKENS, "minute", False),
    (What.IN_FLIGHT, "total", True),
]


class Metering(RuleBasedStateMachine):
    """Three meters with requests that come, try again, end, and outlive their windows."""

    LIMIT = 100

    def __init__(self) -> None:
        super().__init__()
        self.now = NOON
        self.meters = [
            new_meter(measure(what, self.LIMIT, window, is_aligned=aligned), NOON) for what, window, aligned in KINDS
        ]
        window = self.meters[0]
        assert isinstance(window, Calendar)
        window.begin(0, window.ends_at)
        # The holds by meter: amount, and when it was taken.
        self.held: list[list[tuple[int, float]]] = [[], [], []]
        # What was admitted in the window, at most: never above the limit.
        self.spent_today = 0
        # All that left the bucket, and all that may have flowed into it.
        self.taken = 0.0
        self.began = NOON

    @rule(seconds=st.floats(0, 30_000))
    def time_passes(self, seconds: float) -> None:
        before = self.now // 86400
        self.now += seconds
        if self.now // 86400 != before:
            self.spent_today = 0

    @rule(index=st.integers(0, 2), cost=COSTS)
    def a_request_comes(self, index: int, cost: int) -> None:
        left = self.meters[index].left(self.now)
        wait = self.meters[index].wait_for(cost, self.now)
        answer = self.meters[index].take(cost, self.now)

        assert (answer == TAKEN) == (wait == 0)
        if index != 1:
            assert (answer == TAKEN) == (cost <= left)
        if answer == TAKEN:
            self.held[index].append((cost, self.now))

    @precondition(lambda self: any(self.held))
    @rule(data=st.data())
    def a_request_ends(self, data: st.DataObject) -> None:
        index = data.draw(st.sampled_from([i for i, holds in enumerate(self.held) if holds]))
        held, taken_at = self.held[index].pop(data.draw(st.integers(0, len(self.held[index]) - 1)))
        actual = data.draw(st.integers(0, held))
        self.meters[index].settle(held, actual, taken_at)
        if index == 0 and taken_at // 86400 == self.now // 86400:
            self.spent_today += actual

    @precondition(lambda self: self.held[0])
    @rule(cost=COSTS)
    def a_request_tries_again(self, cost: int) -> None:
        held, taken_at = self.held[0][-1]
        if self.meters[0].more(cost, taken_at, self.now):
            self.held[0][-1] = (held + cost, taken_at)

    @invariant()
    def spent_and_held_are_exact_and_within_the_limit(self) -> None:
        state = self.meters[0].state(self.now)
        running = sum(cost for cost, taken_at in self.held[0] if taken_at // 86400 == self.now // 86400)
        assert (state.spent, state.held) == (self.spent_today, running)
        assert state.spent + state.held <= self.LIMIT
        assert self.meters[2].state(self.now).held == sum(cost for cost, _ in self.held[2]) <= self.LIMIT

    def teardown(self) -> None:
        for meter, holds in zip(self.meters, self.held, strict=True):
            for held, taken_at in holds:
                meter.settle(held, 0, taken_at)
        assert self.meters[0].state(self.now).held == self.meters[2].state(self.now).held == 0
        later = self.now + 86400
        assert [meter.left(later) for meter in self.meters] == [self.LIMIT] * 3
        assert [meter.is_idle(later) for meter in self.meters][1:] == [True, True]
        assert self.meters[0].is_idle(later + WRITTEN_SECONDS)


TestMetering = Metering.TestCase
