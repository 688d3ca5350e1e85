"""The pool: no lease is lost, no key is chosen before its time, and one that is ready is always found."""

from collections import Counter
from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from gateway.keypool import ABANDONED, SUCCESS, Key, KeyPool, Lease, Outcome
from gateway.keypool.pool import LONGEST_REST_SECONDS
from translators.errors import RULES, Blame, ErrorKind, Failure

MODEL, OTHER = "claude-sonnet-5-5", "claude-haiku-5-5"
NOBODY: frozenset[str] = frozenset()


def failed(kind: ErrorKind, retry_after_seconds: float | None = None) -> Outcome:
    return Outcome.of(Failure(kind, "No.", retry_after_seconds=retry_after_seconds))


def pool_of(*names: str) -> KeyPool:
    return KeyPool(Key(name) for name in names)


def taken(pool: KeyPool, now: float, model: str = MODEL) -> Lease:
    lease = pool.acquire(now, model)
    assert lease is not None
    return lease


def name_of(lease: Lease | None) -> str | None:
    return lease.key.name if lease else None


def after(outcome: Outcome, *names: str) -> KeyPool:
    """A pool whose first key came to this at second 100."""
    pool = pool_of(*names)
    lease = taken(pool, 100)
    assert lease.key.name == names[0]
    pool.release(lease, outcome, 100)
    return pool


def test_an_empty_pool_has_nothing_to_give() -> None:
    pool = KeyPool([])

    assert len(pool) == 0
    assert pool.acquire(0, MODEL) is None


def test_a_lease_counts_until_it_is_released() -> None:
    pool = pool_of("a", "b")
    leases = [taken(pool, 0) for _ in range(3)]
    out = pool.in_flight
    for lease in leases:
        pool.release(lease, SUCCESS, 1)

    assert out == 3
    assert pool.in_flight == 0


@pytest.mark.parametrize("kind", ErrorKind)
def test_a_lease_comes_back_whatever_became_of_it(kind: ErrorKind) -> None:
    assert after(failed(kind), "a").in_flight == 0


def test_a_limited_key_cools_for_exactly_as_long_as_upstream_said() -> None:
    pool = after(failed(ErrorKind.RATE_LIMITED, 30), "a")

    assert pool.acquire(129.9, MODEL) is None
    assert name_of(pool.acquire(130, MODEL)) == "a"


def test_a_limit_concerns_one_model_only() -> None:
    pool = after(failed(ErrorKind.RATE_LIMITED, 30), "a")

    assert pool.acquire(101, MODEL) is None
    assert name_of(pool.acquire(101, OTHER)) == "a"


def test_a_limit_without_a_time_still_rests_the_key() -> None:
    pool = after(failed(ErrorKind.RATE_LIMITED), "a")

    assert pool.acquire(100.5, MODEL) is None
    assert pool.acquire(100 + LONGEST_REST_SECONDS, MODEL) is not None


def test_a_shorter_limit_does_not_shorten_a_longer_one() -> None:
    pool = pool_of("a")
    first, second = taken(pool, 0), taken(pool, 0)
    pool.release(first, failed(ErrorKind.RATE_LIMITED, 60), 0)
    pool.release(second, failed(ErrorKind.RATE_LIMITED, 1), 0)

    assert pool.acquire(59, MODEL) is None


def test_success_of_a_request_under_way_does_not_end_a_limit() -> None:
    pool = pool_of("a")
    first, second = taken(pool, 0), taken(pool, 0)
    pool.release(first, failed(ErrorKind.RATE_LIMITED, 60), 0)
    pool.release(second, SUCCESS, 1)

    assert pool.acquire(30, MODEL) is None


@pytest.mark.parametrize("kind", [kind for kind, rule in RULES.items() if rule.blame is Blame.KEY])
def test_a_refused_key_rests_for_every_model(kind: ErrorKind) -> None:
    pool = after(failed(kind), "a")

    assert pool.acquire(100.5, MODEL) is None
    assert pool.acquire(100.5, OTHER) is None


def test_a_refused_key_rests_longer_each_time_and_is_tried_again_in_the_end() -> None:
    pool = pool_of("a")
    now, waits = 0.0, []
    for _ in range(12):
        pool.release(taken(pool, now), failed(ErrorKind.KEY_REJECTED), now)
        _, seconds = pool.why_none(now, MODEL)
        waits.append(seconds)
        now += seconds

    assert all(later >= earlier for earlier, later in pairwise(waits))
    assert waits[-1] == LONGEST_REST_SECONDS
    assert waits[0] < waits[5]


