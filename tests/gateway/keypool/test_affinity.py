"""Conversations stay where their cache is, hot prompts spill and come back, and a ring shares evenly."""

import random
from collections import Counter

import hypothesis.strategies as st
import pytest
from hypothesis import given

from gateway.keypool import ABANDONED, SUCCESS, Key, KeyPool, Lease, LeaseRequest, Outcome
from gateway.keypool.domains import Workspace
from gateway.keypool.ring import Ring
from gateway.keypool.strategies import StrategyName
from gateway.keypool.warmth import WARM_SECONDS, Warmth
from tests.support.pools import MODEL, STRATEGIES, fail, failed, head, meet, name_of, pool_of, state_of, taken
from translators.errors import ErrorKind
from translators.usage import Usage

CACHED = Usage(cache_write_tokens=1_000)


def workspace(name: str, weight: int = 1) -> Workspace:
    found = Workspace(name, is_known=True)
    found.weight = weight
    found.capacity = float(weight)
    return found


def ring_of(*weights: int) -> Ring:
    ring = Ring()
    for number, weight in enumerate(weights):
        ring.put(workspace(f"w{number}", weight))
    return ring


def prefixes(count: int) -> list[bytes]:
    drawn = random.Random(1)
    return [drawn.randbytes(8) for _ in range(count)]


def home(ring: Ring, prefix: bytes) -> str:
    return next(ring.from_home(prefix)).name


# The ring


@pytest.mark.parametrize("count", [2, 3, 10, 40])
def test_a_ring_shares_evenly(count: int) -> None:
    ring = ring_of(*[1] * count)
    homes = Counter(home(ring, prefix) for prefix in prefixes(count * 500))

    assert len(homes) == count
    assert max(homes.values()) < 500 * 1.45
    assert min(homes.values()) > 500 * 0.55


def test_a_ring_shares_by_weight() -> None:
    ring = ring_of(1, 4)
    homes = Counter(home(ring, prefix) for prefix in prefixes(5_000))

    assert 3.2 < homes["w1"] / homes["w0"] < 5


@given(count=st.integers(2, 9), data=st.data())
def test_when_a_workspace_leaves_only_its_share_moves_and_when_it_returns_comes_back(
    count: int, data: st.DataObject
) -> None:
    ring, asked = ring_of(*[1] * count), prefixes(200)
    before = [[found.name for found in ring.from_home(prefix)] for prefix in asked]
    leaving = data.draw(st.integers(0, count - 1))
    ring.put(workspace(f"w{leaving}", 0))
    without = [[found.name for found in ring.from_home(prefix)] for prefix in asked]
    ring.put(workspace(f"w{leaving}"))

    # The order of the others is as it was, for each prefix.
    assert without == [[name for name in order if name != f"w{leaving}"] for order in before]
    assert [[found.name for found in ring.from_home(prefix)] for prefix in asked] == before


@given(weights=st.lists(st.integers(1, 40), min_size=1, max_size=6), prefix=st.binary(max_size=16))
def test_each_workspace_comes_up_once(weights: list[int], prefix: bytes) -> None:
    ring = ring_of(*weights)

    assert sorted(found.name for found in ring.from_home(prefix)) == sorted(f"w{n}" for n in range(len(weights)))


@given(weights=st.lists(st.integers(1, 40), min_size=1, max_size=30), prefix=st.binary(max_size=16), data=st.data())
def test_some_workspaces_come_up_in_the_order_of_all(weights: list[int], prefix: bytes, data: st.DataObject) -> None:
    ring = ring_of(*weights)
    everyone = list(ring.from_home(prefix))
    some = data.draw(st.frozensets(st.sampled_from(everyone)))

    assert list(ring.nearest(prefix, some)) == [workspace for workspace in everyone if workspace in some]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40)), max_size=30))
def test_a_ring_that_has_changed_is_the_same_as_a_new_one(changes: list[tuple[int, int]]) -> None:
    ring, wanted = Ring(), dict[int, int]()
    for number, weight in changes:
        ring.put(workspace(f"w{number}", weight))
        wanted[number] = weight
    fresh = Ring()
    for number, weight in wanted.items():
        fresh.put(workspace(f"w{number}", weight))

    assert ring._points == fresh._points
    assert ring._own_points == fresh._own_points
    assert len(ring) == sum(weight > 0 for weight in wanted.values())


def test_an_empty_ring_has_no_home() -> None:
    assert list(Ring().from_home(b"p")) == []


