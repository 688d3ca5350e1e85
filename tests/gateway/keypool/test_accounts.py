"""A conversation that holds what an account has signed goes back to that account, and waits a little for it."""

import math
from collections import Counter
from dataclasses import replace

import pytest

from gateway.keypool import (
    ABANDONED,
    SUCCESS,
    Account,
    Key,
    KeyPool,
    Lease,
    LeaseQueue,
    LeaseRequest,
    Outcome,
    PoolSettings,
)
from gateway.keypool.host import SILENCE_SECONDS
from gateway.keypool.sticky_waits import MOST_PATIENCE_SECONDS
from gateway.keypool.strategies import StrategyName
from tests.support.pools import MODEL, OTHER, STRATEGIES, fail, failed, head, meet, name_of, pool_of, state_of, taken
from translators.errors import ErrorKind
from translators.usage import Usage

CACHED = Outcome.success(Usage(cache_write_tokens=1_000))
NOBODYS = Account("nobody", b"nobody")
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)


def key(name: str, organization: str | None = None, **rest: object) -> Key:
    """A key that is marked by its name."""
    return replace(Key(name, organization=organization, mark=name.encode()), **rest)  # type: ignore[arg-type]


def of(name: str) -> Account:
    """The account of a key of which only the mark is known."""
    return Account("", name.encode())


def asks(account: Account | None, prefix: bytes | None = b"p", tokens: int = 0, caller: str = "") -> LeaseRequest:
    return LeaseRequest(MODEL, tokens, prefix, caller, account=account)


def two_accounts(strategy: StrategyName = "affinity") -> KeyPool:
    """`a1` and `a2` are of one account, `b` of another; each has a host and a workspace of its own."""
    return pool_of(
        key("a1", "ours", host="x1", workspace="w1", priority=2),
        key("a2", "ours", host="x2", workspace="w2", priority=3),
        key("b", "theirs", host="y", weight=9),
        strategy=strategy,
    )


def warm(pool: KeyPool, name: str, prefix: bytes = b"p", tokens: int = 1_000) -> None:
    """A prompt gets into the cache where a key is."""
    pool.release(taken(pool, 0, LeaseRequest(MODEL, tokens, prefix), name), CACHED, 0)


# Whose key it is


def test_a_key_whose_organization_is_not_known_is_told_by_its_mark() -> None:
    pool = pool_of(key("a", "as we call it"), key("b"))

    assert [pool.account_of(taken(pool, 0, only=name)) for name in "ab"] == [of("a"), of("b")]


def test_once_upstream_has_told_the_organization_is_named() -> None:
    pool = pool_of(key("a"))
    lease = taken(pool, 0)
    pool.answered(lease, head("o"), 0)

    assert pool.account_of(lease) == Account("o", b"a")


def test_what_a_key_has_signed_is_valid_with_itself_and_with_no_stranger() -> None:
    pool = pool_of(key("a"), key("b"))
    lease, other = taken(pool, 0, only="a"), taken(pool, 0, only="b")

    assert pool.is_of(lease, pool.account_of(lease))
    assert not pool.is_of(other, pool.account_of(lease))


def test_two_keys_turn_out_to_be_of_one_account_between_lease_and_answer() -> None:
    pool = pool_of(key("a"), key("b"))
    meet(pool, 0, head("o"), only="a")
    lease = taken(pool, 0, only="b")
    before = pool.is_of(lease, Account("o", b"a"))
    pool.answered(lease, head("o"), 0)

    assert not before
    assert pool.is_of(lease, Account("o", b"a"))
    assert pool.is_of(lease, of("a"))


def test_keys_that_the_configuration_puts_together_are_one_account_on_any_host() -> None:
    pool = pool_of(key("a", "ours", host="x"), key("b", "ours", host="y"), key("c", host="y"))

    assert pool.is_of(taken(pool, 0, only="b"), of("a"))
    assert not pool.is_of(taken(pool, 0, only="c"), of("a"))


def test_after_a_restart_the_mark_tells_what_the_id_does_not_yet() -> None:
    pool = pool_of(key("a", "ours"), key("b", "ours"), key("c"))
    signed_by = Account("an id that no answer has told since", b"a")

    assert pool.is_of(taken(pool, 0, only="b"), signed_by)
    assert name_of(pool.acquire(0, asks(signed_by))) in ("a", "b")