def test_success_makes_a_refused_key_as_good_as_new() -> None:
    pool = pool_of("a")
    now = 0.0
    for _ in range(5):
        pool.release(taken(pool, now), failed(ErrorKind.KEY_REJECTED), now)
        now += LONGEST_REST_SECONDS
    pool.release(taken(pool, now), SUCCESS, now)
    pool.release(taken(pool, now), failed(ErrorKind.KEY_REJECTED), now)
    _, rest = pool.why_none(now, MODEL)

    fresh = after(failed(ErrorKind.KEY_REJECTED), "a")
    assert rest == fresh.why_none(100, MODEL)[1]


def test_a_model_that_a_key_may_not_use_rests_for_that_key_only() -> None:
    pool = after(failed(ErrorKind.MODEL_REFUSED), "a", "b")

    assert {name_of(pool.acquire(100.5, MODEL)) for _ in range(4)} == {"b"}
    assert {name_of(pool.acquire(100.5, OTHER)) for _ in range(4)} == {"a", "b"}


@pytest.mark.parametrize(
    "kind", [kind for kind, rule in RULES.items() if rule.blame is Blame.NOBODY], ids=lambda kind: kind.name
)
def test_a_failure_that_is_nobodys_fault_rests_nobody(kind: ErrorKind) -> None:
    assert name_of(after(failed(kind), "a").acquire(100, MODEL)) == "a"


def test_an_abandoned_attempt_teaches_nothing() -> None:
    pool = after(failed(ErrorKind.KEY_REJECTED), "a")
    now = 100 + LONGEST_REST_SECONDS
    pool.release(taken(pool, now), ABANDONED, now)
    ready = pool.acquire(now, MODEL)
    assert ready is not None
    pool.release(ready, failed(ErrorKind.KEY_REJECTED), now)

    # It was no success either: the second refusal counts as the second in a row.
    assert pool.why_none(now, MODEL)[1] > after(failed(ErrorKind.KEY_REJECTED), "a").why_none(100, MODEL)[1]


def test_keys_of_a_dead_host_are_the_last_choice_but_still_one() -> None:
    pool = KeyPool([Key("a", host="dead"), Key("b", host="dead"), Key("c", host="live")])
    lease = taken(pool, 0)
    assert lease.key.name == "a"
    pool.release(lease, failed(ErrorKind.UNREACHABLE), 0)

    assert {name_of(pool.acquire(1, MODEL)) for _ in range(6)} == {"c"}
    assert name_of(pool.acquire(1, MODEL, exclude=frozenset({"c"}))) in ("a", "b")
    assert {name_of(pool.acquire(60, MODEL)) for _ in range(6)} == {"a", "b", "c"}


def test_an_avoided_key_is_chosen_only_where_there_is_no_other() -> None:
    pool = pool_of("a", "b")

    assert {name_of(pool.acquire(0, MODEL, avoid=frozenset({"a"}))) for _ in range(4)} == {"b"}
    assert name_of(pool.acquire(0, MODEL, avoid=frozenset({"a", "b"}))) in ("a", "b")
    assert name_of(pool.acquire(0, MODEL, avoid=frozenset({"a"}), exclude=frozenset({"b"}))) == "a"


def test_an_excluded_key_is_never_chosen() -> None:
    assert pool_of("a").acquire(0, MODEL, exclude=frozenset({"a"})) is None


def test_why_none_names_the_limit_rather_than_the_refusal() -> None:
    pool = pool_of("a", "b")
    first, second = taken(pool, 0), taken(pool, 0)
    pool.release(first, failed(ErrorKind.KEY_REJECTED), 0)
    pool.release(second, failed(ErrorKind.RATE_LIMITED, 40), 0)

    kind, seconds = pool.why_none(0, MODEL)
    assert kind is ErrorKind.RATE_LIMITED
    # The refused key rests for less than that, but nothing promises that it is good then.
    assert seconds == 40


def test_why_none_says_that_all_were_refused() -> None:
    assert after(failed(ErrorKind.KEY_REJECTED), "a").why_none(100, MODEL)[0] is ErrorKind.KEY_REJECTED


weights = st.lists(st.integers(1, 9), min_size=1, max_size=6)


@given(weights=weights, rounds=st.integers(1, 5))
def test_over_whole_rounds_each_key_has_exactly_its_weight(weights: list[int], rounds: int) -> None:
    pool = KeyPool(Key(str(number), weight) for number, weight in enumerate(weights))

    chosen = Counter(taken(pool, 0).key.name for _ in range(sum(weights) * rounds))

    assert [chosen[str(number)] for number in range(len(weights))] == [weight * rounds for weight in weights]


