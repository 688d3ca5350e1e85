"""Breakers of hosts: when they open, who tries, what closes them; and what makes a host suspect."""

import pytest

from gateway.keypool import ABANDONED, SUCCESS, Key, KeyPool, Lease, LeaseQueue, LeaseRequest
from gateway.keypool.breaker import (
    FAILURES_TO_OPEN,
    LONGEST_OPEN_ALONE_SECONDS,
    LONGEST_OPEN_SECONDS,
    SUSPICION_SECONDS,
    TRIAL_SECONDS,
)
from gateway.keypool.host import SILENCE_SECONDS
from gateway.keypool.lease_request import Outcome
from tests.support.pools import ASK, MODEL, OTHER, fail, failed, head, name_of, pool_of, state_of, taken
from translators.errors import RULES, Blame, ErrorKind

UNREACHABLE, OVERLOADED = failed(ErrorKind.UNREACHABLE), failed(ErrorKind.OVERLOADED)
STREAM = LeaseRequest(MODEL, streams=True)


def opened(*keys: str, at: float = 100.0) -> KeyPool:
    """A pool whose only host has just been left alone."""
    pool = pool_of(*keys or ("a",))
    for lease in [taken(pool, at) for _ in range(FAILURES_TO_OPEN)]:
        pool.release(lease, UNREACHABLE, at)
    return pool


def test_a_single_failure_is_chance_and_others_are_preferred_for_a_moment_only() -> None:
    pool = pool_of(Key("a", host="x"), Key("b", host="y"))
    fail(pool, 0, UNREACHABLE, only="a")
    soon = [name_of(pool.acquire(0.5, ASK)) for _ in range(4)]

    assert soon == ["b"] * 4
    assert name_of(pool.acquire(0.5, ASK, exclude=frozenset("b"))) == "a"
    assert name_of(pool.acquire(SUSPICION_SECONDS, ASK)) == "a"


@pytest.mark.parametrize("kind", [kind for kind, rule in RULES.items() if rule.blame in (Blame.HOST, Blame.SERVICE)])
def test_several_failures_in_a_row_open_it_and_it_is_tried_again_after_a_second(kind: ErrorKind) -> None:
    pool = pool_of("a", "b")
    for _ in range(FAILURES_TO_OPEN - 1):
        fail(pool, 100, failed(kind))
    still = pool.acquire(100, ASK)
    fail(pool, 100, failed(kind), only="a")

    assert still is not None
    assert pool.acquire(100.999, ASK) is None
    assert pool.why_none(100, ASK)[1] == 1
    assert pool.acquire(101, ASK) is not None


def test_failures_with_a_success_between_them_do_not_open_it() -> None:
    pool = pool_of("a")
    for _ in range(3):
        for _ in range(FAILURES_TO_OPEN - 1):
            fail(pool, 0, UNREACHABLE)
        fail(pool, 0, SUCCESS)

    assert pool.acquire(0, ASK) is not None


def test_overload_concerns_one_class_of_models_and_a_dead_network_all() -> None:
    overloaded, dead = pool_of("a"), opened()
    for _ in range(FAILURES_TO_OPEN):
        fail(overloaded, 100, OVERLOADED)

    assert overloaded.acquire(100, ASK) is None
    assert overloaded.why_none(100, ASK)[0] is ErrorKind.OVERLOADED
    assert name_of(overloaded.acquire(100, LeaseRequest(OTHER))) == "a"
    assert dead.acquire(100, LeaseRequest(OTHER)) is None
    assert dead.why_none(100, LeaseRequest(OTHER))[0] is ErrorKind.UNREACHABLE


def test_other_hosts_are_not_concerned() -> None:
    pool = pool_of(Key("a", host="x"), Key("b", host="y"))
    for _ in range(FAILURES_TO_OPEN):
        fail(pool, 100, UNREACHABLE, only="a")

    assert {name_of(pool.acquire(100 + seconds, ASK)) for seconds in (0, 0.5)} == {"b"}