def test_an_id_is_enough_where_the_key_is_gone() -> None:
    pool = pool_of(key("a"), key("b"))
    meet(pool, 0, head("o"), only="b")

    assert {name_of(pool.acquire(0, asks(Account("o", b"gone")))) for _ in range(9)} == {"b"}


def test_keys_without_a_mark_are_not_all_of_one_account() -> None:
    pool = pool_of("a", "b")

    for lease in [taken(pool, 0, only=name) for name in "ab"]:
        assert not pool.is_of(lease, Account("", b""))
        assert not pool.is_of(lease, pool.account_of(lease))


def test_a_key_that_is_removed_while_it_answers_stays_of_its_account() -> None:
    pool = pool_of(key("a", "ours"), key("b", "ours"), key("c"))
    meet(pool, 0, head("o"), only="c")
    lease = taken(pool, 0, only="a")
    pool.update(each.key for each in [state_of(pool, "b"), state_of(pool, "c")])
    # What they were called turns out to be what another is, too.
    meet(pool, 0, head("o"), only="b")

    assert pool.is_of(lease, of("a"))
    assert pool.is_of(lease, of("b"))
    assert pool.is_of(lease, Account("o", b"c"))
    assert pool.account_of(lease) == Account("o", b"a")


def test_what_a_key_has_signed_that_is_removed_since_is_valid_with_those_beside_it() -> None:
    pool = pool_of(key("a", "ours"), key("b", "ours"), key("c"))
    leases = {name: taken(pool, 0, only=name) for name in "abc"}
    account = pool.account_of(leases["a"])
    pool.update(state_of(pool, name).key for name in "bc")

    assert account == of("a")
    assert [pool.is_of(leases[name], account) for name in "abc"] == [True, True, False]
    assert name_of(pool.acquire(0, asks(account))) == "b"


def test_a_lease_outlives_what_is_configured_and_stays_of_its_account() -> None:
    pool = pool_of(key("a"))
    lease = taken(pool, 0)
    pool.answered(lease, head("o"), 0)
    before = pool.account_of(lease)
    pool.update([key("a", "elsewhere"), key("b")])

    assert pool.is_of(lease, before)
    assert pool.is_of(lease, of("a"))
    assert pool.is_of(lease, Account("o", b"another key of it"))
    assert not pool.is_of(lease, of("b"))


# The keys of the account come first


@every_strategy
@pytest.mark.parametrize(("account", "names"), [("a1", {"a1", "a2"}), ("a2", {"a1", "a2"}), ("b", {"b"})])
@pytest.mark.parametrize("prefix", [None, b"p", b"q", b"r"])
def test_the_keys_of_the_account_come_first(
    strategy: StrategyName, account: str, names: set[str], prefix: bytes | None
) -> None:
    pool = two_accounts(strategy)

    assert {taken(pool, 0, asks(of(account), prefix)).key.name for _ in range(40)} <= names


@every_strategy
def test_an_account_that_nobody_here_belongs_to_changes_nothing(strategy: StrategyName) -> None:
    with_account, without = two_accounts(strategy), two_accounts(strategy)
    for number in range(40):
        prefix = b"%d" % (number % 7)
        served = taken(with_account, 0, asks(NOBODYS, prefix)).key.name

        assert served == taken(without, 0, asks(None, prefix)).key.name
        assert with_account.sticky_wait(0, asks(NOBODYS, prefix)) == without.sticky_wait(0, asks(None, prefix))


@every_strategy
@pytest.mark.parametrize("name", ["a1", "a2"])
def test_in_the_account_the_workspace_that_has_the_cache_comes_first(strategy: StrategyName, name: str) -> None:
    pool = two_accounts(strategy)
    warm(pool, "b")
    warm(pool, name)

    assert [taken(pool, 1, asks(of("a1"))).key.name for _ in range(3)] == [name] * 3


