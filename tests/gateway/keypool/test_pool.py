"""The pool's own rules: who is found, who rests and for how long, what comes back."""

from collections import Counter
from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given

from gateway.keypool import ABANDONED, SUCCESS, Key, KeyPool, LeaseRequest, PoolSettings
from gateway.keypool.backoff import LONGEST_BACKOFF_SECONDS, LONGEST_TOLD_SECONDS
from gateway.keypool.feedback import DEFAULT_COOLING_SECONDS
from gateway.keypool.pool import PROBE_AGAIN_SECONDS
from gateway.keypool.strategies import StrategyName
from tests.support.pools import ASK, MODEL, OTHER, STRATEGIES, fail, failed, name_of, pool_of, state_of, taken
from translators.errors import RULES, Blame, ErrorKind

each_strategy = pytest.mark.parametrize("strategy", STRATEGIES)
KEY_BLAMES = [kind for kind, rule in RULES.items() if rule.blame is Blame.KEY]
NOBODYS = [kind for kind, rule in RULES.items() if rule.blame is Blame.NOBODY]


def after(kind: ErrorKind, retry_after_seconds: float | None = None, *others: str) -> KeyPool:
    """A pool whose key `a` came to this at second 100."""
    pool = pool_of("a", *others)
    fail(pool, 100, failed(kind, retry_after_seconds), only="a")
    return pool


# Leases


def test_an_empty_pool_has_nothing_to_give() -> None:
    pool = KeyPool([])

    assert len(pool) == 0
    assert pool.acquire(0, ASK) is None
    assert pool.why_none(0, ASK)[0] is ErrorKind.KEY_REJECTED


def test_a_lease_counts_until_it_is_released() -> None:
    pool = pool_of("a", "b")
    leases = [taken(pool, 0) for _ in range(3)]
    out = pool.in_flight
    for lease in leases:
        pool.release(lease, SUCCESS, 1)

    assert out == 3
    assert pool.in_flight == 0


@pytest.mark.parametrize("kind", ErrorKind, ids=lambda kind: kind.name)
def test_a_lease_comes_back_whatever_became_of_it(kind: ErrorKind) -> None:
    assert after(kind).in_flight == 0


def test_excluded_keys_are_not_given_and_avoided_ones_only_where_there_is_no_other() -> None:
    pool = pool_of("a", "b")

    assert {name_of(pool.acquire(0, ASK, avoid=frozenset("a"))) for _ in range(4)} == {"b"}
    assert name_of(pool.acquire(0, ASK, avoid=frozenset("ab"))) in {"a", "b"}
    assert name_of(pool.acquire(0, ASK, exclude=frozenset("b"), avoid=frozenset("a"))) == "a"
    assert pool.acquire(0, ASK, exclude=frozenset("ab")) is None


# Limits of a key


@pytest.mark.parametrize(("ceiling", "share", "at_once"), [(1, 1.0, 1), (3, 1.0, 3), (4, 0.5, 2), (3, 0.5, 1)])
@each_strategy
def test_no_key_serves_more_at_once_than_its_share_of_the_ceiling(
    ceiling: int, share: float, at_once: int, strategy: StrategyName
) -> None:
    pool = pool_of(Key("a", max_concurrency=ceiling), strategy=strategy, share=share)

    assert [name_of(pool.acquire(0, ASK)) for _ in range(at_once + 1)] == ["a"] * at_once + [None]
    assert pool.why_none(0, ASK) == (ErrorKind.RATE_LIMITED, float("inf"))


@pytest.mark.parametrize("workers", range(1, 100))
def test_all_workers_together_have_the_whole_ceiling_where_it_can_be_divided(workers: int) -> None:
    pool = pool_of(Key("a", max_concurrency=2 * workers), share=1 / workers)

    assert [name_of(pool.acquire(0, ASK)) for _ in range(3)] == ["a", "a", None]


def test_each_worker_can_use_a_key_however_small_its_share() -> None:
    assert name_of(pool_of(Key("a", max_concurrency=2), share=0.1).acquire(0, ASK)) == "a"


