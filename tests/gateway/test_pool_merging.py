"""The pools of several workers become one: counts are added up, and what only one of them knows is not lost."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.keypool import Key, KeyPool, LeaseQueue, LeaseRequest, Outcome, PoolSettings, PoolView, merged, snapshot
from gateway.keypool.merging import _together
from gateway.keypool.snapshot import Standing
from translators.errors import ErrorKind, Failure

NOW = 1000.0
MODEL = "claude-sonnet-5-5"
HEADERS = {
    "anthropic-organization-id": "org-1",
    "anthropic-workspace-id": "wrkspc-1",
    "anthropic-ratelimit-requests-limit": "100",
    "anthropic-ratelimit-requests-remaining": "60",
}


def worker(*names: str, share: float = 0.5) -> KeyPool:
    """The pool of one of two workers."""
    keys = [Key(name, host=f"http://{name}", max_concurrency=8) for name in names or ("main",)]
    return KeyPool(keys, PoolSettings("weighted", share=share))


def used(pool: KeyPool, kind: ErrorKind | None = None, *, is_open: bool = False) -> KeyPool:
    """After a request that has learned something about the first key."""
    lease = pool.acquire(NOW, LeaseRequest(MODEL))
    assert lease is not None
    if kind is None:
        pool.answered(lease, HEADERS, NOW)
    if not is_open:
        failure = Failure(kind, "no", retry_after_seconds=60) if kind else None
        pool.release(lease, Outcome.of(failure) if failure else Outcome(), NOW)
    return pool


def view(pool: KeyPool, waiting: int = 0) -> PoolView:
    queue = LeaseQueue[int](pool, 10)
    for number in range(waiting):
        queue.join(number, LeaseRequest(MODEL, caller="shop"))
    return snapshot(pool, queue, NOW)


def test_one_view_stays_as_it_is() -> None:
    alone = view(used(worker("a", "b", share=1.0)))

    assert merged([alone]) == alone


def test_what_is_counted_is_added_up() -> None:
    both = merged([view(used(worker(), is_open=True), waiting=2), view(used(worker(), is_open=True), waiting=1)])

    assert (both.share, both.in_flight, both.queue_size) == (1.0, 2, 20)
    assert sum(both.waiting["sonnet-5"].values()) == 3
    assert (both.keys[0].in_flight, both.keys[0].ceiling) == (2, 8)
    assert both.workspaces[0].in_flight == 2


def test_limits_that_both_know_are_those_of_upstream() -> None:
    (organization,) = merged([view(used(worker())), view(used(worker()))]).organisations
    bucket = organization.allowances[0].buckets["requests"]

    assert (organization.name, organization.is_known, organization.keys) == ("org-1", True, ["main"])
    assert bucket.limit == 100
    assert bucket.per_second == pytest.approx(100 / 60, abs=0.002)


def test_a_worker_that_has_seen_no_answer_yet_is_taken_to_have_what_the_other_has() -> None:
    knows, knows_not = view(used(worker())), view(worker())
    (organization,) = merged([knows_not, knows]).organisations
    (key,) = merged([knows_not, knows]).keys
    bucket = organization.allowances[0].buckets["requests"]

    assert (key.organisation, key.workspace) == ("org-1", "wrkspc-1")
    assert bucket.limit == 100
    assert bucket.remaining == 2 * knows.organisations[0].allowances[0].buckets["requests"].remaining


def test_what_one_worker_has_found_out_is_shown_with_how_many_agree() -> None:
    (key,) = merged([view(worker()), view(used(worker(), ErrorKind.KEY_REJECTED))]).keys

    assert key.standing.state == "rejected"
    assert key.states == {"ready": 1, "rejected": 1}
    assert (key.last_error, key.refusals) == ("key_rejected", 1)


def test_a_key_that_is_full_in_one_worker_only_can_serve() -> None:
    full = worker()
    for _ in range(4):
        used(full, is_open=True)
    (key,) = merged([view(full), view(worker())]).keys

    assert (key.standing.state, key.in_flight, key.room) == ("ready", 4, 8)
    assert key.states == {"full": 1, "ready": 1}


def test_a_host_is_in_trouble_if_one_worker_says_so() -> None:
    down = worker()
    while lease := down.acquire(NOW, LeaseRequest(MODEL)):
        down.release(lease, Outcome.of(Failure(ErrorKind.UNREACHABLE, "no")), NOW)
    (host,) = merged([view(worker()), view(down)]).hosts

    assert host.breaker.state != "closed"
    assert host.breaker.failures == view(down).hosts[0].breaker.failures


def test_keys_that_only_one_worker_has_are_there_in_order() -> None:
    assert [key.name for key in merged([view(worker("a", "b")), view(worker("b", "c"))]).keys] == ["a", "b", "c"]


def test_of_no_worker_there_is_an_empty_pool() -> None:
    assert merged([]).keys == []


STANDINGS = st.builds(
    Standing,
    st.sampled_from(["ready", "cooling", "paced", "full", "rejected", "on_trial", "host_down", "out_of_funds"]),
    st.none() | st.floats(0, 100),
)


@given(st.lists(STANDINGS, min_size=1, max_size=4))
def test_the_order_of_workers_makes_no_difference(standings: list[Standing]) -> None:
    shuffled = sorted(standings, key=lambda standing: (standing.state, standing.for_seconds or math.inf))

    assert _together(standings) == _together(shuffled) == _together([*standings, *standings])
    assert _together(standings) in standings