def test_a_cold_prompt_goes_to_the_home_that_it_has_in_the_account() -> None:
    ours = [key(f"a{number}", "ours", workspace=f"w{number}") for number in range(5)]
    pool, reordered = pool_of(*ours, key("b")), pool_of(key("b"), *reversed(ours))
    alone = pool_of(*ours)
    prefixes = [b"%d" % number for number in range(60)]

    def homes(pool: KeyPool, account: Account | None) -> list[str]:
        found = []
        for prefix in prefixes:
            lease = taken(pool, 0, asks(account, prefix))
            pool.release(lease, ABANDONED, 0)
            found.append(lease.key.name)
        return found

    assert homes(pool, of("a0")) == homes(reordered, of("a0")) == homes(alone, None)


@every_strategy
def test_the_keys_of_a_large_account_share_its_conversations(strategy: StrategyName) -> None:
    pool = pool_of(*(key(f"a{number}", "ours", workspace="w") for number in range(20)), key("b"), strategy=strategy)
    leases = [taken(pool, 0, asks(of("a0"))) for _ in range(60)]
    for lease in leases[::2]:
        pool.release(lease, SUCCESS, 0)
    pool.release(taken(pool, 0, asks(None), only="b"), SUCCESS, 0)
    pool.update([*(state.key for state in pool.states if state.key.name != "a0"), key("c", "ours", workspace="w")])
    leases += [taken(pool, 0, asks(of("a1"))) for _ in range(60)]

    served = Counter(lease.key.name for lease in leases)
    assert set(served) == {f"a{number}" for number in range(20)} | {"c"}
    assert max(served.values()) <= 9


def test_another_strategy_orders_the_keys_of_an_account_in_its_own_way() -> None:
    pool = pool_of(*(key(f"a{number}", "ours", priority=9 - number) for number in range(10)), key("b"))
    for strategy in ("least_busy", "priority"):
        pool.update([state.key for state in pool.states], PoolSettings(strategy))
        served = [taken(pool, 0, asks(of("a0"))).key.name for _ in range(10)]

        assert len(set(served)) == (10 if strategy == "least_busy" else 1)


@every_strategy
@pytest.mark.parametrize("why", ["not ready", "rejected", "excluded", "avoided", "suspect"])
def test_another_key_of_the_account_takes_over(strategy: StrategyName, why: str) -> None:
    pool = two_accounts(strategy)
    warm(pool, "a1")
    if why == "not ready":
        state_of(pool, "a1").room = 0
    elif why in ("rejected", "suspect"):
        kind = {"rejected": ErrorKind.KEY_REJECTED, "suspect": ErrorKind.UNREACHABLE}[why]
        fail(pool, 0, failed(kind), only="a1")
    only = frozenset({"a1"})
    lease = pool.acquire(
        0,
        asks(of("a1")),
        exclude=only if why == "excluded" else frozenset(),
        avoid=only if why == "avoided" else frozenset(),
    )

    assert name_of(lease) == "a2"


def test_a_hot_prompt_spills_over_the_account_and_no_further() -> None:
    pool = two_accounts()
    warm(pool, "a1")
    served = Counter(taken(pool, 0, asks(of("a1"))).key.name for _ in range(80))

    assert set(served) == {"a1", "a2"}
    # Once all of it is crowded the cache counts.
    assert served["a1"] > served["a2"] >= 5


@every_strategy
def test_little_headroom_is_no_reason_to_leave_the_account(strategy: StrategyName) -> None:
    pool = two_accounts(strategy)
    for name, left in (("a1", 9), ("a2", 9), ("b", 99)):
        meet(pool, 0, head(f"o{name[0]}", name, requests=(100, left)), only=name)

    assert taken(pool, 0, asks(of("a1"))).key.name in ("a1", "a2")


def one_each(*hosts: str) -> KeyPool:
    """Two accounts, a key each, on these hosts."""
    return pool_of(*(key(name, host=host) for name, host in zip("ab", hosts, strict=True)))


@pytest.mark.parametrize(
    ("hosts", "kind", "goes_to"),
    [
        # What fails there fails for everybody.
        (("x", "x"), ErrorKind.UNREACHABLE, "a"),
        (("x", "x"), ErrorKind.OVERLOADED, "a"),
        (("x", "y"), ErrorKind.UNREACHABLE, "b"),
        (("x", "y"), ErrorKind.OVERLOADED, "b"),
        # Nobody is to blame for that.
        (("x", "y"), ErrorKind.UPSTREAM_CONFLICT, "a"),
    ],
)
def test_a_request_that_its_accounts_host_has_failed_goes_to_one_that_is_well(
    hosts: tuple[str, str], kind: ErrorKind, goes_to: str
) -> None:
    pool = one_each(*hosts)
    fail(pool, 0, failed(kind), only="a")

    assert name_of(pool.acquire(0, asks(of("a")), avoid=frozenset("a"))) == goes_to


