"""Leases for real tasks: whoever waits is woken, whoever leaves loses nothing. The clock is a number the test moves."""

import asyncio
from collections.abc import Callable

import pytest

from gateway.keypool import ABANDONED, SUCCESS, Account, Key, KeyPool, KeyState, Lease, LeaseRequest, PoolSettings
from gateway.keypool.breaker import FAILURES_TO_OPEN
from gateway.keypool.sticky_waits import MOST_PATIENCE_SECONDS
from gateway.service.dispatch import Change, Dispatcher
from tests.gateway.keypool.test_sticky_waits import LIMIT, asks, two_workspaces
from tests.support.pools import ASK, MODEL, OTHER, fail, failed, head, name_of, pool_of, state_of
from translators.errors import ErrorKind

LONG = 900.0


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Place:
    """A dispatcher with its clock, and the queue in front of it."""

    def __init__(self, pool: KeyPool, *, size: int = 100, timeout: float = LONG) -> None:
        self.clock = Clock()
        self.pool = pool
        self.reported: list[tuple[Change, str]] = []
        self.dispatcher = Dispatcher(
            pool, queue_size=size, queue_timeout_seconds=timeout, clock=self.clock, report=self._report
        )

    def _report(self, change: Change, state: KeyState) -> None:
        self.reported.append((change, state.key.name))

    def waiting(
        self, lease_request: LeaseRequest = ASK, exclude: frozenset[str] = frozenset()
    ) -> "asyncio.Task[Lease | None]":
        return asyncio.create_task(self.dispatcher.wait(lease_request, exclude=exclude))

    def take(self, lease_request: LeaseRequest = ASK) -> Lease:
        lease = self.dispatcher.acquire(lease_request)
        assert lease is not None
        return lease


async def turns(number: int = 6) -> None:
    """Let all that is ready run, without any time to pass."""
    for _ in range(number):
        await asyncio.sleep(0)


def one_at_a_time() -> Place:
    return Place(pool_of(Key("a", max_concurrency=1)))


async def test_a_waiter_has_its_lease_as_soon_as_another_comes_back() -> None:
    place = one_at_a_time()
    lease = place.take()
    waiter = place.waiting()
    await turns()
    before = (waiter.done(), place.dispatcher.waiting)
    place.dispatcher.release(lease, SUCCESS)

    assert name_of(await waiter) == "a"
    assert before == (False, 1)
    assert (place.dispatcher.waiting, place.pool.in_flight) == (0, 1)


async def test_nobody_overtakes_those_who_wait() -> None:
    place = one_at_a_time()
    lease = place.take()
    waiter = place.waiting()
    await turns()
    place.dispatcher.release(lease, SUCCESS)
    overtaking = place.dispatcher.acquire(ASK)

    assert overtaking is None
    assert name_of(await waiter) == "a"


async def test_callers_are_served_in_turn() -> None:
    place = one_at_a_time()
    lease = place.take()
    order: list[str] = []

    async def ask(caller: str) -> None:
        got = await place.dispatcher.wait(LeaseRequest(MODEL, caller=caller))
        assert got is not None
        order.append(caller)
        place.dispatcher.release(got, SUCCESS)

    tasks = [asyncio.create_task(ask(caller)) for caller in "aaabbc"]
    await turns()
    place.dispatcher.release(lease, SUCCESS)
    await asyncio.gather(*tasks)

    assert order == list("abcaba")
    assert place.pool.in_flight == 0


async def test_a_full_line_turns_away_at_once() -> None:
    place = Place(pool_of(Key("a", max_concurrency=1)), size=2)
    lease = place.take()
    waiters = [place.waiting() for _ in range(2)]
    await turns()
    refused = await place.dispatcher.wait(ASK)
    place.dispatcher.release(lease, SUCCESS)
    first = await waiters[0]
    assert first is not None
    place.dispatcher.release(first, SUCCESS)

    assert refused is None
    assert await waiters[1] is not None