def test_a_slow_down_halves_what_was_under_way_and_good_answers_bring_it_back_one_a_round() -> None:
    pool = pool_of("a")
    leases = [taken(pool, 0) for _ in range(9)]
    pool.release(leases.pop(), failed(ErrorKind.RAMPED_TOO_FAST, 1), 10)
    halved = state_of(pool, "a").room
    # Those that were under way then say the same: it is one event.
    pool.release(leases.pop(), failed(ErrorKind.RAMPED_TOO_FAST, 1), 10)
    once = state_of(pool, "a").room
    while leases:
        pool.release(leases.pop(), ABANDONED, 10)
    at_once = [taken(pool, 20) for _ in range(4)]
    refused = pool.acquire(20, ASK)
    for lease in at_once:
        pool.release(lease, SUCCESS, 21)

    assert (halved, once) == (4.5, 4.5)
    assert refused is None
    assert 5 <= state_of(pool, "a").room <= 5.5


def test_a_slow_down_of_a_request_that_began_later_halves_again_down_to_one() -> None:
    pool = pool_of("a")
    for now in range(0, 100, 10):
        fail(pool, now, failed(ErrorKind.RAMPED_TOO_FAST, 1))

    assert state_of(pool, "a").room == 1
    assert name_of(pool.acquire(200, ASK)) == "a"
    assert pool.acquire(200, ASK) is None


def test_good_answers_do_not_lift_a_key_over_its_ceiling() -> None:
    pool = pool_of(Key("a", max_concurrency=2))
    fail(pool, 0, failed(ErrorKind.RAMPED_TOO_FAST, 1))
    for now in range(10, 30):
        fail(pool, now, SUCCESS)

    assert [name_of(pool.acquire(100, ASK)) for _ in range(3)] == ["a", "a", None]


# Rate limits


@pytest.mark.parametrize("seconds", [0.001, 0.25, 30.0, 3600.0])
def test_a_limited_key_cools_for_exactly_as_long_as_upstream_said(seconds: float) -> None:
    pool = after(ErrorKind.RATE_LIMITED, seconds)

    assert pool.acquire(100 + seconds - 0.0005, ASK) is None
    assert name_of(pool.acquire(100 + seconds, ASK)) == "a"


@pytest.mark.parametrize("kind", [ErrorKind.RATE_LIMITED, ErrorKind.SPEND_LIMIT, ErrorKind.WORKSPACE_LIMIT])
@pytest.mark.parametrize("seconds", [3_601.0, 72 * 365 * 86_400.0, 1e300])
def test_whatever_upstream_seems_to_say_one_request_tries_within_an_hour(kind: ErrorKind, seconds: float) -> None:
    pool = after(kind, seconds)

    assert pool.acquire(100 + LONGEST_TOLD_SECONDS - 1, ASK) is None
    assert name_of(pool.acquire(100 + LONGEST_TOLD_SECONDS, ASK)) == "a"


@pytest.mark.parametrize("kind", [ErrorKind.SPEND_LIMIT, ErrorKind.WORKSPACE_LIMIT, ErrorKind.WORKSPACE_UNAVAILABLE])
def test_when_a_rest_is_over_one_request_tries_and_the_others_wait_for_what_it_shows(kind: ErrorKind) -> None:
    pool = pool_of(Key("a", organization="x", workspace="w"), Key("b", organization="x", workspace="w"))
    fail(pool, 100, failed(kind))

    trial = taken(pool, 101)
    assert pool.acquire(101, ASK) is None
    pool.release(trial, failed(kind), 101)
    assert pool.acquire(102.9, ASK) is None

    trial = taken(pool, 103)
    pool.answered(trial, {}, 103.5)
    assert len({name_of(pool.acquire(103.5, ASK)) for _ in range(2)}) == 2


def test_a_trial_that_shows_nothing_makes_room_for_another() -> None:
    pool = after(ErrorKind.SPEND_LIMIT)
    trial = taken(pool, 101)
    pool.release(trial, ABANDONED, 101.5)

    assert name_of(pool.acquire(101.5, ASK)) == "a"
    # One that says nothing at all does not keep others from trying.
    assert pool.acquire(111, ASK) is None
    assert name_of(pool.acquire(111.5, ASK)) == "a"


def test_a_workspace_rests_alone() -> None:
    pool = pool_of(
        Key("a", organization="x", workspace="v"),
        Key("b", organization="x", workspace="v"),
        Key("c", organization="x", workspace="w"),
    )
    fail(pool, 100, failed(ErrorKind.WORKSPACE_UNAVAILABLE), only="a")

    assert {name_of(pool.acquire(100.5, ASK)) for _ in range(4)} == {"c"}
    assert pool.why_none(100.5, ASK, exclude=frozenset("c")) == (ErrorKind.WORKSPACE_UNAVAILABLE, 0.5)