def test_one_request_at_a_time_tries_whether_it_has_become_better() -> None:
    pool = opened("a", "b")
    trial = taken(pool, 101)
    meanwhile = pool.acquire(101, ASK)
    pool.release(trial, ABANDONED, 102)
    again = pool.acquire(102, ASK)

    assert meanwhile is None
    assert pool.why_none(102, ASK)[1] == TRIAL_SECONDS
    assert again is not None
    assert pool.acquire(102, ASK) is None


def test_a_trial_that_tells_nothing_does_not_keep_others_from_being_one_for_ever() -> None:
    pool = opened()
    taken(pool, 101)

    assert pool.acquire(101 + TRIAL_SECONDS - 0.001, ASK) is None
    assert pool.acquire(101 + TRIAL_SECONDS, ASK) is not None


def test_each_trial_that_fails_doubles_the_time_up_to_a_bound() -> None:
    pool, now = pool_of(Key("a", host="x"), Key("b", host="y")), 100.0
    for _ in range(FAILURES_TO_OPEN):
        fail(pool, now, UNREACHABLE, only="a")

    assert waits_of(pool, now) == [1, 2, 4, 8, *[LONGEST_OPEN_SECONDS] * 4]


@pytest.mark.parametrize("outcome", [UNREACHABLE, OVERLOADED])
def test_where_there_is_nowhere_else_to_go_it_is_tried_more_often(outcome: Outcome) -> None:
    alone, together, now = pool_of("a"), pool_of(Key("a", host="x"), Key("b", host="y")), 100.0
    for _ in range(FAILURES_TO_OPEN):
        fail(alone, now, outcome)
        fail(together, now, outcome, only="a")
        fail(together, now, outcome, only="b")

    assert waits_of(alone, now, outcome) == [1, *[LONGEST_OPEN_ALONE_SECONDS] * 7]
    assert waits_of(together, now, outcome) == [1, *[LONGEST_OPEN_ALONE_SECONDS] * 7]


def waits_of(pool: KeyPool, now: float, outcome: Outcome = UNREACHABLE) -> list[float]:
    """How long the host of `a` is left alone before each of eight trials that fail."""
    waits, others = [], frozenset("b")
    for _ in range(8):
        seconds = pool.why_none(now, ASK, others)[1]
        waits.append(seconds)
        now += seconds
        assert pool.acquire(now - 0.001, ASK, exclude=others) is None
        fail(pool, now, outcome, only="a")
    return waits


# One request's attempts


def request(model: str = MODEL) -> LeaseRequest:
    """What the attempts of one request ask for."""
    return LeaseRequest(model, blamed=[])


@pytest.mark.parametrize("outcome", [UNREACHABLE, OVERLOADED])
def test_one_request_counts_once_however_often_it_fails(outcome: Outcome) -> None:
    pool, own = pool_of("a"), request()
    for _ in range(3 * FAILURES_TO_OPEN):
        fail(pool, 100, outcome, lease_request=own)
    for _ in range(FAILURES_TO_OPEN - 2):
        fail(pool, 100, outcome, lease_request=request())
    still = pool.acquire(100, ASK)
    fail(pool, 100, outcome, lease_request=request())

    assert still is not None
    assert pool.acquire(100, ASK) is None


def test_what_a_request_repeats_does_not_hide_that_most_attempts_fail() -> None:
    pool = pool_of("a")
    for own in [request() for _ in range(FAILURES_TO_OPEN)]:
        for _ in range(3):
            if (lease := pool.acquire(100, own)) is not None:
                pool.release(lease, UNREACHABLE, 100)

    assert pool.acquire(100, ASK) is None