def test_a_failure_of_others_moves_nobody_out_of_the_account() -> None:
    pool = one_each("x", "y")
    fail(pool, 0, failed(ErrorKind.OVERLOADED), only="a")

    assert name_of(pool.acquire(0, asks(of("a")))) == "a"


@pytest.mark.parametrize(("other_host", "goes_to"), [("x", "a"), ("y", "b")])
def test_nobody_is_sent_where_no_stream_begins_if_another_host_is_well(other_host: str, goes_to: str) -> None:
    pool = one_each("x", other_host)
    taken(pool, 0, LeaseRequest(MODEL, streams=True), only="a")

    assert name_of(pool.acquire(SILENCE_SECONDS, asks(of("a")))) == "a"
    assert name_of(pool.acquire(SILENCE_SECONDS + 1, asks(of("a")))) == goes_to


@every_strategy
def test_where_the_account_cannot_serve_another_does(strategy: StrategyName) -> None:
    pool = two_accounts(strategy)
    for name in ("a1", "a2"):
        fail(pool, 0, failed(ErrorKind.KEY_REJECTED), only=name)

    assert name_of(pool.acquire(0, asks(of("a1")))) == "b"


# Turns


def test_what_goes_to_an_account_counts_as_its_turn() -> None:
    pool = pool_of(key("a"), key("b"), key("c"), strategy="weighted")
    pinned = [taken(pool, 0, asks(of("b"))).key.name for _ in range(4)]
    free = Counter(taken(pool, 0, asks(None)).key.name for _ in range(8))

    assert pinned == ["b"] * 4
    assert free == {"a": 4, "c": 4}


def test_who_is_passed_over_for_an_account_has_not_had_a_turn() -> None:
    pool = pool_of(key("a"), key("b1", "ours", max_concurrency=1), key("b2", "ours"), strategy="weighted")
    pinned = [taken(pool, 0, asks(of("b1"))).key.name for _ in range(5)]

    assert pinned == ["b1", "b2", "b2", "b2", "b2"]
    assert [state.turns for state in pool.states] == [0, 1, 4]


def test_looking_for_a_host_that_is_well_costs_nobody_a_turn() -> None:
    pool = pool_of(key("b", host="x"), key("c", host="x"), key("a", host="x"), strategy="weighted")
    taken(pool, 0, LeaseRequest(MODEL, streams=True), only="b")
    before = [state.turns for state in pool.states]
    lease = pool.acquire(SILENCE_SECONDS + 1, asks(of("a")))

    assert name_of(lease) == "a"
    assert [state.turns for state in pool.states] == [before[0], before[1], before[2] + 1]


# Waiting for the account


def at_their_limit(strategy: StrategyName = "affinity", *, cooling: float = 2.0) -> KeyPool:
    """The account of `a1` cools for so long, `b` is ready."""
    pool = two_accounts(strategy)
    fail(pool, 0, failed(ErrorKind.RATE_LIMITED, cooling), only="a1")
    return pool


@every_strategy
def test_an_account_that_is_ready_before_long_is_waited_for(strategy: StrategyName) -> None:
    sticky_wait = at_their_limit(strategy).sticky_wait(0, asks(of("a1")))

    assert sticky_wait is not None
    assert (sticky_wait.ready_at, sticky_wait.until) == (2.0, MOST_PATIENCE_SECONDS)


def test_one_who_has_failed_there_waits_as_well_but_not_for_keys_that_are_excluded() -> None:
    pool = at_their_limit()

    assert pool.sticky_wait(0, asks(of("a1")), avoid=frozenset({"a1"})) is not None
    assert pool.sticky_wait(0, asks(of("a1")), exclude=frozenset({"a1"})) is not None
    assert pool.sticky_wait(0, asks(of("a1")), exclude=frozenset({"a1", "a2"})) is None


def test_a_busy_account_is_waited_for_however_long_that_may_take() -> None:
    pool = pool_of(key("a", max_concurrency=1), key("b"))
    taken(pool, 0, only="a")
    sticky_wait = pool.sticky_wait(0, asks(of("a")))

    assert sticky_wait is not None
    assert (sticky_wait.ready_at, sticky_wait.until) == (math.inf, MOST_PATIENCE_SECONDS)


