"""Buckets that are read from answers: what is in flight is reserved, what is nearly empty is paced, not hit."""

import math

import hypothesis.strategies as st
import pytest
from hypothesis import given
from hypothesis.strategies import DataObject

from gateway.keypool import ABANDONED, SUCCESS, Key, Lease, LeaseRequest, Outcome
from gateway.keypool.backoff import LONGEST_TOLD_SECONDS
from gateway.keypool.bucket import MOST_OWED_SECONDS, Bucket
from gateway.keypool.rate_limits import RateLimits, Reservation
from tests.support.pools import (
    ASK,
    MODEL,
    OTHER,
    SIBLING,
    fail,
    failed,
    head,
    meet,
    name_of,
    pool_of,
    state_of,
    taken,
)
from translators.errors import RULES, Blame, ErrorKind
from translators.usage import Usage

MARGIN = 0.02
# What is owed, and a whole bucket.
LONGEST_REFILL = MOST_OWED_SECONDS + 60
# Sums of floats: a moment that was foretold may be off by that much.
ROUNDING = 1e-3


def told(headers: dict[str, str], now: float = 100.0, share: float = 1.0) -> RateLimits:
    """Rate limits after one answer without a prompt."""
    rate_limits = RateLimits(share)
    rate_limits.give_back(reserved(rate_limits, 0).output_tokens)
    rate_limits.answered(0, headers, now)
    return rate_limits


def reserved(rate_limits: RateLimits, input_tokens: int) -> Reservation:
    reservation = Reservation(100.0)
    rate_limits.reserve(reservation, input_tokens)
    return reservation


def pending(rate_limits: RateLimits) -> tuple[int, int, int]:
    return rate_limits.in_flight, rate_limits._pending_input, rate_limits._pending_output


# One bucket


def test_a_bucket_refills_steadily_and_not_beyond_its_limit() -> None:
    bucket = Bucket()
    bucket.tell(60, 100, 10, 0)

    assert bucket.seconds_until(48, 0) == 40
    assert bucket.seconds_until(48, 30) == 10
    assert bucket.seconds_until(48, 40) == 0
    assert bucket.seconds_until(0, 1e9) == 0
    assert bucket.level == 100


def test_what_is_more_than_the_whole_bucket_waits_until_it_is_full_and_no_longer() -> None:
    bucket = Bucket()
    bucket.tell(60, 100, 0, 0)

    assert bucket.seconds_until(1_000_000, 0) == 100
    assert bucket.seconds_until(1_000_000, 99) == 1
    assert bucket.seconds_until(1_000_000, 100) == 0


@given(
    limit=st.integers(1, 10**7),
    part=st.floats(-1, 1),
    cost=st.floats(0, 2e7),
    start=st.floats(0, 1e9),
    filled=st.floats(0.01, 1),
)
def test_the_foretold_moment_is_neither_early_nor_late(
    limit: int, part: float, cost: float, start: float, filled: float
) -> None:
    bucket = Bucket()
    bucket.tell(limit, limit * filled, part * limit * filled, start)
    wait = bucket.seconds_until(cost, start)

    assert bucket.seconds_until(cost, start + wait) <= 1e-6 + 1e-9 * wait
    bucket.tell(limit, limit * filled, part * limit * filled, start)
    if wait > 0.002:
        assert bucket.seconds_until(cost, start + wait - 0.001) > 0


# Reading heads


def test_without_figures_everything_passes() -> None:
    assert told({}).ready_at(1e9, 100) == 100
    assert [bucket for bucket in told({}).buckets.values() if bucket is not None] == []


@pytest.mark.parametrize("kind", ["requests", "input", "output", "tokens"])
def test_each_bucket_paces(kind: str) -> None:
    heads = {
        "requests": head(requests=(60, 0)),
        "input": head(input_tokens=(6_000, 0)),
        "output": head(input_tokens=(6_000_000, 6_000_000), output_tokens=(6_000, 0)),
        "tokens": head(tokens=(60_000, 0)),
    }
    rate_limits = told(heads[kind])
    seconds = rate_limits.ready_at(500, 100) - 100

    needed = {"requests": 1 + 1.2, "input": (500 + 120) / 100, "output": (400 + 120) / 100, "tokens": 2_100 / 1_000}
    assert seconds == pytest.approx(needed[kind])