@pytest.mark.parametrize("outcome", [UNREACHABLE, OVERLOADED])
def test_a_request_is_no_trial_of_what_it_has_opened(outcome: Outcome) -> None:
    pool, own = pool_of("a"), request()
    for lease_request in [*(request() for _ in range(FAILURES_TO_OPEN - 1)), own]:
        fail(pool, 100, outcome, lease_request=lease_request)
    before = pool.acquire(101, own)
    reason = pool.why_none(101, own)
    fail(pool, 101, SUCCESS, lease_request=request())

    assert before is None
    assert reason == (outcome.kind, float("inf"))
    assert name_of(pool.acquire(101, own)) == "a"


@pytest.mark.parametrize("outcome", [UNREACHABLE, OVERLOADED])
def test_a_trial_that_fails_is_its_requests_last(outcome: Outcome) -> None:
    pool, own = pool_of("a"), request()
    for _ in range(FAILURES_TO_OPEN):
        fail(pool, 100, outcome, lease_request=request())
    fail(pool, 101, outcome, lease_request=own)
    trial = pool.acquire(103, own)
    fail(pool, 103, outcome, lease_request=request())

    assert trial is None
    # Others have opened it since.
    assert name_of(pool.acquire(105, own)) == "a"


def test_a_request_that_has_opened_one_hosts_breaker_goes_to_the_other_host() -> None:
    pool, own = pool_of(Key("a", host="x"), Key("b", host="y")), request()
    for lease_request in [*(request() for _ in range(FAILURES_TO_OPEN - 1)), own]:
        fail(pool, 100, UNREACHABLE, only="a", lease_request=lease_request)

    assert [name_of(pool.acquire(200, own)) for _ in range(2)] == ["b", "b"]


def test_who_waits_for_others_to_try_lets_them_pass() -> None:
    pool, own = pool_of("a"), request()
    for lease_request in [*(request() for _ in range(FAILURES_TO_OPEN - 1)), own]:
        fail(pool, 100, UNREACHABLE, lease_request=lease_request)
    queue: LeaseQueue[str] = LeaseQueue(pool, 10)
    queue.join("own", own)
    queue.join("other", request())
    early, late = queue.serve(100.5), queue.serve(101)

    assert (early, [waiter for waiter, _ in late]) == ([], ["other"])


def test_stragglers_that_fail_after_it_opened_do_not_keep_it_open_longer() -> None:
    pool = pool_of("a")
    leases = [taken(pool, 90) for _ in range(20)]
    for lease in leases:
        pool.release(lease, UNREACHABLE, 100)
    trial = taken(pool, 101)
    for lease in [trial]:
        pool.answered(lease, head(), 101)

    assert pool.acquire(101, ASK) is not None


def test_a_straggler_that_fails_during_a_trial_leaves_the_trial_alone() -> None:
    pool = pool_of("a")
    straggler = taken(pool, 90)
    for _ in range(FAILURES_TO_OPEN):
        fail(pool, 100, UNREACHABLE)
    trial = taken(pool, 101)
    pool.release(straggler, UNREACHABLE, 101)
    meanwhile = pool.acquire(101, ASK)
    pool.release(trial, SUCCESS, 102)

    assert meanwhile is None
    assert [name_of(pool.acquire(102, ASK)) for _ in range(2)] == ["a", "a"]


def test_the_head_of_a_trials_answer_lets_all_pass_and_one_more_failure_shuts_it_again() -> None:
    pool = opened()
    trial = taken(pool, 101)
    pool.answered(trial, head(), 101.5)
    passed = [pool.acquire(101.5, ASK) for _ in range(3)]
    pool.release(trial, UNREACHABLE, 102)

    assert all(passed)
    assert pool.acquire(102.9, ASK) is None
    assert pool.acquire(103, ASK) is not None


@pytest.mark.parametrize("status", [429, 500, 529])
def test_a_head_that_is_no_answer_does_not_let_others_pass(status: int) -> None:
    pool = opened()
    trial = taken(pool, 101)
    pool.answered(trial, head(), 101.5, status=status)

    assert pool.acquire(101.5, ASK) is None


def test_a_trial_that_succeeds_forgets_all_failures() -> None:
    pool = opened()
    fail(pool, 101, SUCCESS)
    for _ in range(FAILURES_TO_OPEN - 1):
        fail(pool, 102, UNREACHABLE)

    assert pool.acquire(102, ASK) is not None