def test_a_key_that_is_doubted_serves_on_and_is_asked_about_at_once() -> None:
    pool = after(ErrorKind.NOT_PERMITTED)

    assert name_of(pool.acquire(100, ASK)) == "a"
    assert pool.due_probes(100) == ["a"]
    assert pool.due_probes(200) == []


def test_a_doubted_key_that_a_probe_confirms_is_rejected() -> None:
    pool = after(ErrorKind.NOT_PERMITTED, None, "b")
    assert pool.due_probes(100) == ["a"]
    pool.probed("a", is_well=False, now=100.5)

    assert {name_of(pool.acquire(100.5, ASK)) for _ in range(4)} == {"b"}
    assert pool.due_probes(101.5) == ["a"]


@pytest.mark.parametrize("is_well", [True, None])
def test_a_doubted_key_that_is_found_well_is_not_asked_about_again_soon(is_well: bool | None) -> None:
    pool = after(ErrorKind.NOT_PERMITTED)
    assert pool.due_probes(100) == ["a"]
    pool.probed("a", is_well=is_well, now=100)
    for number in range(40):
        fail(pool, 100 + number / 10, failed(ErrorKind.NOT_PERMITTED))

        assert pool.due_probes(100 + number / 10) == []
    assert pool.due_probes(106) == ["a"]


def test_an_answer_ends_a_doubt() -> None:
    pool = after(ErrorKind.NOT_PERMITTED)
    fail(pool, 100, SUCCESS)

    assert pool.due_probes(1000) == []


def test_a_key_that_has_just_answered_is_not_rejected_for_what_one_request_was_refused() -> None:
    pool = after(ErrorKind.NOT_PERMITTED)
    fail(pool, 100, SUCCESS)
    fail(pool, 101, failed(ErrorKind.NOT_PERMITTED))
    assert pool.due_probes(101) == ["a"]
    pool.probed("a", is_well=False, now=102)

    assert name_of(pool.acquire(102, ASK)) == "a"
    assert pool.due_probes(102 + PROBE_AGAIN_SECONDS) == ["a"]
    pool.probed("a", is_well=False, now=200)
    assert pool.acquire(200, ASK) is None


def test_a_key_that_refuses_request_after_request_comes_after_the_others_until_it_answers() -> None:
    pool = pool_of("a", "b")
    for _ in range(3):
        fail(pool, 100, failed(ErrorKind.NOT_PERMITTED), only="a")
    assert {name_of(pool.acquire(100.5, ASK)) for _ in range(4)} == {"b"}
    assert name_of(pool.acquire(100.5, ASK, exclude=frozenset("b"))) == "a"
    fail(pool, 100.6, SUCCESS, only="a")

    assert {name_of(pool.acquire(100.7, ASK)) for _ in range(20)} == {"a", "b"}


def test_a_401_right_after_an_answer_is_looked_into_at_once() -> None:
    pool = pool_of("a")
    fail(pool, 100, SUCCESS)
    fail(pool, 101, failed(ErrorKind.KEY_REJECTED))
    assert pool.acquire(101, ASK) is None
    assert pool.due_probes(101) == ["a"]
    pool.probed("a", is_well=True, now=101.1)

    # It was one refusal among answers: there is nothing to be tried out.
    assert [name_of(pool.acquire(101.1, ASK)) for _ in range(2)] == ["a", "a"]
    fail(pool, 101.2, failed(ErrorKind.KEY_REJECTED))
    assert pool.due_probes(102) == []


def test_a_refusal_of_a_model_that_was_just_served_takes_it_from_nobody() -> None:
    pool = pool_of("a")
    fail(pool, 100, SUCCESS)
    fail(pool, 130, failed(ErrorKind.MODEL_REFUSED))
    assert name_of(pool.acquire(130, ASK)) == "a"
    fail(pool, 161, failed(ErrorKind.MODEL_REFUSED))

    assert pool.acquire(161, ASK) is None


def test_a_limit_concerns_one_class_of_models_only() -> None:
    pool = after(ErrorKind.RATE_LIMITED, 30)

    assert pool.acquire(101, ASK) is None
    assert pool.acquire(101, LeaseRequest("claude-sonnet-5")) is None
    assert name_of(pool.acquire(101, LeaseRequest(OTHER))) == "a"