def test_the_slowest_bucket_decides() -> None:
    rate_limits = told(head(requests=(60, 0), input_tokens=(6_000, 0), output_tokens=(600, 0)))

    assert rate_limits.ready_at(500, 100) - 100 == pytest.approx((400 + 12) / 10)


def test_the_combined_bucket_counts_only_where_upstream_does_not_tell_input_and_output_apart() -> None:
    both = head(input_tokens=(60_000, 60_000), output_tokens=(60_000, 60_000), tokens=(120_000, 0))

    assert told(both).ready_at(500, 100) == 100
    assert told(head(tokens=(120_000, 0))).ready_at(500, 100) > 100
    assert told(both).buckets["tokens"] is None


def test_what_full_is_is_read_from_the_time_until_it_is_full() -> None:
    # At one a second 15 more are there after 15 s, and the moments are whole seconds.
    rate_limits = told(head(requests=(60, 5), full_in=15))
    assert rate_limits.requests is not None

    assert rate_limits.requests.capacity == 5 + 15 + 1
    assert rate_limits.requests.per_second == 1


def test_nothing_holds_more_than_its_limit() -> None:
    rate_limits = told(head(requests=(60, 30), full_in=500))
    assert rate_limits.requests is not None

    assert rate_limits.requests.capacity == 60