def test_a_busy_key_whose_account_is_at_its_limit_for_long_is_not_waited_for() -> None:
    pool = pool_of(key("a1", "ours", max_concurrency=1), key("a2", "ours"), key("b"))
    taken(pool, 0, only="a1")
    fail(pool, 0, failed(ErrorKind.KEY_REJECTED), only="a2", lease_request=LeaseRequest(OTHER))
    busy = pool.sticky_wait(0, asks(of("a1")))
    state_of(pool, "a1").organization.rate_limits("sonnet-5", MODEL).cool(60)

    assert busy is not None
    assert pool.sticky_wait(0, asks(of("a1"))) is None


def test_an_overload_that_is_over_soon_is_waited_for() -> None:
    pool = one_each("x", "y")
    for lease in [taken(pool, 0, only="a") for _ in range(5)]:
        pool.release(lease, failed(ErrorKind.OVERLOADED), 0)
    sticky_wait = pool.sticky_wait(0, asks(of("a")))

    assert sticky_wait is not None
    assert sticky_wait.ready_at == 1.0


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [
        (ErrorKind.RATE_LIMITED, MOST_PATIENCE_SECONDS + 0.1),
        (ErrorKind.KEY_REJECTED, None),
        (ErrorKind.MODEL_REFUSED, None),
        (ErrorKind.SPEND_LIMIT, 1.0),
    ],
)
def test_what_takes_long_or_does_not_pass_is_not_waited_for(kind: ErrorKind, seconds: float | None) -> None:
    pool = one_each("x", "y")
    fail(pool, 0, failed(kind, seconds), only="a")

    assert pool.sticky_wait(0, asks(of("a"))) is None
    assert name_of(pool.acquire(0, asks(of("a")))) == "b"


def test_where_all_keys_are_of_the_account_there_is_nothing_to_wait_for() -> None:
    pool = pool_of(key("a", "ours"), key("b", "ours"), strategy="weighted")
    fail(pool, 0, failed(ErrorKind.RATE_LIMITED, 1.0), only="a")

    assert pool.sticky_wait(0, asks(of("a"))) is None


# In the queue


def waiting(pool: KeyPool, now: float, *lease_requests: tuple[str, LeaseRequest]) -> LeaseQueue[str]:
    queue: LeaseQueue[str] = LeaseQueue(pool, 100)
    for waiter, lease_request in lease_requests:
        assert queue.join(waiter, lease_request, sticky_wait=pool.sticky_wait(now, lease_request))
    return queue


def served(queue: LeaseQueue[str], now: float) -> list[tuple[str, str]]:
    return [(waiter, lease.key.name) for waiter, lease in queue.serve(now)]


def test_who_waits_for_its_account_is_served_there_as_soon_as_it_is_ready() -> None:
    queue = waiting(at_their_limit(), 0, ("w", asks(of("a1"))))
    at_first = served(queue, 0)
    moment = queue.wake_at()

    assert at_first == served(queue, moment - 0.001) == []
    assert moment == 2.0
    assert served(queue, moment) in ([("w", "a1")], [("w", "a2")])


def test_who_waits_for_too_long_goes_elsewhere_and_no_later() -> None:
    pool = pool_of(key("a", max_concurrency=1), key("b"))
    taken(pool, 0, only="a")
    queue = waiting(pool, 0, ("w", asks(of("a"))))
    at_first = served(queue, 0)
    moment = queue.wake_at()

    assert at_first == served(queue, moment - 0.001) == []
    assert moment == MOST_PATIENCE_SECONDS
    assert served(queue, moment) == [("w", "b")]


def test_who_turns_out_to_wait_in_vain_goes_elsewhere_at_once() -> None:
    pool = at_their_limit()
    queue = waiting(pool, 0, ("w", asks(of("a1"))))
    at_first = served(queue, 0)
    lease = taken(pool, 0, LeaseRequest(OTHER), only="a1")
    pool.answered(lease, head("o", requests=(50, 0)), 0.5)
    pool.release(lease, failed(ErrorKind.SPEND_LIMIT, 60), 0.5)

    assert at_first == []
    assert served(queue, 0.5) == [("w", "b")]


