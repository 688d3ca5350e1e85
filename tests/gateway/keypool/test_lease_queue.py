"""The queue: bounded, in turn between callers, oldest first within one; everybody is served in the end."""

import math
from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given

from gateway.keypool import ABANDONED, SUCCESS, Key, KeyPool, Lease, LeaseQueue, LeaseRequest, Outcome
from tests.support.pools import ASK, MODEL, OTHER, SIBLING, fail, failed, head, meet, pool_of, taken
from translators.errors import ErrorKind
from translators.usage import Usage


def full_pool(room: int = 1) -> tuple[KeyPool, list[Lease]]:
    """A pool all of whose room is taken."""
    pool = pool_of(Key("a", max_concurrency=room))
    return pool, [taken(pool, 0) for _ in range(room)]


def asks(caller: str, model: str = MODEL, tokens: int = 0) -> LeaseRequest:
    return LeaseRequest(model, tokens, caller=caller)


def names(served: list[tuple[str, Lease]]) -> list[str]:
    return [waiter for waiter, _ in served]


def test_there_is_room_for_so_many_and_no_more() -> None:
    pool, _ = full_pool()
    queue: LeaseQueue[str] = LeaseQueue(pool, 2)

    assert [queue.join(name, ASK) for name in "abc"] == [True, True, False]
    queue.leave("a")
    assert queue.join("c", ASK)
    assert len(queue) == 2


def test_nobody_is_served_before_a_key_is_ready() -> None:
    pool, leases = full_pool()
    queue: LeaseQueue[str] = LeaseQueue(pool, 9)
    queue.join("a", ASK)
    before = queue.serve(1)
    pool.release(leases[0], SUCCESS, 2)

    assert before == []
    assert names(queue.serve(2)) == ["a"]
    assert (len(queue), queue.has_queue(ASK)) == (0, False)


def test_whoever_leaves_leaves_at_once_and_may_leave_twice() -> None:
    pool, leases = full_pool()
    queue: LeaseQueue[str] = LeaseQueue(pool, 9)
    for name in "abc":
        queue.join(name, ASK)
    queue.leave("b")
    queue.leave("b")
    queue.leave("stranger")
    pool.release(leases[0], SUCCESS, 1)
    first = queue.serve(1)
    pool.release(first[0][1], SUCCESS, 2)

    assert names(first + queue.serve(2)) == ["a", "c"]


def test_callers_are_served_in_turn_and_within_one_the_oldest_first() -> None:
    pool, leases = full_pool(5)
    queue: LeaseQueue[str] = LeaseQueue(pool, 9)
    for name in ("a1", "a2", "a3", "b1", "c1", "b2"):
        queue.join(name, asks(name[0]))
    for lease in leases:
        pool.release(lease, SUCCESS, 1)

    assert names(queue.serve(1)) == ["a1", "b1", "c1", "a2", "b2"]


def test_a_caller_who_comes_back_goes_behind_the_others() -> None:
    pool, (lease,) = full_pool()
    queue: LeaseQueue[str] = LeaseQueue(pool, 9)
    queue.join("a1", asks("a"))
    queue.join("b1", asks("b"))
    order = []
    for number in range(2, 6):
        pool.release(lease, SUCCESS, number)
        ((waiter, lease),) = queue.serve(number)
        order.append(waiter)
        queue.join(f"{waiter[0]}{number}", asks(waiter[0]))

    assert [name[0] for name in order] == ["a", "b", "a", "b"]


def test_a_large_request_is_not_overtaken_by_small_ones() -> None:
    pool = pool_of("a")
    meet(pool, 0, head("o", input_tokens=(60_000, 10_000)))
    queue: LeaseQueue[str] = LeaseQueue(pool, 9)
    queue.join("large", asks("a", tokens=40_000))
    queue.join("small", asks("b", tokens=10))

    assert queue.serve(1) == []
    assert 30 < queue.wake_at() < 35
    assert names(queue.serve(queue.wake_at())) == ["large"]