def test_a_limit_without_a_time_still_cools() -> None:
    pool = after(ErrorKind.RATE_LIMITED)

    assert pool.acquire(100 + DEFAULT_COOLING_SECONDS - 0.001, ASK) is None
    assert pool.acquire(100 + DEFAULT_COOLING_SECONDS, ASK) is not None


def test_a_shorter_limit_does_not_shorten_a_longer_one() -> None:
    pool = pool_of("a")
    first, second = taken(pool, 0), taken(pool, 0)
    pool.release(first, failed(ErrorKind.RATE_LIMITED, 60), 0)
    pool.release(second, failed(ErrorKind.RATE_LIMITED, 1), 0)

    assert pool.acquire(59, ASK) is None


def test_success_of_a_request_under_way_does_not_end_a_limit() -> None:
    pool = pool_of("a")
    first, second = taken(pool, 0), taken(pool, 0)
    pool.release(first, failed(ErrorKind.RATE_LIMITED, 60), 0)
    pool.release(second, SUCCESS, 1)

    assert pool.acquire(30, ASK) is None


# Refusals


@pytest.mark.parametrize("kind", KEY_BLAMES)
@each_strategy
def test_a_rejected_key_is_never_chosen_until_a_probe_succeeds(kind: ErrorKind, strategy: StrategyName) -> None:
    pool = pool_of("a", strategy=strategy)
    fail(pool, 100, failed(kind), only="a")
    years_later = 1e9

    assert pool.acquire(100, ASK) is None
    assert pool.acquire(years_later, LeaseRequest(OTHER)) is None
    assert pool.due_probes(years_later) == ["a"]
    pool.probed("a", is_well=False, now=years_later)
    assert pool.acquire(2 * years_later, ASK) is None
    assert pool.due_probes(2 * years_later) == ["a"]
    pool.probed("a", is_well=True, now=2 * years_later)
    assert name_of(pool.acquire(2 * years_later, ASK)) == "a"


def test_success_of_a_request_under_way_does_not_bring_a_rejected_key_back() -> None:
    pool = pool_of("a")
    straggler = taken(pool, 0)
    fail(pool, 1, failed(ErrorKind.KEY_REJECTED))
    pool.release(straggler, SUCCESS, 2)

    assert pool.acquire(1000, ASK) is None


def test_a_key_that_a_probe_found_well_serves_one_request_at_a_time_until_one_succeeds() -> None:
    pool = after(ErrorKind.KEY_REJECTED)
    pool.probed("a", is_well=True, now=200)
    trial = taken(pool, 200)
    meanwhile = pool.acquire(200, ASK)
    pool.release(trial, ABANDONED, 201)
    again = taken(pool, 201)
    still = pool.acquire(201, ASK)
    pool.release(again, SUCCESS, 202)

    assert (meanwhile, still) == (None, None)
    assert [name_of(pool.acquire(203, ASK)) for _ in range(3)] == ["a"] * 3


def test_probes_are_given_out_once_and_come_due_later_with_each_refusal() -> None:
    pool = after(ErrorKind.KEY_REJECTED)
    now, waits = 100.0, []
    for _ in range(12):
        began = now
        while not pool.due_probes(now):
            now += 0.5
        assert pool.due_probes(now) == []
        pool.probed("a", is_well=False, now=now)
        waits.append(now - began)

    assert waits[:3] == [1, 2, 4]
    assert all(later >= earlier for earlier, later in pairwise(waits))
    assert waits[-1] == LONGEST_BACKOFF_SECONDS


def test_a_refusal_of_the_trial_after_a_probe_rests_longer_than_the_first_one() -> None:
    pool = after(ErrorKind.KEY_REJECTED)
    pool.probed("a", is_well=True, now=101)
    fail(pool, 101, failed(ErrorKind.KEY_REJECTED))

    assert pool.due_probes(102.5) == []
    assert pool.due_probes(103) == ["a"]


def test_success_makes_a_refused_key_as_good_as_new() -> None:
    pool = after(ErrorKind.KEY_REJECTED)
    for now in (1000, 2000, 3000):
        pool.probed("a", is_well=False, now=now)
    pool.probed("a", is_well=True, now=4000)
    fail(pool, 4000, SUCCESS)
    fail(pool, 5000, failed(ErrorKind.KEY_REJECTED))

    assert pool.due_probes(5001) == ["a"]