# Warmth


def test_a_prefix_is_warm_for_five_minutes_after_its_last_use() -> None:
    warmth, place = Warmth(), workspace("w")
    warmth.learn(asks(b"p", 2_000), place, CACHED, 0)
    # Of what the prompt had, three quarters are in the cache: of what it was taken for, too.
    warmth.learn(asks(b"p", 4_000), place, Usage(input_tokens=1_500, cache_read_tokens=4_500), 200)

    assert [cache.tokens for cache in warmth.caches(b"p", 200 + WARM_SECONDS - 0.001)] == [3_000]
    assert warmth.caches(b"p", 200 + WARM_SECONDS) == []
    assert not warmth.caches(b"q", 0)
    assert not warmth.caches(None, 0)


def test_usage_without_a_cache_teaches_nothing() -> None:
    warmth = Warmth()
    warmth.learn(asks(b"p"), workspace("w"), Usage(input_tokens=5_000), 0)

    assert len(warmth) == 0


def test_where_a_prefix_was_first_stays_known_when_it_spills_on_and_on() -> None:
    warmth = Warmth()
    places = [workspace(name) for name in "abcdefghij"]
    for now, place in enumerate(places):
        warmth.learn(asks(b"p"), place, CACHED, now)

    assert [cache.workspace.name for cache in warmth.caches(b"p", 20)] == [*"abcdefg", "j"]


def test_a_cache_that_went_cold_makes_room() -> None:
    warmth = Warmth()
    for now, name in [(0, "a"), (10, "b"), (305, "c")]:
        warmth.learn(asks(b"p"), workspace(name), CACHED, now)

    assert [cache.workspace.name for cache in warmth.caches(b"p", 306)] == ["b", "c"]


def test_only_the_latest_prefixes_are_remembered() -> None:
    warmth, place = Warmth(), workspace("w")
    warmth.learn(asks(b"used"), place, CACHED, 0)
    for number in range(30_000):
        if number % 1_000 == 0:
            warmth.learn(asks(b"used"), place, CACHED, 0)
        warmth.learn(asks(b"%d" % number), place, CACHED, 0)

    assert len(warmth) == 20_000
    assert not warmth.caches(b"0", 1)
    assert warmth.caches(b"used", 1)


# Choosing by affinity


def asks(prefix: bytes | None, tokens: int = 0) -> LeaseRequest:
    return LeaseRequest(MODEL, tokens, prefix)


def served(pool: KeyPool, now: float, lease_request: LeaseRequest, usage: Usage = CACHED) -> str:
    lease = taken(pool, now, lease_request)
    pool.release(lease, Outcome.success(usage), now)
    return lease.key.name


def test_a_prefix_has_a_home_and_different_prefixes_different_ones() -> None:
    pool = pool_of(*"abcd")
    homes = {prefix: served(pool, 0, asks(prefix), Usage()) for prefix in prefixes(200)}
    again = {prefix: served(pool, 1, asks(prefix), Usage()) for prefix in prefixes(200)}

    assert homes == again
    assert min(Counter(homes.values()).values()) > 20


def test_two_processes_agree_on_the_home_of_a_prefix() -> None:
    first, second = pool_of(*"abcd"), pool_of(*"dcba")

    assert [served(first, 0, asks(p), Usage()) for p in prefixes(50)] == [
        served(second, 9, asks(p), Usage()) for p in prefixes(50)
    ]


def test_within_a_workspace_the_least_busy_key_serves() -> None:
    pool = pool_of(*(Key(name, workspace="w") for name in "abc"))

    assert Counter(name_of(pool.acquire(0, asks(b"p"))) for _ in range(9)) == {"a": 3, "b": 3, "c": 3}


def hot(pool: KeyPool, now: float, count: int, lease_request: LeaseRequest) -> list[Lease]:
    return [taken(pool, now, lease_request) for _ in range(count)]


def test_a_hot_prompt_spills_to_the_next_in_order_and_comes_back_home() -> None:
    pool = pool_of(*"abc")
    first = served(pool, 0, asks(b"hot"))
    leases = hot(pool, 0, 60, asks(b"hot"))
    spread = Counter(lease.key.name for lease in leases)
    for lease in leases:
        pool.release(lease, Outcome.success(CACHED), 1)

    assert len(spread) > 1
    assert spread[first] == max(spread.values())
    assert spread[first] <= 8 + 2 * 61 / 3 + 1
    assert [served(pool, 2, asks(b"hot")) for _ in range(5)] == [first] * 5