@pytest.mark.parametrize(("kind", "seconds"), [(ErrorKind.KEY_REJECTED, None), (ErrorKind.RATE_LIMITED, LONG + 1)])
async def test_where_there_is_no_hope_nobody_waits(kind: ErrorKind, seconds: float | None) -> None:
    place = Place(pool_of("a"))
    fail(place.pool, place.clock.now, failed(kind, seconds))

    assert await place.dispatcher.wait(ASK) is None
    assert await Place(KeyPool([])).dispatcher.wait(ASK) is None


@pytest.mark.parametrize(("waited", "is_worth_it"), [(0.0, True), (LONG - 20.0, True), (LONG - 19.0, False)])
async def test_the_time_in_line_is_the_requests_not_that_of_each_wait(waited: float, is_worth_it: bool) -> None:
    place = Place(pool_of("a"))
    fail(place.pool, place.clock.now, failed(ErrorKind.RATE_LIMITED, 20.0))
    waiter = asyncio.create_task(place.dispatcher.wait(ASK, waited_seconds=waited))
    await turns()
    is_waiting = not waiter.done()
    waiter.cancel()

    assert is_waiting is is_worth_it


async def test_a_request_that_has_waited_for_long_enough_is_not_kept_for_a_key_that_is_busy() -> None:
    place = one_at_a_time()
    place.take()

    assert await asyncio.wait_for(place.dispatcher.wait(ASK, waited_seconds=LONG + 1), 5) is None


async def test_who_has_opened_the_breaker_of_a_class_itself_is_told_at_once() -> None:
    place, own = Place(pool_of("a")), LeaseRequest(MODEL, blamed=[])
    for lease_request in [*[ASK] * (FAILURES_TO_OPEN - 1), own]:
        fail(place.pool, place.clock.now, failed(ErrorKind.UPSTREAM_ERROR), lease_request=lease_request)
    waiter = asyncio.create_task(place.dispatcher.wait(LeaseRequest(MODEL, blamed=[])))
    await turns()
    is_waiting = not waiter.done()
    waiter.cancel()

    assert await asyncio.wait_for(place.dispatcher.wait(own), 5) is None
    assert is_waiting


async def test_a_busy_key_is_worth_waiting_for_however_long_the_others_cool() -> None:
    place = Place(pool_of(Key("a", max_concurrency=1), "b"))
    fail(place.pool, place.clock.now, failed(ErrorKind.RATE_LIMITED, 2 * LONG), only="b")
    lease = place.take()
    waiter = place.waiting()
    await turns()
    place.dispatcher.release(lease, SUCCESS)

    assert name_of(await waiter) == "a"


async def test_patience_ends_with_nothing_and_nothing_is_left_behind() -> None:
    place = Place(pool_of(Key("a", max_concurrency=1)), timeout=0.001)
    lease = place.take()

    assert await place.dispatcher.wait(ASK) is None
    assert place.dispatcher.waiting == 0
    place.dispatcher.release(lease, SUCCESS)
    await turns()
    assert place.pool.in_flight == 0


@pytest.mark.parametrize("patience", [-1.0, 0.0])
async def test_a_lease_that_comes_in_the_last_moment_is_taken_or_given_back(patience: float) -> None:
    place = one_at_a_time()
    lease = place.take()
    place.dispatcher.release(lease, SUCCESS)

    got = await place.dispatcher.wait(ASK, patience_seconds=patience)

    if got is not None:
        place.dispatcher.release(got, SUCCESS)
    assert (place.pool.in_flight, place.dispatcher.waiting) == (0, 0)


async def test_cooling_ends_without_anything_happening() -> None:
    place = Place(pool_of("a"))
    fail(place.pool, place.clock.now, failed(ErrorKind.RATE_LIMITED, 0.001))
    waiter = place.waiting()
    await turns()
    early = waiter.done()
    place.clock.now += 0.001

    assert name_of(await waiter) == "a"
    assert not early