def test_a_probe_of_a_key_that_is_gone_or_well_changes_nothing() -> None:
    pool = after(ErrorKind.KEY_REJECTED, None, "b")
    pool.update([Key("b")])
    pool.probed("a", is_well=True, now=200)
    pool.probed("b", is_well=False, now=200)

    assert name_of(pool.acquire(200, ASK)) == "b"
    assert pool.due_probes(1e9) == []


@each_strategy
def test_a_key_that_is_well_again_is_found_among_others(strategy: StrategyName) -> None:
    pool = pool_of("a", "b", strategy=strategy)
    for _ in range(20):
        fail(pool, 0, SUCCESS)
    fail(pool, 0, failed(ErrorKind.KEY_REJECTED), only="a")
    for _ in range(20):
        fail(pool, 0, SUCCESS)
    pool.probed("a", is_well=True, now=400)
    fail(pool, 400, SUCCESS, only="b")

    assert name_of(pool.acquire(400, ASK, exclude=frozenset("b"))) == "a"


def test_a_model_that_a_key_may_not_use_rests_for_that_key_only() -> None:
    pool = after(ErrorKind.MODEL_REFUSED, None, "b")

    assert {name_of(pool.acquire(100.5, ASK)) for _ in range(4)} == {"b"}
    assert name_of(pool.acquire(100.5, LeaseRequest(OTHER), exclude=frozenset("b"))) == "a"
    assert name_of(pool.acquire(101, ASK, exclude=frozenset("b"))) == "a"


def test_a_spend_limit_takes_all_keys_of_the_organization_out_until_its_time() -> None:
    an_hour = 3600.0
    pool = pool_of(Key("a", organization="x"), Key("b", organization="x"), Key("c", organization="y"))
    fail(pool, 0, failed(ErrorKind.SPEND_LIMIT, an_hour), only="a")

    assert {name_of(pool.acquire(an_hour - 0.001, LeaseRequest(model))) for model in (MODEL, OTHER)} == {"c"}
    assert pool.acquire(an_hour - 0.001, ASK, exclude=frozenset("c")) is None
    assert pool.why_none(0, ASK, exclude=frozenset("c")) == (ErrorKind.SPEND_LIMIT, an_hour)
    assert pool.acquire(an_hour, ASK, exclude=frozenset("c")) is not None


@pytest.mark.parametrize("kind", NOBODYS, ids=lambda kind: kind.name)
def test_a_failure_that_is_nobodys_fault_rests_nobody(kind: ErrorKind) -> None:
    assert name_of(after(kind).acquire(100, ASK)) == "a"


def test_an_abandoned_attempt_teaches_nothing() -> None:
    pool = after(ErrorKind.KEY_REJECTED)
    pool.probed("a", is_well=True, now=400)
    fail(pool, 400, ABANDONED)
    fail(pool, 400, failed(ErrorKind.KEY_REJECTED))

    # It was no success: the second refusal counts as the second in a row.
    assert pool.due_probes(401.5) == []


def test_names_of_models_that_callers_invent_do_not_fill_the_memory() -> None:
    pool = pool_of("a")
    for number in range(2000):
        fail(pool, 0, failed(ErrorKind.MODEL_REFUSED), lease_request=LeaseRequest(f"invented-{number}"))
        fail(pool, 0, failed(ErrorKind.UPSTREAM_ERROR), lease_request=LeaseRequest(f"broken-{number}"))

    state = state_of(pool, "a")
    assert len(state.model_backoffs) <= 256
    assert len(state.host.classes) <= 256
    assert len(state.organization.limits_by_class) <= 256


# Why none


def test_the_reason_is_the_most_hopeful_one_and_its_time_is_true() -> None:
    pool = pool_of("a", "b")
    fail(pool, 0, failed(ErrorKind.KEY_REJECTED), only="a")
    fail(pool, 0, failed(ErrorKind.RATE_LIMITED, 7), only="b")

    assert pool.why_none(1, ASK) == (ErrorKind.RATE_LIMITED, 6)
    assert pool.why_none(1, ASK, exclude=frozenset("b"))[0] is ErrorKind.KEY_REJECTED