def test_a_wait_that_grows_beyond_what_is_left_of_it_ends_at_once() -> None:
    pool = at_their_limit()
    queue = waiting(pool, 0, ("w", asks(of("a1"))))
    at_first = served(queue, 0)
    # From now on the account is ready within the patience of one who comes now, but not of one who came before.
    lease = taken(pool, 2, only="a1")
    queue_before = len(queue)
    pool.answered(lease, {}, 2)
    pool.release(lease, failed(ErrorKind.RATE_LIMITED, 2), 2)

    assert (at_first, queue_before) == ([], 1)
    assert served(queue, 2) == [("w", "b")]


def test_others_pass_who_waits_for_its_account() -> None:
    queue = waiting(at_their_limit(), 0, ("stays", asks(of("a1"))), ("goes", asks(None)), ("at home", asks(of("b"))))

    assert sorted(served(queue, 0)) == [("at home", "b"), ("goes", "b")]
    assert len(queue) == 1


def test_who_waits_for_certain_keys_of_the_account_lets_others_pass() -> None:
    pool = pool_of(key("a1", "ours", max_concurrency=1), key("a2", "ours", max_concurrency=1), key("b"))
    first, second = taken(pool, 0, only="a1"), taken(pool, 0, only="a2")
    queue: LeaseQueue[str] = LeaseQueue(pool, 9)
    without_a2 = frozenset({"a2"})
    queue.join(
        "picky", asks(of("a1")), exclude=without_a2, sticky_wait=pool.sticky_wait(0, asks(of("a1")), exclude=without_a2)
    )
    queue.join("any", asks(of("a1"), caller="c"), sticky_wait=pool.sticky_wait(0, asks(of("a1"))))
    at_first = served(queue, 0)
    pool.release(second, SUCCESS, 0.5)
    then = served(queue, 0.5)
    pool.release(first, SUCCESS, 0.6)

    assert (at_first, then) == ([], [("any", "a2")])
    assert served(queue, 0.6) == [("picky", "a1")]


def test_a_place_that_becomes_free_goes_to_who_waits_for_it_in_turn_with_all_others() -> None:
    """However much happens elsewhere, and although those queues are not looked at every time."""
    pool = pool_of(key("a", max_concurrency=1), key("b", max_concurrency=1))
    ours, theirs = taken(pool, 0, only="a"), taken(pool, 0, only="b")
    queue = waiting(pool, 0, *((f"free {n}", asks(None)) for n in range(9)), ("pinned", asks(of("a"))))
    order: list[tuple[str, str]] = []
    now = 0.0
    while len(order) < 4:
        now += 0.001
        # Something always happens.
        pool.release(theirs, SUCCESS, now)
        ((waiter, theirs),) = queue.serve(now)
        order.append((waiter, theirs.key.name))
        now += 0.001
        pool.release(ours, SUCCESS, now)
        ((waiter, ours),) = queue.serve(now)
        order.append((waiter, ours.key.name))

    assert ("pinned", "a") in order


def test_who_has_waited_in_vain_stands_before_those_who_come_later() -> None:
    """It is one of those who go anywhere then: nobody passes it for ever."""
    pool = pool_of(key("a", max_concurrency=1), key("b", max_concurrency=1))
    taken(pool, 0, only="a")
    other = taken(pool, 0, only="b")
    queue = waiting(pool, 0, ("w", asks(of("a"))))
    at_first = served(queue, 0)
    before = queue.has_queue(asks(None))
    too_late = served(queue, MOST_PATIENCE_SECONDS)

    assert (at_first, before, too_late) == ([], False, [])
    assert queue.has_queue(asks(None))
    assert queue.wake_at() == math.inf
    pool.release(other, SUCCESS, 4)
    assert served(queue, 4) == [("w", "b")]
    assert not queue.has_queue(asks(None))


def test_who_waits_in_vain_with_nowhere_to_go_stands_with_all_others() -> None:
    pool = pool_of(key("a", max_concurrency=1), key("b", max_concurrency=1))
    ours, theirs = taken(pool, 0, only="a"), taken(pool, 0, only="b")
    queue = waiting(pool, 0, ("w", asks(of("a"))))
    before = (served(queue, 0), queue.has_queue(asks(None)))
    pool.release(ours, failed(ErrorKind.KEY_REJECTED), 0.5)
    then = (served(queue, 0.5), queue.has_queue(asks(None)))
    pool.release(theirs, SUCCESS, 0.6)

    assert (before, then) == (([], False), ([], True))
    assert served(queue, 0.6) == [("w", "b")]