async def test_who_waits_for_a_probe_does_not_keep_the_loop_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    place = one_at_a_time()
    lease = place.take()
    waiter = place.waiting()
    await turns()
    place.dispatcher.release(lease, failed(ErrorKind.KEY_REJECTED))
    place.clock.now += 500
    place.dispatcher.update([Key("a", max_concurrency=1)], PoolSettings(), queue_size=9, queue_timeout_seconds=LONG)
    await turns()
    loop = asyncio.get_running_loop()
    alarms: list[float] = []
    call_later = loop.call_later

    def noted(delay: float, callback: Callable[..., object], *args: object) -> asyncio.TimerHandle:
        alarms.append(delay)
        return call_later(delay, callback, *args)

    monkeypatch.setattr(loop, "call_later", noted)
    await turns(50)
    assert place.pool.due_probes(place.clock.now) == ["a"]
    place.dispatcher.probed("a", is_well=True)

    assert name_of(await waiter) == "a"
    assert alarms == []


async def test_an_answers_head_wakes_those_whom_it_gives_room() -> None:
    place = Place(pool_of("a"))
    empty = head("o", requests=(50, 0), full_in=60)
    first, second = place.take(), place.take()
    place.dispatcher.answered(first, empty, 200)
    waiter = place.waiting()
    await turns()
    before = waiter.done()
    place.dispatcher.answered(second, head("o", requests=(50, 40)), 200)

    assert name_of(await waiter) == "a"
    assert not before


async def test_a_new_key_serves_those_who_already_wait() -> None:
    place = one_at_a_time()
    place.take()
    waiter = place.waiting()
    await turns()
    keys = [Key("a", max_concurrency=1), Key("b")]
    place.dispatcher.update(keys, PoolSettings(), queue_size=9, queue_timeout_seconds=LONG)

    assert name_of(await waiter) == "b"


# Callers who leave