def test_a_long_limit_on_one_key_does_not_hide_that_another_is_ready_sooner() -> None:
    pool = pool_of(Key("a", host="x"), Key("b", host="y"))
    for _ in range(5):
        fail(pool, 0, failed(ErrorKind.UNREACHABLE), only="a")
    fail(pool, 0, failed(ErrorKind.RATE_LIMITED, 60), only="b")

    assert pool.why_none(0, ASK) == (ErrorKind.RATE_LIMITED, 1)
    assert name_of(pool.acquire(1, ASK)) == "a"


def test_a_busy_key_may_be_ready_at_any_moment_whatever_the_others_wait_for() -> None:
    pool = pool_of(Key("a", max_concurrency=1), "b")
    taken(pool, 0, only="a")
    fail(pool, 0, failed(ErrorKind.RATE_LIMITED, 60), only="b")

    assert pool.why_none(0, ASK) == (ErrorKind.RATE_LIMITED, float("inf"))
    assert pool.ready_at(0, ASK) == 60


def test_only_news_brings_a_rejected_key_back_so_no_time_is_told() -> None:
    assert after(ErrorKind.KEY_REJECTED).why_none(500, ASK) == (ErrorKind.KEY_REJECTED, float("inf"))


# Turns and weights

weights = st.lists(st.integers(1, 9), min_size=1, max_size=6)


def weighted(weights: list[int]) -> KeyPool:
    return pool_of(*(Key(str(number), weight) for number, weight in enumerate(weights)), strategy="weighted")


def served(pool: KeyPool, now: float, turns: int) -> "Counter[str]":
    """Who serves requests that come one after another."""
    chosen: Counter[str] = Counter()
    for _ in range(turns):
        lease = taken(pool, now)
        chosen[lease.key.name] += 1
        pool.release(lease, ABANDONED, now)
    return chosen


@given(weights=weights, rounds=st.integers(1, 5))
def test_over_whole_rounds_each_key_has_exactly_its_weight(weights: list[int], rounds: int) -> None:
    chosen = served(weighted(weights), 0, sum(weights) * rounds)

    assert [chosen[str(number)] for number in range(len(weights))] == [weight * rounds for weight in weights]


@given(weights=weights, turns=st.integers(1, 60))
def test_at_no_time_is_a_key_far_from_its_share(weights: list[int], turns: int) -> None:
    chosen = served(weighted(weights), 0, turns)

    for number, weight in enumerate(weights):
        assert abs(chosen[str(number)] - turns * weight / sum(weights)) < len(weights)


@given(weights=st.lists(st.integers(1, 9), min_size=2, max_size=6), data=st.data())
def test_the_turns_of_keys_that_rest_go_to_all_others_by_their_weight(weights: list[int], data: st.DataObject) -> None:
    pool = weighted(weights)
    resting = data.draw(st.integers(1, len(weights) - 1))
    for number in range(resting):
        fail(pool, 0, failed(ErrorKind.RATE_LIMITED, 1000), only=str(number))

    total = sum(weights[resting:])
    chosen = served(pool, 1, total * 10)

    for number, weight in enumerate(weights[resting:], start=resting):
        assert abs(chosen[str(number)] - weight * 10) < len(weights) + max(weights)


@given(weights=st.lists(st.integers(1, 9), min_size=2, max_size=5), tries=st.integers(1, 200))
def test_asking_in_vain_costs_nobody_a_turn(weights: list[int], tries: int) -> None:
    pool = weighted(weights)
    for number in range(len(weights)):
        fail(pool, 0, failed(ErrorKind.RATE_LIMITED, 10), only=str(number))
    for _ in range(tries):
        assert pool.acquire(1, ASK) is None

    chosen = served(pool, 20, sum(weights) * 10)

    for number, weight in enumerate(weights):
        assert abs(chosen[str(number)] - weight * 10) <= weight + len(weights)


def test_a_host_that_is_suspect_does_not_change_the_shares_of_its_keys() -> None:
    pool = weighted([9, 1])
    fail(pool, 0, failed(ErrorKind.UNREACHABLE), only="0")

    assert served(pool, 1, 100)["1"] in range(8, 13)


def test_a_key_that_comes_back_does_not_make_up_for_its_rest() -> None:
    pool = weighted([1, 1])
    fail(pool, 100, failed(ErrorKind.RATE_LIMITED, 30), only="0")
    assert served(pool, 101, 100) == {"1": 100}

    assert served(pool, 131, 10)["0"] <= 6