def test_a_few_requests_at_once_stay_together() -> None:
    pool = pool_of(*"abc")

    assert len({lease.key.name for lease in hot(pool, 0, 4, asks(b"p"))}) == 1


def test_where_a_cache_is_warm_more_is_borne_than_where_it_is_cold() -> None:
    cold, warm = pool_of(*"abcdef"), pool_of(*"abcdef")
    served(warm, 0, asks(b"p"))
    at_home = [Counter(lease.key.name for lease in hot(pool, 1, 40, asks(b"p"))) for pool in (cold, warm)]

    assert at_home[0].most_common(1)[0][1] < at_home[1].most_common(1)[0][1]


def test_a_conversation_follows_its_cache_where_it_had_to_go_and_comes_home_when_that_is_cold() -> None:
    pool = pool_of(*"abc")
    first = served(pool, 0, asks(b"p"), Usage())
    fail(pool, 0, failed(ErrorKind.RATE_LIMITED, 30), only=first)
    elsewhere = served(pool, 1, asks(b"p"))
    still = served(pool, 100, asks(b"p"))

    assert elsewhere == still != first
    assert served(pool, 100 + WARM_SECONDS, asks(b"p")) == first


def test_a_home_that_is_warm_comes_before_where_the_prompt_has_spilled_to() -> None:
    pool = pool_of(*"abc")
    first = served(pool, 0, asks(b"p"))
    other = taken(pool, 0, asks(b"p"), only=next(name for name in "abc" if name != first))
    pool.release(other, Outcome.success(CACHED), 0)

    assert served(pool, 1, asks(b"p")) == first


def test_a_warm_key_that_runs_low_is_still_asked_and_a_cold_one_is_not() -> None:
    pool = pool_of("a", "b")
    first = served(pool, 0, asks(b"p"), Usage())
    (other,) = {"a", "b"} - {first}
    meet(pool, 0, head(first, requests=(100, 9)), only=first, lease_request=asks(None))
    meet(pool, 0, head(other, requests=(100, 90)), only=other, lease_request=asks(None))
    cold = name_of(pool.acquire(0, asks(b"p")))
    served_warm = taken(pool, 0, asks(b"q"), only=first)
    pool.release(served_warm, Outcome.success(CACHED), 0)

    assert cold == other
    assert name_of(pool.acquire(0, asks(b"q"))) == first


def test_a_hot_prompt_spills_out_of_a_workspace_with_many_keys() -> None:
    pool = pool_of(*(Key(f"{place}{n}", workspace=place) for place in "xyz" for n in range(10)))

    assert len({lease.key.workspace for lease in hot(pool, 0, 200, asks(b"hot"))}) > 1


@pytest.mark.parametrize("strategy", ["priority", "affinity"])
def test_a_suspect_host_with_many_keys_gives_way_to_another(strategy: StrategyName) -> None:
    bad = [Key(f"x{n}", host="x", workspace="x") for n in range(10)]
    pool = pool_of(*bad, Key("y", host="y", workspace="x", priority=1), strategy=strategy)
    taken(pool, 0, asks(None), only="y")
    fail(pool, 0, failed(ErrorKind.UNREACHABLE), only="x0", lease_request=asks(None))

    assert name_of(pool.acquire(0, asks(b"p"))) == "y"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("known", [True, False])
def test_later_turns_of_conversations_land_where_their_cache_is(seed: int, known: bool) -> None:
    drawn = random.Random(seed)
    pool = pool_of(*(Key(f"{place}{n}", workspace=place if known else None) for place in "xyz" for n in range(2)))
    heads = {state.key.name: head(f"o{state.key.name[0]}", state.key.name[0]) for state in pool.states}
    out: list[tuple[float, int, Lease]] = []
    # Each workspace's caches as they really are: until when, by conversation.
    caches: dict[tuple[str, int], float] = {}
    hits = later = 0
    turns: Counter[int] = Counter()
    now = 0.0
    for _ in range(6_000):
        now += drawn.expovariate(4)
        while out and out[0][0] <= now:
            ends, conversation, lease = out.pop(0)
            place = lease.key.name[0]
            is_warm = caches.get((place, conversation), 0) > lease.acquired_at
            caches[place, conversation] = ends + WARM_SECONDS
            used = Usage(cache_read_tokens=2_000) if is_warm else Usage(cache_write_tokens=2_000)
            pool.release(lease, Outcome.success(used), ends)
        # Conversations come and go: a turn every 40 s or so, some twenty turns each.
        conversation = int(now / 20) - drawn.randrange(150)
        if any(entry[1] == conversation for entry in out):
            continue
        lease = taken(pool, now, asks(b"c%d" % conversation, 2_500))
        pool.answered(lease, heads[lease.key.name], now)
        turns[conversation] += 1
        warm = {place for place in "xyz" if caches.get((place, conversation), 0) > now}
        if turns[conversation] > 1 and warm:
            later += 1
            hits += lease.key.name[0] in warm
        out.append((now + drawn.uniform(1, 8), conversation, lease))
        out.sort(key=lambda entry: entry[0])

    assert later > 2_000
    assert hits >= 0.95 * later