@pytest.mark.parametrize("kind", [ErrorKind.KEY_REJECTED, ErrorKind.RATE_LIMITED, ErrorKind.INVALID_REQUEST])
def test_a_host_that_says_no_is_there(kind: ErrorKind) -> None:
    pool = opened("a", "b")
    fail(pool, 101, failed(kind, 1), only="a")

    assert [name_of(pool.acquire(101, ASK, exclude=frozenset("a"))) for _ in range(2)] == ["b", "b"]


def test_a_host_that_is_overloaded_is_there_for_other_classes() -> None:
    pool = opened()
    fail(pool, 101, OVERLOADED)

    assert [name_of(pool.acquire(101, LeaseRequest(OTHER))) for _ in range(2)] == ["a", "a"]


def test_a_trial_of_a_class_whose_connection_failed_gives_way_to_the_next() -> None:
    pool = pool_of("a")
    for _ in range(FAILURES_TO_OPEN):
        fail(pool, 100, OVERLOADED)
    fail(pool, 101, UNREACHABLE)

    assert pool.acquire(101, ASK) is not None


def test_an_old_trial_does_not_end_the_one_that_came_after_it() -> None:
    pool = opened()
    old = taken(pool, 101)
    taken(pool, 101 + TRIAL_SECONDS)
    pool.release(old, ABANDONED, 102 + TRIAL_SECONDS)

    assert pool.acquire(102 + TRIAL_SECONDS, ASK) is None


def test_a_breaker_is_not_forgotten_for_names_that_callers_invent() -> None:
    pool = pool_of("a")
    for _ in range(FAILURES_TO_OPEN + 8):
        fail(pool, 100, OVERLOADED, lease_request=LeaseRequest(MODEL)) if pool.acquire(100, ASK) else None
    assert pool.acquire(100, ASK) is None
    for number in range(1000):
        fail(pool, 100, SUCCESS, lease_request=LeaseRequest(f"invented-{number}"))

    assert pool.acquire(100, ASK) is None


# Silence


def two_hosts() -> tuple[KeyPool, Lease]:
    pool = pool_of(Key("a", host="x", priority=0), Key("b", host="y", priority=1), strategy="priority")
    return pool, taken(pool, 0, STREAM)


def test_a_host_where_streams_begin_late_all_at_once_is_not_asked_first() -> None:
    pool, first = two_hosts()
    at_first = name_of(pool.acquire(SILENCE_SECONDS, STREAM))
    late = name_of(pool.acquire(SILENCE_SECONDS + 0.001, STREAM))
    pool.answered(first, head(), 12)

    assert (first.key.name, at_first, late) == ("a", "a", "b")
    assert name_of(pool.acquire(12, STREAM)) == "a"


def test_one_head_is_a_sign_of_life_for_all_streams() -> None:
    pool, _ = two_hosts()
    other = taken(pool, 1, STREAM)
    pool.answered(other, head(), 4)

    assert name_of(pool.acquire(4 + SILENCE_SECONDS - 0.1, STREAM)) == "a"
    assert name_of(pool.acquire(4 + SILENCE_SECONDS + 0.1, STREAM)) == "b"


def test_what_does_not_stream_may_take_its_time() -> None:
    pool = pool_of(Key("a", host="x", priority=0), Key("b", host="y", priority=1), strategy="priority")
    taken(pool, 0, ASK)

    assert name_of(pool.acquire(500, ASK)) == "a"


@pytest.mark.parametrize("is_answered", [True, False])
def test_streams_that_are_over_are_awaited_no_more(is_answered: bool) -> None:
    pool, first = two_hosts()
    if is_answered:
        pool.answered(first, head(), 11)
    pool.release(first, ABANDONED, 11)

    assert state_of(pool, "a").host.awaited == 0
    assert name_of(pool.acquire(500, STREAM)) == "a"