def test_the_line_moves_on_when_the_large_request_in_front_leaves() -> None:
    pool = pool_of("a")
    meet(pool, 0, head("o", input_tokens=(60_000, 10_000)))
    queue: LeaseQueue[str] = LeaseQueue(pool, 9)
    queue.join("large", asks("a", tokens=40_000))
    queue.join("small", asks("b", tokens=10))
    queue.serve(1)
    queue.leave("large")

    assert names(queue.serve(1)) == ["small"]


def test_classes_of_models_do_not_wait_for_one_another() -> None:
    pool = pool_of("a")
    fail(pool, 0, failed(ErrorKind.RATE_LIMITED, 60))
    queue: LeaseQueue[str] = LeaseQueue(pool, 9)
    queue.join("sonnet", asks("a"))
    queue.join("haiku", asks("a", OTHER))

    assert not queue.has_queue(asks("b", "claude-opus-5"))
    assert names(queue.serve(1)) == ["haiku"]
    assert queue.has_queue(asks("b"))
    assert queue.wake_at() == 60
    assert names(queue.serve(60)) == ["sonnet"]


def test_who_waits_for_certain_keys_only_lets_others_pass_who_can_use_the_rest() -> None:
    pool = pool_of("a", "b")
    fail(pool, 0, failed(ErrorKind.RATE_LIMITED, 60), only="a")
    queue: LeaseQueue[str] = LeaseQueue(pool, 9)
    queue.join("only a", asks("x"), exclude=frozenset("b"))
    queue.join("any", asks("y"))

    assert names(queue.serve(1)) == ["any"]
    assert queue.wake_at() == 60


def test_who_waits_for_a_model_that_was_refused_lets_those_pass_who_want_another_of_its_class() -> None:
    pool = pool_of("a")
    fail(pool, 0, failed(ErrorKind.MODEL_REFUSED), lease_request=asks("x", SIBLING))
    queue: LeaseQueue[str] = LeaseQueue(pool, 9)
    queue.join("refused", asks("x", SIBLING))
    queue.join("other", asks("y"))

    assert names(queue.serve(0)) == ["other"]
    assert queue.wake_at() == 1
    assert names(queue.serve(1)) == ["refused"]


@pytest.mark.parametrize("caller", ["x", "y"])
def test_who_waits_for_the_key_that_has_its_model_lets_those_pass_who_can_use_the_others(caller: str) -> None:
    pool = pool_of("a", "b")
    fail(pool, 0, failed(ErrorKind.MODEL_REFUSED), only="a", lease_request=asks("x", SIBLING))
    fail(pool, 0.5, failed(ErrorKind.RATE_LIMITED, 60), only="b")
    queue: LeaseQueue[str] = LeaseQueue(pool, 9)
    queue.join("only b", asks("x", SIBLING))
    queue.join("only b, too", asks("x", SIBLING))
    queue.join("any", asks(caller))

    assert names(queue.serve(0.75)) == ["any"]
    assert queue.wake_at() == 1


def test_a_full_line_of_those_who_wait_for_their_model_does_not_keep_others_from_idle_keys() -> None:
    pool = pool_of("a", "b")
    fail(pool, 0, failed(ErrorKind.MODEL_REFUSED), only="a", lease_request=asks("x", SIBLING))
    fail(pool, 0, failed(ErrorKind.RATE_LIMITED, 60), only="b")
    queue: LeaseQueue[str] = LeaseQueue(pool, 1)
    queue.join("only b", asks("x", SIBLING))
    before = queue.has_queue(asks("y"))
    queue.serve(0.5)
    after = queue.has_queue(asks("y"))
    pool.update([Key("a"), Key("b")])

    assert (before, after) == (True, False)
    # What is new is for those first who are there.
    assert queue.has_queue(asks("y"))


