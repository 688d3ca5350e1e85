"""What is kept in memory: never more than the bound, never longer than it may, and forgotten in the right order."""

import tracemalloc
from collections import OrderedDict
from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.kept_turns.breaker import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, TOLERATED, Breaker
from gateway.kept_turns.memory import ENTRY_BYTES, LARGEST_SHARE, USE_SECONDS, Absent, Memory

KEEP = 100.0
BOUND = 16 * (ENTRY_BYTES + 50)
KEYS = st.integers(0, 30).map(lambda number: number.to_bytes(16, "big"))


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


class MemoryMachine(RuleBasedStateMachine):
    """A memory beside a model that says it in the plainest way: a list in the order of use."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = Memory(BOUND, KEEP)
        self.model: OrderedDict[bytes, tuple[bytes, float]] = OrderedDict()
        self.now = 0.0

    @rule(key=KEYS, size=st.integers(0, 600), age=st.sampled_from([0.0, 0.0, 0.0, 50.0, 99.0, 100.0, 1000.0]))
    def put(self, key: bytes, size: int, age: float) -> None:
        value = key[:1] * size
        is_kept = self.memory.put(key, value, self.now, age)

        self.model.pop(key, None)
        assert is_kept == (size + ENTRY_BYTES <= BOUND // LARGEST_SHARE and age < KEEP)
        if is_kept:
            self.model[key] = (value, self.now + KEEP - age)
            while sum(len(value) + ENTRY_BYTES for value, _ in self.model.values()) > BOUND:
                self.model.popitem(last=False)

    @rule(key=KEYS)
    def get(self, key: bytes) -> None:
        value, expires_at = self.model.get(key, (None, 0.0))

        found = self.memory.get(key, self.now)

        assert found == (value if self.now < expires_at else None)
        if found is not None:
            self.model.move_to_end(key)
        else:
            self.model.pop(key, None)

    @rule(key=KEYS)
    def forget(self, key: bytes) -> None:
        self.memory.forget(key)
        self.model.pop(key, None)

    @rule(seconds=st.sampled_from([0.5, 10.0, 60.0, KEEP]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def is_never_over_its_bound(self) -> None:
        assert self.memory.size <= BOUND

    @invariant()
    def counts_what_it_holds(self) -> None:
        held = [entry.value for entry in self.memory._entries.values()]

        assert self.memory.size == sum(map(len, held)) + ENTRY_BYTES * len(held)

    @invariant()
    def holds_nothing_that_the_model_has_not_and_lacks_only_what_has_expired(self) -> None:
        missing = self.model.keys() - self.memory._entries.keys()

        assert self.memory._entries.keys() <= self.model.keys()
        assert all(self.model[key][1] <= self.now for key in missing)
        for gone in missing:
            del self.model[gone]


TestMemoryMachine = MemoryMachine.TestCase
TestMemoryMachine.settings = settings(stateful_step_count=60)


@pytest.mark.parametrize("size", [0, 100, 2000])
def test_the_bound_holds_for_what_python_allocates(size: int) -> None:
    bound = 4 * 1024 * 1024
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    memory = Memory(bound, KEEP)
    most = 0
    for number in range(2 * bound // (size + ENTRY_BYTES)):
        memory.put(key(number), bytes(size), float(number) / 1e6)
        most = max(most, tracemalloc.get_traced_memory()[0] - before)
    tracemalloc.stop()

    assert 0.5 * bound < most <= 1.02 * bound


def test_what_was_not_used_for_its_whole_time_makes_room_even_where_there_is_some() -> None:
    memory = Memory(BOUND, KEEP)
    memory.put(key(1), b"old", 0.0)
    memory.put(key(2), b"new", KEEP)

    assert len(memory) == 1


def test_a_use_is_reported_once_in_an_hour() -> None:
    memory = Memory(BOUND, 10 * USE_SECONDS)
    memory.put(key(1), b"value", 0.0)
    reports = []
    for now in (1.0, USE_SECONDS, USE_SECONDS + 1, 2 * USE_SECONDS - 1, 2 * USE_SECONDS):
        memory.get(key(1), now)
        reports.append(memory.take_used())

    assert reports == [[], [key(1)], [], [], [key(1)]]


def test_what_another_memory_held_keeps_its_age_and_its_order() -> None:
    old, new = Memory(BOUND, KEEP), Memory(2 * (ENTRY_BYTES + 10) * LARGEST_SHARE, KEEP / 2)
    old.put(key(1), b"1", 0.0)
    old.put(key(2), b"2", 30.0)
    old.put(key(3), b"3", 31.0)
    old.get(key(2), 32.0)
    new.adopt(old, 60.0)

    assert new.get(key(1), 60.0) is None
    assert [*new._entries] == [key(3), key(2)]
    assert new.get(key(2), 79.0) == b"2"
    assert new.get(key(2), 80.0) is None


def test_a_key_known_to_be_nowhere_is_so_for_a_while_and_until_it_is_put() -> None:
    absent = Absent(seconds=300.0)
    absent.add([key(1), key(2)], 0.0)
    absent.discard(key(2))

    assert [absent.knows(key(number), 299.0) for number in (1, 2, 3)] == [True, False, False]
    assert not absent.knows(key(1), 300.0)
    assert len(absent) == 0


def test_a_flood_of_keys_that_are_nowhere_drives_the_oldest_out() -> None:
    absent = Absent(most=100)
    absent.add(map(key, range(1000)), 0.0)

    assert len(absent) == 100
    assert [absent.knows(key(number), 1.0) for number in (899, 900, 999)] == [False, True, True]


def test_failures_in_a_row_open_the_breaker_and_trials_become_rarer() -> None:
    breaker = Breaker()
    for _ in range(TOLERATED):
        assert breaker.allows(0.0)
        breaker.failed(0.0)
    trials = [now for now in range(200) if breaker.allows(float(now))]
    pauses = [later - earlier for earlier, later in pairwise(trials)]

    assert trials[0] == FIRST_PAUSE_SECONDS
    assert pauses[:4] == [2, 4, 8, 16]
    assert set(pauses[4:]) == {LONGEST_PAUSE_SECONDS}


def test_failures_of_what_was_begun_before_do_not_prolong_the_pause() -> None:
    breaker = Breaker()
    for late in range(100):
        breaker.failed(late / 100)

    pause = FIRST_PAUSE_SECONDS + (TOLERATED - 1) / 100
    assert [breaker.allows(pause - 0.01), breaker.allows(pause)] == [False, True]


def test_one_success_closes_the_breaker() -> None:
    breaker = Breaker()
    for _ in range(TOLERATED):
        breaker.failed(0.0)
    assert breaker.allows(10.0)
    breaker.succeeded()
    for _ in range(TOLERATED):
        assert breaker.allows(10.0)
        breaker.failed(10.0)

    assert not breaker.allows(10.5)
    assert breaker.allows(10.0 + FIRST_PAUSE_SECONDS)