@given(weights=weights, turns=st.integers(1, 60))
def test_at_no_time_is_a_key_far_from_its_share(weights: list[int], turns: int) -> None:
    pool = KeyPool(Key(str(number), weight) for number, weight in enumerate(weights))

    chosen = Counter(taken(pool, 0).key.name for _ in range(turns))

    for number, weight in enumerate(weights):
        assert abs(chosen[str(number)] - turns * weight / sum(weights)) < len(weights)


def test_a_key_that_comes_back_does_not_make_up_for_its_rest() -> None:
    pool = after(failed(ErrorKind.RATE_LIMITED, 30), "a", "b")
    for _ in range(100):
        assert name_of(pool.acquire(101, MODEL)) == "b"

    chosen = Counter(name_of(pool.acquire(131, MODEL)) for _ in range(10))

    assert chosen["a"] <= 6


@given(weights=st.lists(st.integers(1, 9), min_size=2, max_size=6), data=st.data())
def test_the_turns_of_keys_that_rest_go_to_all_others_by_their_weight(weights: list[int], data: st.DataObject) -> None:
    pool = KeyPool(Key(str(number), weight) for number, weight in enumerate(weights))
    resting = data.draw(st.integers(1, len(weights) - 1))
    for number in range(resting):
        others = frozenset(map(str, range(len(weights)))) - {str(number)}
        lease = pool.acquire(0, MODEL, exclude=others)
        assert lease is not None
        pool.release(lease, failed(ErrorKind.RATE_LIMITED, 1000), 0)

    total = sum(weights[resting:])
    chosen = Counter(taken(pool, 1).key.name for _ in range(total * 10))

    for number, weight in enumerate(weights[resting:], start=resting):
        assert abs(chosen[str(number)] - weight * 10) < len(weights) + max(weights)


def test_keys_that_stay_keep_what_was_learned_and_those_with_another_secret_do_not() -> None:
    pool = after(failed(ErrorKind.KEY_REJECTED), "a", "b")
    pool.update([Key("a"), Key("c")])
    still = {name_of(pool.acquire(100, MODEL)) for _ in range(4)}
    pool.update([Key("a", mark=b"new"), Key("c")])

    assert still == {"c"}
    assert name_of(pool.acquire(100, MODEL, exclude=frozenset("c"))) == "a"


def test_a_refusal_of_the_old_secret_says_nothing_of_the_new_one() -> None:
    pool = pool_of("a")
    lease = taken(pool, 100)
    pool.update([Key("a", mark=b"new")])
    pool.release(lease, failed(ErrorKind.KEY_REJECTED), 100)

    assert name_of(pool.acquire(100, MODEL)) == "a"


def test_a_key_that_goes_finishes_its_leases() -> None:
    pool = pool_of("a")
    leases = [taken(pool, 0) for _ in range(2)]
    pool.update([Key("b")])
    assert (pool.in_flight, {*pool.leaving}, len(pool)) == (2, {"a"}, 1)
    assert {name_of(pool.acquire(0, MODEL)) for _ in range(3)} == {"b"}
    pool.release(leases[0], SUCCESS, 1)
    pool.release(leases[1], failed(ErrorKind.KEY_REJECTED), 1)

    assert (pool.in_flight, {*pool.leaving}) == (3, set())


def test_a_key_that_comes_back_while_it_is_in_use_is_the_same() -> None:
    pool = pool_of("a")
    lease = taken(pool, 0)
    pool.update([])
    pool.update([Key("a")])
    pool.release(lease, failed(ErrorKind.KEY_REJECTED), 0)

    assert (pool.in_flight, pool.acquire(0, MODEL)) == (0, None)


def test_a_new_key_does_not_make_up_for_the_turns_that_others_had() -> None:
    pool = pool_of("a")
    for _ in range(100):
        taken(pool, 0)
    pool.update([Key("a", 2), Key("b", 1)])

    assert Counter(taken(pool, 0).key.name for _ in range(30)) == {"a": 20, "b": 10}