def test_conversations_are_spread_over_all_workspaces() -> None:
    pool = pool_of(*"abc")
    at = Counter(served(pool, 0, asks(prefix)) for prefix in prefixes(300))

    assert min(at.values()) > 50


def test_without_a_prefix_the_least_busy_key_of_all_serves() -> None:
    pool = pool_of(*"abc")

    assert Counter(name_of(pool.acquire(0, asks(None))) for _ in range(9)) == {"a": 3, "b": 3, "c": 3}


def test_a_key_that_leaves_takes_only_its_own_prefixes_along() -> None:
    pool, asked = pool_of(*"abcd"), prefixes(200)
    before = [served(pool, 0, asks(prefix), Usage()) for prefix in asked]
    pool.update(Key(name) for name in "acd")
    after = [served(pool, 1, asks(prefix), Usage()) for prefix in asked]

    assert all(new == old for old, new in zip(before, after, strict=True) if old != "b")
    assert len({new for old, new in zip(before, after, strict=True) if old == "b"}) == 3


def test_weights_of_workspaces_follow_their_keys() -> None:
    pool = pool_of(Key("a", 2, workspace="w"), Key("b", 3, workspace="w"), "c")
    pool.update([Key("a", 5, workspace="w"), Key("c")])
    pool.probed("a", is_well=True, now=0)

    assert (state_of(pool, "a").workspace.weight, state_of(pool, "c").workspace.weight) == (5, 1)


@pytest.mark.parametrize("strategy", STRATEGIES)
@given(steps=st.lists(st.integers(-3, 4), max_size=40))
def test_the_order_of_keys_is_always_the_order_of_their_ranks(strategy: StrategyName, steps: list[int]) -> None:
    pool = pool_of(*(Key(name, number + 1, workspace="w") for number, name in enumerate("abcde")), strategy=strategy)
    order, out = state_of(pool, "a").order, list[Lease]()
    for step in steps:
        if step < 0 and out:
            pool.release(out.pop(step % len(out)), ABANDONED, 0)
        else:
            out.append(taken(pool, 0, asks(b"p"), only="abcde"[max(step, 0)]))

        assert order.ranks == sorted(state.order._rank(state) for state in pool.states)


@pytest.mark.parametrize("strategy", ["affinity", "least_busy"])
def test_a_key_that_comes_back_after_a_long_rest_shares_with_the_others(strategy: StrategyName) -> None:
    pool = pool_of("a", "b", strategy=strategy)
    fail(pool, 0, failed(ErrorKind.RATE_LIMITED, 300), only="a", lease_request=asks(None))
    for _ in range(500):
        served(pool, 1, asks(None))
    at_once = [taken(pool, 400, asks(None)) for _ in range(10)]

    # One after another it has the turns that it missed; at once it has no more than the others.
    assert Counter(lease.key.name for lease in at_once) == {"a": 5, "b": 5}


def test_homes_follow_the_limits_of_organizations() -> None:
    """By keys alone the three of the small organization would have three quarters of all homes."""
    small = [Key(f"s{number}", organization="small", workspace="small") for number in range(3)]
    pool = pool_of(*small, Key("big", organization="big", workspace="big"))
    for name, limit in (("s0", 1_000_000), ("big", 9_000_000)):
        lease = taken(pool, 0, asks(None), only=name)
        pool.answered(
            lease, head(f"id {lease.key.organization}", requests=(9_000, 9_000), input_tokens=(limit, limit)), 0
        )
        pool.release(lease, SUCCESS, 0)
    homes = Counter(served(pool, 1, asks(prefix), Usage()) == "big" for prefix in prefixes(400))

    assert 0.8 < homes[True] / 400 < 0.97