@pytest.mark.parametrize(
    "change",
    [
        {"date": "yesterday"},
        {"date": ""},
        {"date": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"},
        {"date": "Sat, 21 Nov 2026 10:00:00 +999999999999"},
        {"anthropic-ratelimit-requests-reset": "soon"},
        {"anthropic-ratelimit-requests-reset": ""},
        {"anthropic-ratelimit-requests-reset": "9999-12-31T23:59:59-23:59"},
    ],
    ids=lambda change: "-".join(map(str, *change.items())),
)
def test_a_time_that_cannot_be_read_leaves_the_limit_of_a_minute(change: dict[str, str]) -> None:
    rate_limits = told(head(requests=(60, 0), full_in=6) | change)
    assert rate_limits.requests is not None

    assert rate_limits.requests.level == 0
    assert rate_limits.requests.per_second <= 1


@pytest.mark.parametrize("what", ["limit", "remaining"])
@pytest.mark.parametrize("garbage", ["", "many", "-1", "1.5", "1e3", "²", "0x10", "9" * 400, "9" * 5000, " 5"])
def test_figures_that_cannot_be_read_leave_what_was_known(what: str, garbage: str) -> None:
    rate_limits = told(head(requests=(60, 30)))
    lease = reserved(rate_limits, 0)
    rate_limits.answered(
        lease.input_tokens, head(requests=(60, 0)) | {f"anthropic-ratelimit-requests-{what}": garbage}, 100
    )
    assert rate_limits.requests is not None

    # The second request is counted, as far as we know.
    assert (rate_limits.requests.limit, rate_limits.requests.level) == (60, 29)


def test_a_limit_of_nothing_is_no_bucket() -> None:
    headers = head(requests=(60, 0)) | {"anthropic-ratelimit-requests-limit": "0"}

    assert told(headers).requests is None


names = st.sampled_from([*head("o", "w", requests=(1, 1), input_tokens=(1, 1), output_tokens=(1, 1), tokens=(1, 1))])
values = st.text(max_size=30) | st.sampled_from(["0", "1", "50", "9" * 30, "2026-11-21T10:00:00Z"])


@given(st.lists(st.dictionaries(names, values, max_size=14), max_size=5))
def test_any_headers_leave_an_allowance_that_gives_a_time(heads: list[dict[str, str]]) -> None:
    pool = pool_of("a")
    now = 0.0
    for headers in heads:
        lease = pool.acquire(now, ASK)
        if lease is None:
            now = pool.ready_at(now, ASK)
            assert now < math.inf
            lease = taken(pool, now + 1e-6)
        pool.answered(lease, headers, now)
        pool.release(lease, SUCCESS, now)

    assert pool.in_flight == 0


# Debts


def test_a_reservation_that_no_minute_can_hold_keeps_others_waiting_for_minutes_not_for_hours() -> None:
    pool = pool_of("a")
    meet(pool, 0, head("o", "w", input_tokens=(30_000, 30_000)))
    taken(pool, 60, LeaseRequest(MODEL, 1_000_000))

    assert pool.why_none(60, LeaseRequest(MODEL, 10))[1] == pytest.approx(MOST_OWED_SECONDS, rel=0.01)
    assert pool.acquire(60 + MOST_OWED_SECONDS + 60, LeaseRequest(MODEL, 10)) is not None


def test_figures_that_no_answer_can_have_keep_nobody_waiting_for_longer() -> None:
    """One answer that said it had 10**12 tokens once made callers be told to come back in five days."""
    pool = pool_of("a")
    limits = head("o", "w", output_tokens=(800_000, 800_000), input_tokens=(4_000_000, 4_000_000))
    now = 0.0
    for output_tokens in (10**12, *[6] * 42):
        now += pool.why_none(now, ASK)[1] + ROUNDING
        meet(pool, now, limits, outcome=Outcome.success(Usage(output_tokens=output_tokens)))
    now += pool.why_none(now, ASK)[1] + ROUNDING
    taken(pool, now)

    assert pool.why_none(now, ASK)[1] <= LONGEST_REFILL


figures = st.integers(1, 10**15) | st.sampled_from([1, 50, 30_000, 800_000, 10**15])
counts = st.integers(0, 10**13) | st.integers(0, 1_000)
two = st.tuples(figures, st.integers(0, 10**15))
some_heads = st.builds(
    head,
    st.sampled_from([None, "o", "o2"]),
    requests=st.none() | two,
    input_tokens=st.none() | two,
    output_tokens=st.none() | two,
    tokens=st.none() | two,
    full_in=st.sampled_from([-10.0, 0.0, 1.0, 60.0, 10.0**7]),
)
usages = st.builds(Usage, input_tokens=counts, cache_read_tokens=counts, output_tokens=counts)
outcomes = st.builds(
    failed,
    st.sampled_from([kind for kind in ErrorKind if RULES[kind].blame is not Blame.NOBODY]),
    st.none() | st.floats(0, 10**9),
    st.none() | usages,
) | st.builds(Outcome.success, usages)


@given(st.data())
def test_no_history_makes_a_small_request_wait_longer_than_is_documented(data: DataObject) -> None:
    pool = pool_of("a", "b", share=data.draw(st.sampled_from([1.0, 0.25])))
    out: list[tuple[Lease, bool]] = []
    now = 0.0
    for _ in range(data.draw(st.integers(1, 25))):
        now += data.draw(st.sampled_from([0.0, 0.1, 10.0, 400.0]))
        lease_request = LeaseRequest(data.draw(st.sampled_from([MODEL, SIBLING])), data.draw(counts))
        step = data.draw(st.sampled_from(["ask", "answer", "end"]))
        if step == "ask" and (lease := pool.acquire(now, lease_request)) is not None:
            out.append((lease, False))
        elif step == "answer" and out and not out[0][1]:
            lease, _ = out.pop(0)
            pool.answered(lease, data.draw(some_heads), now, status=data.draw(st.sampled_from([200, 429, 413])))
            out.append((lease, True))
        elif step == "end" and out:
            pool.release(out.pop(0)[0], data.draw(outcomes), now)

        seconds = pool.why_none(now, LeaseRequest(MODEL, 10))[1]
        assert seconds <= LONGEST_TOLD_SECONDS + ROUNDING or seconds == math.inf
        allowances = [rate_limits for each in pool.organizations for rate_limits in each.limits_by_class.values()]
        assert all(
            each.ready_at(10, now) <= max(each.cooling_until, now + LONGEST_REFILL + ROUNDING) for each in allowances
        )


# Shares


def test_two_workers_each_have_half() -> None:
    rate_limits = told(head(requests=(60, 30), input_tokens=(6_000, 3_000)), share=0.5)
    assert rate_limits.requests is not None
    assert rate_limits.input is not None

    assert (rate_limits.requests.limit, rate_limits.requests.level, rate_limits.requests.per_second) == (30, 15, 0.5)
    assert (rate_limits.input.limit, rate_limits.input.level, rate_limits.input.per_second) == (3_000, 1_500, 50)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_that_know_of_an_empty_bucket_send_together_what_it_refills(workers: int) -> None:
    pools = [pool_of("a", share=1 / workers) for _ in range(workers)]
    for pool in pools:
        meet(pool, 0, head("o", requests=(60, 0)))
    sent = 0
    for tick in range(6_000):
        for pool in pools:
            if (lease := pool.acquire(tick / 10, ASK)) is not None:
                sent += 1
                pool.release(lease, ABANDONED, tick / 10)
                # It was sent: upstream has counted it, though it never told.
                lease.rate_limits.requests.level -= 1  # type: ignore[union-attr]

    assert 600 - 2 * workers <= sent + 1.2 <= 601


# Reservations


def test_what_is_in_flight_is_reserved() -> None:
    pool = pool_of("a")
    meet(pool, 0, head("o", requests=(50, 5)))
    got = 0
    while pool.acquire(0, ASK) is not None:
        got += 1

    # Five are left; one of fifty is the margin.
    assert got == 4


def test_an_answers_figures_hold_its_own_request_but_not_those_that_are_still_on_their_way() -> None:
    pool = pool_of("a")
    leases = [taken(pool, 0) for _ in range(3)]
    pool.answered(leases[0], head("o", requests=(50, 49)), 0)
    bucket = leases[0].rate_limits.requests
    assert bucket is not None

    assert bucket.level == 47


def test_a_request_that_was_not_answered_gives_back_what_it_had_reserved() -> None:
    pool = pool_of("a")
    meet(pool, 0, head("o", requests=(50, 20), input_tokens=(10_000, 5_000), output_tokens=(10_000, 5_000)))
    rate_limits = state_of(pool, "a").organization.rate_limits("sonnet-5", MODEL)
    before = [bucket and bucket.level for bucket in rate_limits.buckets.values()]
    lease = taken(pool, 0, LeaseRequest(MODEL, 1_000))
    between = [bucket and bucket.level for bucket in rate_limits.buckets.values()]
    pool.release(lease, failed(ErrorKind.UNREACHABLE), 0)

    assert between == [19, 4_000, 4_600, None]
    assert [bucket and bucket.level for bucket in rate_limits.buckets.values()] == before


@pytest.mark.parametrize("used", [0, 100, 400, 3_000])
def test_the_output_that_was_reserved_is_settled_by_what_was_used(used: int) -> None:
    pool = pool_of("a")
    lease = taken(pool, 0)
    pool.answered(lease, head("o", input_tokens=(10_000, 9_000), output_tokens=(10_000, 8_000)), 0)
    rate_limits = lease.rate_limits
    left = rate_limits.output and rate_limits.output.level
    pool.release(lease, Outcome.success(Usage(output_tokens=used)), 0)

    assert left == 8_000 - 400
    assert (rate_limits.output and rate_limits.output.level) == 8_000 - used


def levels(rate_limits: RateLimits, now: float) -> list[float | None]:
    """What the buckets hold now."""
    for bucket in rate_limits.buckets.values():
        if bucket is not None:
            bucket.seconds_until(0, now)
    return [None if bucket is None else round(bucket.level, 6) for bucket in rate_limits.buckets.values()]


@pytest.mark.parametrize("status", [400, 403, 413, 429, 502, 529])
@pytest.mark.parametrize("kind", ["tokens", "input_tokens"])
def test_what_an_edge_refuses_was_counted_nowhere(kind: str, status: int) -> None:
    pool = pool_of("a")
    full = head("o", requests=(50, 50), tokens=(450_000, 450_000))
    if kind == "input_tokens":
        full = head("o", requests=(50, 50), input_tokens=(450_000, 450_000), output_tokens=(90_000, 90_000))
    meet(pool, 0, full)
    lease = taken(pool, 100, LeaseRequest(MODEL, 1_000_000))
    before = levels(lease.rate_limits, 100)
    pool.answered(lease, {}, 100, status=status)
    pool.release(lease, failed(ErrorKind.TOO_LARGE), 100)

    assert min(level for level in before if level is not None) < 0
    assert levels(lease.rate_limits, 100) == levels(told(full), 100)
    assert pool.acquire(100, LeaseRequest(MODEL, 400_000)) is not None


@pytest.mark.parametrize(
    ("used", "seconds", "level"),
    [
        # As fast as it refills, or slower: upstream's bucket is full all the time.
        (64_000, 800, 8_000),
        (64_000, 480, 8_000),
        # Twice as fast, for half a minute: half of what it holds is gone.
        (8_000, 30, 4_000),
        # All at once.
        (6_000, 0, 2_000),
        (0, 60, 8_000),
    ],
)
def test_a_long_answer_takes_what_it_took_more_than_has_refilled(used: int, seconds: int, level: int) -> None:
    pool = pool_of("a")
    meet(pool, 0, head("o", input_tokens=(100_000, 100_000), output_tokens=(8_000, 8_000)))
    lease = taken(pool, 100)
    pool.answered(lease, head("o", input_tokens=(100_000, 100_000), output_tokens=(8_000, 8_000)), 100)
    pool.release(lease, Outcome.success(Usage(output_tokens=used)), 100 + seconds)

    assert levels(lease.rate_limits, 100 + seconds)[2] == level


def test_answers_at_once_share_what_has_refilled_meanwhile() -> None:
    pool = pool_of("a")
    full = head("o", input_tokens=(100_000, 100_000), output_tokens=(8_000, 8_000))
    meet(pool, 0, full)
    leases = [taken(pool, 100) for _ in range(3)]
    for lease in leases:
        pool.answered(lease, full, 100)
    for lease in leases:
        # Three times 3,000 in a minute that refills 8,000.
        pool.release(lease, Outcome.success(Usage(output_tokens=3_000)), 160)

    assert levels(leases[0].rate_limits, 160)[2] == 7_000


def test_refill_that_was_lost_before_an_answer_makes_up_for_nothing() -> None:
    pool = pool_of("a")
    full = head("o", input_tokens=(100_000, 100_000), output_tokens=(8_000, 8_000))
    meet(pool, 0, full)
    lease = taken(pool, 10_000)
    pool.answered(lease, full, 10_000)
    pool.release(lease, Outcome.success(Usage(output_tokens=5_000)), 10_000)

    assert levels(lease.rate_limits, 10_000)[2] == 3_000


def test_output_that_upstreams_figures_hold_already_is_not_taken_again() -> None:
    pool = pool_of("a")
    meet(pool, 0, head("o", input_tokens=(100_000, 100_000), output_tokens=(8_000, 8_000)))
    lease = taken(pool, 100)
    pool.answered(lease, head("o", input_tokens=(100_000, 100_000), output_tokens=(8_000, 8_000)), 100)
    # 3,000 have come by then, and 1,000 after it.
    meet(pool, 145, head("o", input_tokens=(100_000, 100_000), output_tokens=(8_000, 4_000), full_in=30))
    pool.release(lease, Outcome.success(Usage(output_tokens=4_000)), 160)

    assert levels(lease.rate_limits, 160)[2] == 4_000 + 2_000 - 1_000


@pytest.mark.parametrize("used", [0, 1_000])
def test_the_combined_bucket_is_settled_as_well(used: int) -> None:
    pool = pool_of("a")
    lease = taken(pool, 0, LeaseRequest(MODEL, 2_000))
    other = taken(pool, 0, LeaseRequest(MODEL, 500))
    pool.answered(lease, head("o", tokens=(50_000, 40_000)), 0)
    rate_limits = lease.rate_limits
    at_first = rate_limits.tokens and rate_limits.tokens.level
    pool.release(lease, Outcome.success(Usage(output_tokens=used)), 0)
    then = rate_limits.tokens and rate_limits.tokens.level
    pool.release(other, ABANDONED, 0)

    assert at_first == 40_000 - 500 - 800
    assert then == 40_000 - 500 - 400 - used
    assert (rate_limits.tokens and rate_limits.tokens.level) == 40_000 - used


@given(
    st.lists(
        st.tuples(st.integers(0, 50_000), st.booleans(), st.sampled_from([None, 0, 50, 5_000]), st.booleans()),
        max_size=30,
    )
)
def test_when_all_is_over_nothing_is_reserved(attempts: list[tuple[int, bool, int | None, bool]]) -> None:
    pool = pool_of("a")
    leases = []
    for tokens, *rest in attempts:
        leases.append((taken(pool, 0, LeaseRequest(MODEL, tokens)), rest))
    for lease, (is_answered, output, is_success) in leases:
        if is_answered:
            pool.answered(lease, head("o"), 1)
        usage = None if output is None else Usage(input_tokens=100, output_tokens=output)
        pool.release(lease, Outcome(is_success=bool(is_success), usage=usage), 2)

    allowances = {id(lease.rate_limits): lease.rate_limits for lease, _ in leases}
    assert [pending(rate_limits) for rate_limits in allowances.values()] == [(0, 0, 0)] * len(allowances)


def test_what_answers_tend_to_need_is_learned() -> None:
    rate_limits = RateLimits(1.0)
    for _ in range(200):
        rate_limits.learn(1_000, Usage(input_tokens=1_500, cache_read_tokens=500, output_tokens=2_000), 5)

    reservation = reserved(rate_limits, 1_000)
    assert 1_950 < reservation.input_tokens <= 2_000
    assert 1_950 < reservation.output_tokens <= 2_000


def test_a_strange_estimate_does_not_spoil_those_to_come() -> None:
    rate_limits = RateLimits(1.0)
    for _ in range(1_000):
        rate_limits.learn(1, Usage(input_tokens=1_000_000), 5)
        rate_limits.learn(0, Usage(input_tokens=1_000_000), 5)

    assert reserved(rate_limits, 1_000).input_tokens <= 4_000


def test_what_is_read_from_a_warm_cache_does_not_count() -> None:
    pool = pool_of("a")
    lease_request = LeaseRequest(MODEL, 9_000, prefix=b"p")
    used = Outcome.success(Usage(cache_write_tokens=8_000))
    meet(pool, 0, head("o", input_tokens=(10_000, 2_000)), lease_request=lease_request, outcome=used)

    assert pool.acquire(0, LeaseRequest(MODEL, 9_000, prefix=b"q")) is None
    assert name_of(pool.acquire(0, lease_request)) == "a"


# Low buckets


def test_requests_that_have_a_choice_go_where_there_is_more_left() -> None:
    pool = pool_of("a", "b", strategy="least_busy")
    meet(pool, 0, head("o", requests=(100, 9)), only="a")
    meet(pool, 0, head("p", requests=(100, 90)), only="b")

    assert [name_of(pool.acquire(0, ASK)) for _ in range(5)] == ["b"] * 5
    assert name_of(pool.acquire(0, ASK, exclude=frozenset("b"))) == "a"


def test_a_nearly_empty_bucket_is_paced_rather_than_hit() -> None:
    pool = pool_of("a")
    remaining, limit, now, sent = 3.0, 60, 0.0, []
    meet(pool, 0, head("o", requests=(limit, 3)))
    while now < 60:
        lease = pool.acquire(now, ASK)
        if lease is None:
            step = pool.why_none(now, ASK)[1] + 1e-6
            remaining, now = min(limit, remaining + step), now + step
            continue
        sent.append(now)
        remaining -= 1
        assert remaining >= 0, "upstream would have answered 429"
        pool.answered(lease, head("o", requests=(limit, int(remaining))), now)
        pool.release(lease, SUCCESS, now)

    assert len(sent) >= 55


def test_when_upstream_says_that_it_may_be_asked_again_it_may() -> None:
    pool = pool_of("a")
    meet(pool, 0, head("o", requests=(60, 0)), outcome=failed(ErrorKind.RATE_LIMITED, 0.5))

    assert pool.acquire(0.499, ASK) is None
    assert pool.acquire(0.5, ASK) is not None
    assert pool.acquire(0.5, ASK) is None


@pytest.mark.parametrize("kind", [ErrorKind.SPEND_LIMIT, ErrorKind.MODEL_REFUSED])
def test_the_time_that_is_told_counts_what_comes_after_the_first_obstacle(kind: ErrorKind) -> None:
    pool = pool_of("a")
    meet(pool, 0, head("o", requests=(60, 0)), outcome=failed(kind, 1))
    moment = pool.ready_at(0, ASK)

    assert 2 < moment < 2.5
    assert pool.acquire(moment - 0.001, ASK) is None
    assert pool.acquire(moment + 1e-6, ASK) is not None


# Classes that turn out to be several


def test_a_model_with_limits_of_its_own_gets_its_own_buckets() -> None:
    pool = pool_of("a")
    sibling = LeaseRequest(SIBLING)
    meet(pool, 0, head("o", requests=(1_000, 900)))
    meet(pool, 0, head("o", requests=(50, 0), full_in=60), lease_request=sibling)

    assert name_of(pool.acquire(0, ASK)) == "a"
    assert pool.acquire(0, sibling) is None


def test_the_other_models_of_a_split_class_keep_theirs() -> None:
    pool = pool_of("a")
    sibling = LeaseRequest(SIBLING)
    for _ in range(3):
        meet(pool, 0, head("o", requests=(1_000, 900)))
        meet(pool, 0, head("o", requests=(50, 40)), lease_request=sibling)
    limits = {
        lease_request.model: taken(pool, 0, lease_request).rate_limits.requests.limit  # type: ignore[union-attr]
        for lease_request in (ASK, sibling)
    }

    assert limits == {MODEL: 1_000, SIBLING: 50}


def test_models_with_the_same_limits_share_them() -> None:
    pool = pool_of("a")
    meet(pool, 0, head("o", requests=(50, 10)))
    meet(pool, 0, head("o", requests=(50, 0), full_in=60), lease_request=LeaseRequest(SIBLING))

    assert pool.acquire(0, ASK) is None


def test_a_new_limit_of_one_model_is_no_split() -> None:
    pool = pool_of("a")
    meet(pool, 0, head("o", requests=(50, 10)))
    meet(pool, 0, head("o", requests=(1_000, 900)))

    assert [*state_of(pool, "a").organization.limits_by_class] == ["sonnet-5"]


@pytest.mark.parametrize("is_answered", [True, False])
def test_a_split_or_a_merger_under_way_leaves_nothing_reserved(is_answered: bool) -> None:
    pool = pool_of("a", "b")
    leases = [taken(pool, 0, LeaseRequest(model, 1_000), only=name) for name in "ab" for model in (MODEL, SIBLING)]
    before = {id(lease.rate_limits): lease.rate_limits for lease in leases}
    meet(pool, 0, head("o", requests=(1_000, 900)), only="a")
    meet(pool, 0, head("o", requests=(50, 40)), only="b", lease_request=LeaseRequest(SIBLING))
    for lease in leases:
        if is_answered:
            pool.answered(lease, head("o", requests=(50, 30)), 1)
        pool.release(lease, SUCCESS, 2)

    after = {id(lease.rate_limits): lease.rate_limits for lease in leases}
    assert {pending(rate_limits) for rate_limits in (before | after).values()} == {(0, 0, 0)}


def test_cooling_is_not_forgotten_for_names_that_callers_invent() -> None:
    pool = pool_of("a")
    fail(pool, 0, failed(ErrorKind.RATE_LIMITED, 60))
    for number in range(1_000):
        fail(pool, 0, failed(ErrorKind.MODEL_REFUSED), lease_request=LeaseRequest(f"invented-{number}"))

    assert pool.acquire(59, ASK) is None


def test_the_buckets_of_one_class_say_nothing_of_another() -> None:
    pool = pool_of(Key("a"))
    meet(pool, 0, head("o", requests=(50, 0), full_in=60))

    assert pool.acquire(1, ASK) is None
    assert name_of(pool.acquire(1, LeaseRequest(OTHER))) == "a"


def test_a_reset_that_is_over_does_not_take_the_limit_away() -> None:
    pool = pool_of("a")
    meet(pool, 0, head("o", requests=(60, 0), full_in=-30))

    assert pool.acquire(0.5, ASK) is None
    assert pool.ready_at(0.5, ASK) == pytest.approx(2.2)


def test_an_answer_that_takes_minutes_takes_its_tokens_from_several() -> None:
    rate_limits = told(head(output_tokens=(40_000, 40_000)))
    for _ in range(400):
        rate_limits.learn(0, Usage(output_tokens=9_000), 180)

    # 9,000 tokens in three minutes are 3,000 of each.
    assert 2_900 < reserved(rate_limits, 0).output_tokens < 3_100