def test_a_long_line_of_those_who_were_refused_by_a_key_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pool_of("a", "b")
    fail(pool, 0, failed(ErrorKind.RATE_LIMITED, 60), only="a")
    queue: LeaseQueue[str] = LeaseQueue(pool, 99)
    for number in range(50):
        queue.join(f"only a {number}", asks(f"x{number}"), exclude=frozenset("b"))
    queue.join("any", asks("y"))
    looked_for: list[str] = []
    ready_at = pool.ready_at

    def noted(now: float, lease_request: LeaseRequest, exclude: frozenset[str]) -> float:
        looked_for.append(lease_request.caller)
        return ready_at(now, lease_request, exclude)

    monkeypatch.setattr(pool, "ready_at", noted)

    assert names(queue.serve(1)) == ["any"]
    assert len(looked_for) <= 2
    assert queue.wake_at() == 60


def test_the_line_is_woken_by_whichever_key_is_ready_first() -> None:
    pool = pool_of(Key("a", max_concurrency=1, host="x"), Key("b", host="y"))
    taken(pool, 0, only="a")
    for _ in range(5):
        fail(pool, 0, failed(ErrorKind.UNREACHABLE), only="b")
    queue: LeaseQueue[str] = LeaseQueue(pool, 9)
    queue.join("w", ASK)

    assert queue.serve(0) == []
    assert queue.wake_at() == 1
    assert names(queue.serve(1)) == ["w"]


def test_no_alarm_is_set_where_only_news_can_help() -> None:
    pool = pool_of("a")
    fail(pool, 0, failed(ErrorKind.KEY_REJECTED))
    queue: LeaseQueue[str] = LeaseQueue(pool, 9)
    queue.join("w", ASK)
    queue.serve(500)
    rejected = queue.wake_at()
    pool.update([])
    queue.serve(501)
    empty = queue.wake_at()
    pool.update([Key("b")])

    assert (rejected, empty) == (math.inf, math.inf)
    assert names(queue.serve(502)) == ["w"]


def test_who_waits_at_a_cache_is_woken_by_news_that_come_right_after_a_look() -> None:
    pool = pool_of(Key("a", max_concurrency=1))
    warm = LeaseRequest(MODEL, 10_000, b"prefix", "x")
    usage = Usage(cache_read_tokens=9_000, output_tokens=1)
    meet(pool, 0, head("o", "w", input_tokens=(600_000, 500)), lease_request=warm, outcome=Outcome.success(usage))
    queue: LeaseQueue[str] = LeaseQueue(pool, 9)
    assert queue.join("warm", warm, sticky_wait=pool.sticky_wait(0.1, warm))
    queue.serve(0.1)
    # Another one takes the only place, and gives it back in the moment after the queue was looked at.
    other = taken(pool, 2)
    pool.answered(other, {}, 3)
    before = (queue.serve(3), queue.wake_at())
    pool.release(other, SUCCESS, 3.001)
    after, wake_at = queue.serve(3.001), queue.wake_at()

    assert before == ([], math.inf)
    assert after or wake_at < 3.1
    assert names(after + queue.serve(wake_at)) == ["warm"]
    assert queue.wake_at() == math.inf


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5_000)), min_size=1, max_size=30), st.integers(1, 3))
def test_everybody_is_served_in_the_end_and_in_a_fair_order(who: list[tuple[str, int]], room: int) -> None:
    pool = pool_of(Key("k", max_concurrency=room))
    meet(pool, 0, head("o", requests=(50, 25), input_tokens=(20_000, 3_000)))
    queue: LeaseQueue[int] = LeaseQueue(pool, len(who))
    for number, (caller, tokens) in enumerate(who):
        assert queue.join(number, asks(caller, tokens=tokens))
    now, order, out = 0.0, [], []
    while len(queue):
        for waiter, lease in queue.serve(now):
            order.append(waiter)
            out.append(lease)
        while out:
            pool.release(out.pop(), ABANDONED, now)
        if queue.wake_at() < math.inf:
            assert queue.wake_at() > now
            now = queue.wake_at()
        else:
            now += 1
        assert now < 86_400

    callers = [who[number][0] for number in order]
    for caller in "abc":
        own = [number for number in order if who[number][0] == caller]
        assert own == sorted(own)
    for place, (caller, following) in enumerate(pairwise(callers)):
        # Served twice in a row is only who waits alone.
        assert caller != following or set(callers[place + 1 :]) == {caller}
    assert pool.in_flight == 0