async def left(task: "asyncio.Task[Lease | None]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_caller_who_leaves_the_line_leaves_at_once() -> None:
    place = one_at_a_time()
    lease = place.take()
    waiter = place.waiting()
    await turns()
    await left(waiter)

    assert place.dispatcher.waiting == 0
    place.dispatcher.release(lease, SUCCESS)
    await turns()
    assert place.pool.in_flight == 0


@pytest.mark.parametrize("after", range(5))
async def test_a_caller_who_leaves_in_the_moment_of_its_turn_gives_its_lease_back(after: int) -> None:
    place = one_at_a_time()
    lease = place.take()
    waiter, behind = place.waiting(), place.waiting()
    await turns()
    place.dispatcher.release(lease, SUCCESS)
    await turns(after)
    if waiter.done():
        got = waiter.result()
        assert got is not None
        place.dispatcher.release(got, ABANDONED)
    else:
        await left(waiter)

    async with asyncio.timeout(60):
        assert name_of(await behind) == "a"
    assert (place.pool.in_flight, state_of(place.pool, "a").in_flight) == (1, 1)


@pytest.mark.parametrize("before", range(3))
async def test_a_caller_who_left_just_before_its_turn_does_not_keep_the_next_waiting(before: int) -> None:
    place = one_at_a_time()
    lease = place.take()
    waiter, behind = place.waiting(), place.waiting()
    await turns()
    if before:
        waiter.cancel()
        await turns(before - 1)
    place.dispatcher.release(lease, SUCCESS)
    waiter.cancel()

    async with asyncio.timeout(60):
        assert name_of(await behind) == "a"
    assert place.pool.in_flight == 1
    assert waiter.cancelled()


async def test_who_waits_behind_a_large_request_that_leaves_is_served() -> None:
    place = Place(pool_of("a"))
    lease = place.take()
    place.dispatcher.answered(lease, head("o", input_tokens=(60_000, 10_000)), 200)
    large, small = place.waiting(LeaseRequest(MODEL, 50_000)), place.waiting(LeaseRequest(MODEL, 10))
    await turns()
    before = small.done()
    await left(large)

    async with asyncio.timeout(60):
        assert name_of(await small) == "a"
    assert not before


async def test_a_lease_is_given_back_when_patience_and_caller_end_together() -> None:
    place = Place(pool_of(Key("a", max_concurrency=1)), timeout=0.001)
    lease = place.take()
    waiter = place.waiting()
    expired = asyncio.Event()
    await turns()
    asyncio.get_running_loop().call_later(0.001, expired.set)
    await expired.wait()
    place.dispatcher.release(lease, SUCCESS)
    waiter.cancel()
    result = (await asyncio.gather(waiter, return_exceptions=True))[0]
    await turns()

    assert not isinstance(result, Lease)
    assert (place.pool.in_flight, place.dispatcher.waiting) == (0, 0)


async def test_many_callers_who_come_and_leave_at_random_lose_no_lease() -> None:
    place = Place(pool_of(Key("a", max_concurrency=2), Key("b", max_concurrency=1)), size=20)
    served = 0

    async def caller(number: int) -> None:
        nonlocal served
        lease_request = LeaseRequest(MODEL, caller=str(number % 5))
        lease = place.dispatcher.acquire(lease_request) or await place.dispatcher.wait(lease_request)
        if lease is None:
            return
        try:
            await turns(number % 7)
            served += 1
        finally:
            place.dispatcher.release(lease, SUCCESS)

    tasks: list[asyncio.Task[None]] = []
    for number in range(400):
        tasks.append(asyncio.create_task(caller(number)))
        if number % 3 == 0:
            await turns(number % 4)
        if number % 5 == 0:
            tasks[number // 2].cancel()
        if number % 11 == 0:
            tasks[-1].cancel()
    async with asyncio.timeout(30):
        await asyncio.gather(*tasks, return_exceptions=True)

    assert served > 100
    assert (place.pool.in_flight, place.dispatcher.waiting) == (0, 0)
    assert [state.in_flight for state in place.pool.states] == [0, 0]


async def test_a_key_that_is_lost_is_reported_once_and_so_is_its_return() -> None:
    place = Place(pool_of("a"))
    first, second = place.take(), place.take()
    place.dispatcher.release(first, failed(ErrorKind.KEY_REJECTED))
    place.dispatcher.release(second, failed(ErrorKind.KEY_REJECTED))
    for outcome in (failed(ErrorKind.KEY_REJECTED), SUCCESS, SUCCESS):
        place.clock.now += 500
        if place.pool.due_probes(place.clock.now):
            place.dispatcher.probed("a", is_well=True)
        place.dispatcher.release(place.take(), outcome)

    assert place.reported == [(Change.REJECTED, "a"), (Change.ACCEPTED, "a")]


async def test_an_organization_without_funds_is_reported_once_until_it_has_some_again() -> None:
    place = Place(pool_of("a"))
    first, second = place.take(), place.take()
    place.dispatcher.release(first, failed(ErrorKind.SPEND_LIMIT, 60.0))
    place.dispatcher.release(second, failed(ErrorKind.SPEND_LIMIT, 60.0))
    for outcome, count in ((failed(ErrorKind.SPEND_LIMIT, 60.0), 1), (SUCCESS, 1), (failed(ErrorKind.SPEND_LIMIT), 2)):
        place.clock.now += 61
        place.dispatcher.release(place.take(), outcome)

        assert place.reported == [(Change.OUT_OF_FUNDS, "a")] * count


# Waiting for a cache


def at_the_cache(*, elsewhere: int = LIMIT, size: int = 100) -> Place:
    """A place where the prompt `p` is cached at `a`, which is at its limit."""
    place = Place(two_workspaces(elsewhere=elsewhere), size=size)
    place.clock.now = 0.0
    return place


async def test_whoever_has_a_cache_waits_for_it_although_another_key_is_ready() -> None:
    place = at_the_cache()
    at_once = place.dispatcher.acquire(asks("p"))
    waiter = place.waiting(asks("p"))
    cold = place.dispatcher.acquire(asks("cold"))
    await turns()
    place.clock.now = 2.0
    assert cold is not None
    place.dispatcher.release(cold, SUCCESS)

    assert at_once is None
    assert name_of(cold) == "b"
    assert name_of(await waiter) == "a"


async def test_whoever_finds_no_room_to_wait_for_a_cache_goes_anywhere() -> None:
    place = at_the_cache(size=0)

    assert name_of(await place.waiting(asks("p"))) == "b"


async def test_those_with_a_warm_cache_do_not_come_first_for_ever() -> None:
    place = Place(two_workspaces(left=LIMIT, elsewhere=0))
    place.clock.now = 0.0
    # Larger than what is there, now that some of it is set aside.
    held = place.dispatcher.acquire(asks("other", tokens=30_000))
    waiter = place.waiting(asks("cold", "quiet", tokens=40_000))
    await turns()
    passed = 0
    while passed < 100 and (lease := place.dispatcher.acquire(asks("p", "loud"))) is not None:
        passed += 1
        place.dispatcher.release(lease, ABANDONED)

    assert held is not None
    assert not waiter.done()
    assert 0 < passed <= 20
    waiter.cancel()


# Waiting for an account


def busy_account(*, size: int = 100, timeout: float = LONG) -> tuple[Place, LeaseRequest, Lease]:
    """`a` is busy, `b` of another account is not; a request that had better go to `a`, and the lease that is out."""
    place = Place(pool_of(Key("a", max_concurrency=1, mark=b"a"), Key("b", mark=b"b")), size=size, timeout=timeout)
    lease_request = LeaseRequest(MODEL, account=Account("", b"a"))
    lease = place.dispatcher.acquire(lease_request)
    assert lease is not None
    return place, lease_request, lease


async def test_a_conversation_waits_for_its_account_although_another_key_is_ready() -> None:
    place, lease_request, lease = busy_account()
    at_once = place.dispatcher.acquire(lease_request)
    waiter = place.waiting(lease_request)
    await turns()
    passing = place.dispatcher.acquire(ASK)
    before = waiter.done()
    place.dispatcher.release(lease, SUCCESS)

    assert (name_of(lease), at_once, name_of(passing), before) == ("a", None, "b", False)
    assert name_of(await waiter) == "a"


async def test_a_conversation_that_has_waited_for_long_enough_goes_elsewhere() -> None:
    place, lease_request, lease = busy_account()
    waiter = place.waiting(lease_request)
    await turns()
    before = waiter.done()
    place.clock.now += MOST_PATIENCE_SECONDS
    # Anything happens.
    place.dispatcher.release(place.take(), SUCCESS)

    assert name_of(await waiter) == "b"
    assert not before
    assert lease.state.in_flight == 1


async def test_an_account_that_is_gone_for_long_sends_its_conversation_elsewhere_at_once() -> None:
    place, lease_request, lease = busy_account()
    waiter = place.waiting(lease_request)
    await turns()
    before = waiter.done()
    place.dispatcher.release(lease, failed(ErrorKind.KEY_REJECTED))

    assert name_of(await waiter) == "b"
    assert not before
    assert name_of(place.dispatcher.acquire(lease_request)) == "b"


@pytest.mark.parametrize(("size", "queue_seconds"), [(0, LONG), (100, 0.001)])
async def test_whoever_finds_no_room_or_no_time_to_wait_for_its_account_goes_anywhere(
    size: int, queue_seconds: float
) -> None:
    place, lease_request, _ = busy_account(size=size, timeout=queue_seconds)
    refused = await place.dispatcher.wait(lease_request, exclude=frozenset("b"), avoid=frozenset("b"))

    assert refused is None
    assert name_of(await place.waiting(lease_request)) == "b"
    assert place.dispatcher.waiting == 0


async def test_one_who_was_told_to_wait_there_does_so_on_its_next_attempt() -> None:
    place, lease_request, lease = busy_account()
    place.dispatcher.release(lease, failed(ErrorKind.RATE_LIMITED, 1.0))
    tried = frozenset("a")
    at_once = place.dispatcher.acquire(lease_request, avoid=tried)
    waiter = asyncio.create_task(place.dispatcher.wait(lease_request, avoid=tried))
    await turns()
    before = waiter.done()
    place.clock.now += 1.0
    place.dispatcher.release(place.take(LeaseRequest(OTHER)), SUCCESS)

    assert (at_once, before) == (None, False)
    assert name_of(await waiter) == "a"
