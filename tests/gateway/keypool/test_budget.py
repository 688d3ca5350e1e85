"""Retries never add more to the traffic than they may."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from gateway.keypool import RetryBudget


@given(
    percent=st.sampled_from([0, 5, 10, 20, 50, 100]),
    steps=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.floats(0, 500)), max_size=40),
)
def test_retries_are_a_part_of_the_requests_and_a_small_reserve(
    percent: int, steps: list[tuple[int, int, float]]
) -> None:
    budget = RetryBudget(percent)
    now = 1000.0
    requests = retries = 0
    for came, wanted, seconds in steps:
        for _ in range(came):
            budget.request()
        requests += came
        retries += sum(budget.allows_retry(now) for _ in range(wanted))
        allowed = requests * percent / 100 + (10 + (now - 1000) / 10 if percent else 0)

        assert retries <= allowed + 1e-6
        now += seconds


def test_the_first_requests_can_be_repeated_too_but_not_without_end() -> None:
    budget = RetryBudget(20)

    assert [budget.allows_retry(0) for _ in range(11)] == [True] * 10 + [False]


def test_the_reserve_grows_back_slowly_and_not_beyond_what_it_was() -> None:
    budget = RetryBudget(20)
    for _ in range(10):
        budget.allows_retry(0)

    assert [budget.allows_retry(9.9), budget.allows_retry(10), budget.allows_retry(10)] == [False, True, False]
    assert sum(budget.allows_retry(1e6) for _ in range(20)) == 10


def test_what_requests_have_paid_in_is_used_before_the_reserve() -> None:
    budget = RetryBudget(20)
    for _ in range(25):
        budget.request()

    assert [budget.allows_retry(0) for _ in range(16)] == [True] * 15 + [False]


@pytest.mark.parametrize("requests", [10_000, 1_000_000])
def test_a_long_calm_does_not_save_up_for_a_storm_without_bound(requests: int) -> None:
    budget = RetryBudget(100)
    for _ in range(requests):
        budget.request()

    assert sum(budget.allows_retry(0) for _ in range(5_000)) == 1_010


def test_no_percent_is_no_retry() -> None:
    budget = RetryBudget(0)
    for _ in range(1_000):
        budget.request()

    assert not any(budget.allows_retry(now) for now in range(0, 10_000, 100))