def test_whoever_has_waited_longest_is_looked_at_in_time_wherever_it_stands() -> None:
    pool = pool_of(key("a", max_concurrency=1), key("b"))
    taken(pool, 0, only="a")
    queue: LeaseQueue[str] = LeaseQueue(pool, 9)
    for waiter, caller, joined_at in (("early", "x", 0), ("first", "y", 1), ("later", "x", 2)):
        lease_request = asks(of("a"), caller=caller)
        queue.join(waiter, lease_request, sticky_wait=pool.sticky_wait(joined_at, lease_request))
    queue.leave("early")
    now = 2.5
    found = served(queue, now)
    while not found:
        now = queue.wake_at()
        found = served(queue, now)

    assert (now, found) == (1 + MOST_PATIENCE_SECONDS, [("first", "b")])
    assert queue.wake_at() == 2 + MOST_PATIENCE_SECONDS


def test_those_who_cannot_use_the_account_do_not_hold_up_who_waits_for_it() -> None:
    pool = pool_of(key("a", max_concurrency=1), key("b", max_concurrency=1))
    lease = taken(pool, 0, only="a")
    taken(pool, 0, only="b")
    queue: LeaseQueue[str] = LeaseQueue(pool, 99)
    queue.join("picky", asks(None), exclude=frozenset("a"))
    for number in range(12):
        queue.join(f"pinned {number}", asks(of("a")), sticky_wait=pool.sticky_wait(0, asks(of("a"))))
    order = []
    for number in range(12):
        pool.release(lease, SUCCESS, 0.1 * number)
        ((waiter, lease),) = queue.serve(0.1 * number)
        order.append(waiter)

    assert order == [f"pinned {number}" for number in range(12)]


@every_strategy
def test_who_waits_for_its_account_is_not_passed_by_small_requests_that_may_go_elsewhere(
    strategy: StrategyName,
) -> None:
    pool = pool_of(key("a"), key("b", priority=1), strategy=strategy)
    for name, left in (("a", 0), ("b", 60_000)):
        # 1,000 tokens a second, of which two hundredths of a minute's worth are never used.
        meet(pool, 0, head(f"o{name}", requests=(9_000, 9_000), input_tokens=(60_000, left)), name, LeaseRequest(MODEL))
    queue = waiting(pool, 1.2, ("pinned", asks(of("a"), tokens=2_000)))
    now, found = 1.2, list[tuple[str, str]]()
    while not found:
        now += 0.02
        # Alone they would take all that is refilled.
        lease = taken(pool, now, asks(None, b"%f" % now, tokens=50))
        # Without an answer it would cost nothing.
        pool.answered(lease, {}, now)
        pool.release(lease, SUCCESS, now)
        found = served(queue, now)

    assert found == [("pinned", "a")]
    assert now < 1.2 + MOST_PATIENCE_SECONDS
    assert state_of(pool, "a").organization.awaited == {}


def test_conversations_of_an_account_do_not_keep_others_from_its_keys() -> None:
    """Lines are served in turn: of two keys that both are of the account others have about half."""
    pool = pool_of(key("a", max_concurrency=1), key("b"))
    fail(pool, 0, failed(ErrorKind.KEY_REJECTED), only="b")
    leases: list[Lease] = [taken(pool, 0, only="a")]
    queue: LeaseQueue[str] = LeaseQueue(pool, 1000)
    got: Counter[str] = Counter()
    now = 0.0
    for number in range(300):
        for kind, lease_request in (("pinned", asks(of("a"))), ("free", asks(None))):
            queue.join(f"{kind} {number}", lease_request, sticky_wait=pool.sticky_wait(now, lease_request))
        now += 0.01
        pool.release(leases.pop(), SUCCESS, now)
        for waiter, lease in queue.serve(now):
            got[waiter.split()[0]] += 1
            leases.append(lease)

    assert sum(got.values()) == 300
    assert min(got["pinned"], got["free"]) > 100
