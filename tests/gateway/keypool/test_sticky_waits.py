"""A request waits a little where its prompt is cached, in a queue of its own, and nobody starves for it."""

from gateway.keypool import KeyPool, Lease, LeaseQueue, LeaseRequest
from gateway.keypool.lease_request import Outcome
from gateway.keypool.sticky_waits import MOST_PATIENCE_SECONDS
from gateway.keypool.strategies import StrategyName
from tests.support.pools import MODEL, failed, head, pool_of, taken
from translators.errors import ErrorKind
from translators.usage import Usage

TOKENS = 20_000
# All but the last words of the prompt are cached.
CACHED = Usage(input_tokens=100, cache_read_tokens=TOKENS - 100, output_tokens=10)
# Refills 1,000 tokens a second.
LIMIT = 60_000


def asks(prefix: str, caller: str = "c", tokens: int = TOKENS) -> LeaseRequest:
    return LeaseRequest(MODEL, tokens, prefix.encode(), caller)


def two_workspaces(strategy: StrategyName = "affinity", *, left: int = 0, elsewhere: int = LIMIT) -> KeyPool:
    """`a` has the prompt `p` in its cache and so many tokens left, `b` has so many and nothing cached."""
    pool = pool_of("a", "b", strategy=strategy)
    lease = taken(pool, 0, asks("p"), only="a")
    pool.answered(lease, head("o", "w", requests=(1000, 999), input_tokens=(LIMIT, LIMIT)), 0)
    pool.release(lease, Outcome.success(CACHED), 0)
    for name, organization, tokens in (("a", "o", left), ("b", "x", elsewhere)):
        lease = taken(pool, 0, asks("q", tokens=0), only=name)
        pool.answered(
            lease, head(organization, f"{organization} w", requests=(1000, 999), input_tokens=(LIMIT, tokens)), 0
        )
        pool.release(lease, Outcome.success(Usage(output_tokens=400)), 0)
    return pool


def key_of(lease: Lease | None) -> str | None:
    return lease.key.name if lease else None


def test_a_cold_prompt_waits_for_no_place_in_particular() -> None:
    assert two_workspaces().sticky_wait(0, asks("cold")) is None


def test_a_place_that_is_ready_is_no_reason_to_wait() -> None:
    sticky_wait = two_workspaces(left=LIMIT).sticky_wait(0, asks("p"))

    assert sticky_wait is not None
    assert sticky_wait.ready_at == 0


def test_a_cache_is_worth_a_wait_as_long_as_what_it_saves() -> None:
    # 100 tokens and the margin, 1,200, are there again after 1.3 s.
    sticky_wait = two_workspaces().sticky_wait(0, asks("p"))

    assert sticky_wait is not None
    assert 1 < sticky_wait.ready_at < 2
    assert sticky_wait.until == MOST_PATIENCE_SECONDS


def test_a_cache_that_saves_little_is_not_waited_for() -> None:
    pool = two_workspaces()
    small = asks("p", tokens=300)

    assert pool.sticky_wait(0, small) is None
    assert key_of(pool.acquire(0, small)) == "b"


def test_only_affinity_waits_for_caches() -> None:
    for strategy in ("least_busy", "weighted", "priority"):
        assert two_workspaces(strategy).sticky_wait(0, asks("p")) is None


def test_a_place_whose_host_fails_is_not_waited_for() -> None:
    pool = two_workspaces()
    lease = taken(pool, 2, asks("p"), only="a")
    pool.release(lease, failed(ErrorKind.OVERLOADED), 2)

    assert pool.sticky_wait(2, asks("p")) is None


def waiting(pool: KeyPool, now: float, *lease_requests: tuple[str, LeaseRequest]) -> LeaseQueue[str]:
    queue: LeaseQueue[str] = LeaseQueue(pool, 100)
    for waiter, lease_request in lease_requests:
        assert queue.join(waiter, lease_request, sticky_wait=pool.sticky_wait(now, lease_request))
    return queue


def test_who_waits_for_a_cache_is_served_there_and_not_before() -> None:
    pool = two_workspaces()
    queue = waiting(pool, 0, ("w", asks("p")))
    at_first = queue.serve(0)
    moment = queue.wake_at()
    too_early = queue.serve(moment - 0.001)
    ((waiter, lease),) = queue.serve(moment)

    assert at_first == too_early == []
    assert (waiter, lease.key.name) == ("w", "a")


def test_others_pass_who_waits_for_a_cache() -> None:
    pool = two_workspaces()
    queue = waiting(pool, 0, ("stays", asks("p")), ("goes", asks("cold")))

    assert [(waiter, lease.key.name) for waiter, lease in queue.serve(0)] == [("goes", "b")]
    assert len(queue) == 1


def test_who_waits_in_vain_goes_anywhere() -> None:
    pool = two_workspaces()
    queue = waiting(pool, 0, ("stays", asks("p")))
    at_first = queue.serve(0)
    # Upstream wants to be left alone there for longer than it seemed.
    lease = taken(pool, 1.9, asks("q", tokens=0), only="a")
    pool.answered(lease, head("o", "o w", requests=(1000, 999), input_tokens=(LIMIT, 0)), 1.9, status=429)
    pool.release(lease, failed(ErrorKind.RATE_LIMITED, 30), 1.9)
    ((_, lease),) = queue.serve(2)

    assert at_first == []
    assert lease.key.name == "b"


def test_small_requests_with_a_cache_do_not_keep_a_large_one_waiting_for_ever() -> None:
    pool = two_workspaces(elsewhere=0)
    queue = waiting(pool, 0, ("large", asks("cold", "quiet", 20_000)))
    now, served = 0.0, []
    for number in range(400):
        now += 0.1
        lease_request = asks("p", "loud")
        if (lease := queue.acquire(now, lease_request)) is not None:
            pool.release(lease, Outcome.success(CACHED), now)
        else:
            queue.join(f"small {number}", lease_request, sticky_wait=pool.sticky_wait(now, lease_request))
        for waiter, lease in queue.serve(now):
            served.append((waiter, now))
            pool.release(lease, Outcome.success(CACHED), now)
        if any(waiter == "large" for waiter, _ in served):
            break

    assert "large" in [waiter for waiter, _ in served]
    # Alone it would have waited for 21 s of refill.
    assert now < 30


def crowd(pool: KeyPool) -> LeaseQueue[str]:
    """Somebody with a large prompt waits, and behind a cache of the same limits hundreds with small ones."""
    queue = LeaseQueue[str](pool, 1000)
    queue.join("large", asks("cold", "quiet"))
    for number in range(500):
        sticky_wait = pool.sticky_wait(0, asks("p", "loud"))
        assert sticky_wait is not None
        queue.join(f"small {number}", asks("p", "loud"), sticky_wait=sticky_wait)
    return queue


def test_a_line_before_a_cache_waits_for_those_it_has_passed_too_often() -> None:
    pool = two_workspaces()
    pool.update([state.key for state in pool.states if state.key.name == "a"])
    queue = crowd(pool)
    now, served = 0.0, []
    while now < 45 and "large" not in served:
        now += 0.1
        for waiter, lease in queue.serve(now):
            served.append(waiter)
            # Without an answer it would cost nothing.
            pool.answered(lease, {}, now)
            pool.release(lease, Outcome.success(CACHED), now)

    # 1,000 tokens a second: alone it would wait for 21 s, behind all the others for more than 50.
    assert "large" in served
    assert now < 30