@each_strategy
def test_a_key_that_was_alone_is_still_found_beside_another(strategy: StrategyName) -> None:
    pool = pool_of("a", strategy=strategy)
    lease = taken(pool, 0)
    pool.update([Key("a"), Key("b")])
    beside = {name_of(pool.acquire(0, ASK)) for _ in range(4)}
    pool.release(lease, SUCCESS, 1)

    assert beside == {"a", "b"}


def test_a_new_key_does_not_make_up_for_the_turns_that_others_had() -> None:
    pool = weighted([1])
    served(pool, 0, 100)
    pool.update([Key("0", 2), Key("1", 1)])

    assert served(pool, 0, 30) == {"0": 20, "1": 10}


@pytest.mark.parametrize(("before", "now"), [(9, 1), (1, 9)])
@each_strategy
def test_a_new_weight_holds_from_now_on(before: int, now: int, strategy: StrategyName) -> None:
    pool = pool_of(Key("a", before), Key("b", 1), strategy=strategy)
    served(pool, 0, 1000)
    pool.update([Key("a", now), Key("b", 1)])
    chosen = served(pool, 0, 100)

    if strategy == "weighted":
        assert chosen["a"] in range(100 * now // (now + 1) - 2, 100 * now // (now + 1) + 3)
    else:
        assert min(chosen.values()) >= 5 or now == 9


@each_strategy
def test_another_strategy_finds_every_key(strategy: StrategyName) -> None:
    keys = [Key(name, workspace="one") for name in "abc"]
    pool = pool_of(*keys, strategy="weighted")
    fail(pool, 0, failed(ErrorKind.RATE_LIMITED, 5), only="a")
    for _ in range(9):
        pool.release(taken(pool, 1), SUCCESS, 1)
    pool.update(keys, PoolSettings(strategy))

    for name in "abc":
        taken(pool, 10, LeaseRequest(MODEL, prefix=b"p"), only=name)


# Live changes


def test_keys_that_stay_keep_what_was_learned_and_those_with_another_secret_do_not() -> None:
    pool = after(ErrorKind.KEY_REJECTED, None, "b")
    pool.update([Key("a"), Key("c")])
    still = {name_of(pool.acquire(100, ASK)) for _ in range(4)}
    pool.update([Key("a", mark=b"new"), Key("c")])

    assert still == {"c"}
    assert name_of(pool.acquire(100, ASK, exclude=frozenset("c"))) == "a"


@pytest.mark.parametrize("change", [{"mark": b"new"}, {"host": "y"}, {"organization": "y"}, {"workspace": "y"}])
def test_a_refusal_of_what_a_key_was_says_nothing_of_what_it_is(change: dict[str, object]) -> None:
    pool = pool_of("a")
    lease = taken(pool, 100)
    pool.update([Key("a", **change)])  # type: ignore[arg-type]
    pool.release(lease, failed(ErrorKind.KEY_REJECTED), 100)

    assert name_of(pool.acquire(100, ASK)) == "a"


def test_a_key_that_goes_finishes_its_leases() -> None:
    pool = pool_of("a")
    leases = [taken(pool, 0) for _ in range(2)]
    pool.update([Key("b")])
    assert (pool.in_flight, {*pool.leaving}, len(pool)) == (2, {"a"}, 1)
    assert {name_of(pool.acquire(0, ASK)) for _ in range(3)} == {"b"}
    pool.release(leases[0], SUCCESS, 1)
    pool.release(leases[1], failed(ErrorKind.KEY_REJECTED), 1)

    assert (pool.in_flight, {*pool.leaving}) == (3, set())


def test_keys_are_reported_in_the_order_of_the_configuration() -> None:
    pool = pool_of("a", "b")
    pool.update([Key("c"), Key("b"), Key("a")])

    assert [state.key.name for state in pool.states] == ["c", "b", "a"]


def test_lower_priorities_are_filled_first_and_overflow_to_the_next() -> None:
    pool = pool_of(
        Key("late", priority=2),
        Key("first", priority=0, max_concurrency=2),
        Key("second", priority=1, max_concurrency=1),
        strategy="priority",
    )

    assert [name_of(pool.acquire(0, ASK)) for _ in range(5)] == ["first", "first", "second", "late", "late"]


def test_the_least_busy_key_for_its_weight_comes_first() -> None:
    pool = pool_of(Key("a", 3), Key("b", 1), strategy="least_busy")

    assert Counter(name_of(pool.acquire(0, ASK)) for _ in range(8)) == {"a": 6, "b": 2}