class PoolMachine(RuleBasedStateMachine):
    """Any history of leases, outcomes and time against what must always hold."""

    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.keys = {"a": Key("a", 1, "x"), "b": Key("b", 3, "x"), "c": Key("c", 2, "y")}
        self.pool = KeyPool(self.keys.values())
        self.out: Counter[str] = Counter()
        # Each key as it was configured last.
        self.configured = dict(self.keys)
        # Until when a key must not be chosen (for a model), and from when on it has to be.
        self.shut: dict[tuple[str, str], float] = {}
        self.open_again: dict[tuple[str, str], float] = {}
        self.host_troubled_until: dict[str, float] = {}

    names = st.frozensets(st.sampled_from("abc"), max_size=3)
    models = st.sampled_from([MODEL, OTHER])

    @rule(target=leases, model=models, exclude=names, avoid=names)
    def acquire(self, model: str, exclude: frozenset[str], avoid: frozenset[str]) -> Lease | None:
        lease = self.pool.acquire(self.now, model, exclude=exclude, avoid=avoid)
        surely_ready = {
            name for name in self.keys if name not in exclude and self.open_again.get((name, model), 0.0) <= self.now
        }
        if lease is None:
            assert not surely_ready
            return None
        name = lease.key.name
        self.out[name] += 1
        assert lease.key == self.keys[name]
        assert lease.model == model
        assert name not in exclude
        assert self.shut.get((name, model), 0.0) <= self.now
        untroubled = {
            ready for ready in surely_ready if self.host_troubled_until.get(self.keys[ready].host, 0.0) <= self.now
        }
        if name in avoid:
            assert not untroubled - avoid
        return lease

    outcomes = st.sampled_from([SUCCESS, ABANDONED]) | st.builds(
        failed, st.sampled_from(list(ErrorKind)), st.none() | st.floats(0, 1000, allow_nan=False)
    )

    @rule(lease=consumes(leases), outcome=outcomes)
    def release(self, lease: Lease | None, outcome: Outcome) -> None:
        if lease is None:
            return
        self.pool.release(lease, outcome, self.now)
        name, asked = lease.key.name, outcome.retry_after_seconds
        self.out[name] -= 1
        configured = self.configured[name]
        if outcome.blame is Blame.HOST:
            self.host_troubled_until[lease.key.host] = self.now + 60.0
        elif (lease.key.mark, lease.key.host) != (configured.mark, configured.host):
            pass
        elif outcome.blame is Blame.KEY:
            for model in (MODEL, OTHER):
                self._shut(name, model, 0.5, max(LONGEST_REST_SECONDS, asked or 0.0))
        elif outcome.blame is Blame.KEY_LIMIT:
            self._shut(name, lease.model, 0.5 if asked is None else asked, 60.0 if asked is None else asked)
        elif outcome.blame is Blame.KEY_AND_MODEL:
            self._shut(name, lease.model, 0.0, max(LONGEST_REST_SECONDS, asked or 0.0))
        self._forget_gone()

    keys_of_any_kind = st.builds(
        Key, st.sampled_from("abcd"), st.integers(1, 3), st.sampled_from("xy"), st.sampled_from([b"1", b"2"])
    )

    @rule(keys=st.lists(keys_of_any_kind, max_size=4, unique_by=lambda key: key.name))
    def reconfigure(self, keys: list[Key]) -> None:
        self.pool.update(keys)
        self.keys = {key.name: key for key in keys}
        self._forget_gone()
        for key in keys:
            before = self.configured.get(key.name, key)
            if (key.mark, key.host) != (before.mark, before.host):
                self._forget(key.name)
        self.configured |= self.keys

    def _forget_gone(self) -> None:
        for name in self.configured.keys() - self.keys.keys():
            if not self.out[name]:
                self._forget(name)

    def _forget(self, name: str) -> None:
        for model in (MODEL, OTHER):
            self.shut.pop((name, model), None)
            self.open_again.pop((name, model), None)

    def _shut(self, name: str, model: str, at_least: float, at_most: float) -> None:
        place = (name, model)
        self.shut[place] = max(self.shut.get(place, 0.0), self.now + at_least)
        self.open_again[place] = max(self.open_again.get(place, 0.0), self.now + at_most)

    @rule(seconds=st.floats(0, 400, allow_nan=False))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(model=models)
    def ask_why(self, model: str) -> None:
        if any(self.open_again.get((name, model), 0.0) <= self.now for name in self.keys):
            return
        _, seconds = self.pool.why_none(self.now, model)
        assert seconds >= 0.0

    @rule(model=models)
    def wait_as_told(self, model: str) -> None:
        lease = self.pool.acquire(self.now, model)
        if lease is not None:
            self.pool.release(lease, ABANDONED, self.now)
            return
        kind, seconds = self.pool.why_none(self.now, model)
        assert seconds > 0 or not self.keys
        if kind is ErrorKind.RATE_LIMITED:
            self.now += seconds + 1e-6
            again = self.pool.acquire(self.now, model)
            assert again is not None
            self.pool.release(again, ABANDONED, self.now)

    @invariant()
    def no_lease_is_lost(self) -> None:
        assert self.pool.in_flight == self.out.total()
        assert self.pool.leaving == {name for name, count in self.out.items() if count} - self.keys.keys()


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
