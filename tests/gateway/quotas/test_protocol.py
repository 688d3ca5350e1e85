"""Portions as a state machine: workers take, settle, leave and die, frames arrive late or are lost with their talk.

Never is more admitted than one meter in one place would admit, and after all have died everything can be used again.
"""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateway.accounts.rules.rule import Measure, What
from tests.gateway.quotas.family import START, Family, Member, Request

DAY = 86_400.0

LIMIT = 12
MEASURES = {
    "budget": Measure("budget", What.MONEY, LIMIT, "day", is_aligned=True),
    "rate": Measure("rate", What.INPUT_TOKENS, LIMIT, "minute", is_aligned=False),
    "seats": Measure("seats", What.IN_FLIGHT, LIMIT, "total", is_aligned=True),
}


class Whole:
    """The same meter in one place, which knows everything at once."""

    def __init__(self, measure: Measure) -> None:
        self.measure = measure
        self.spent: dict[float, int] = {}
        self.held: dict[float, int] = {}
        self.level, self.at = float(LIMIT), START

    def window(self, at: float) -> float:
        return at // DAY if self.measure.what is What.MONEY else 0.0

    def take(self, request: Request) -> None:
        window = self.window(request.taken_at)
        self.held[window] = self.held.get(window, 0) + request.cost
        self.level -= request.cost

    def settle(self, request: Request, actual: int) -> None:
        window = self.window(request.taken_at)
        self.held[window] -= request.cost
        if self.measure.what is not What.IN_FLIGHT:
            self.spent[window] = self.spent.get(window, 0) + actual
        self.level += request.cost - actual

    def die(self, request: Request) -> None:
        """Its request is gone; a bucket does not get back what it held."""
        self.held[self.window(request.taken_at)] -= request.cost

    def refill(self, now: float) -> None:
        self.level = min(float(LIMIT), self.level + (now - self.at) * LIMIT / 60)
        self.at = now

    def check(self) -> None:
        if self.measure.what is What.INPUT_TOKENS:
            assert self.level > -1e-6
            return
        for window, held in self.held.items():
            assert held + self.spent.get(window, 0) <= LIMIT


class Machine(RuleBasedStateMachine):
    """`measure` is set by the classes below."""

    measure: Measure
    members = Bundle("members")

    def __init__(self) -> None:
        super().__init__()
        self.family = Family()
        self.whole = Whole(self.measure)
        self.counted: set[Request] = set()
        self.number = 0

    @initialize()
    def begin(self) -> None:
        for _ in range(2):
            self.hire()

    def hire(self) -> None:
        self.number += 1
        self.family.join(self.number)

    def member(self, place: int) -> Member:
        return self.family.members[place % len(self.family.members)]

    def running(self, member: Member) -> list[Request]:
        return [request for request in member.requests if request.is_admitted]

    @rule(place=st.integers(0, 2), cost=st.integers(1, 6), count=st.integers(1, 4))
    def take(self, place: int, cost: int, count: int) -> None:
        for _ in range(count):
            self.family.ask(self.member(place), cost, self.measure)

    @rule(place=st.integers(0, 2), which=st.integers(0, 50), share=st.integers(0, 4))
    def settle(self, place: int, which: int, share: int) -> None:
        member = self.member(place)
        if running := self.running(member):
            request = running[which % len(running)]
            actual = request.cost * share // 4
            self.count()
            self.whole.settle(request, actual)
            self.family.settle(member, request, actual)

    @rule(place=st.integers(0, 2), which=st.integers(0, 50))
    def leave(self, place: int, which: int) -> None:
        """A caller leaves while its request waits."""
        waiting = [request for request in self.member(place).requests if request.is_admitted is None]
        if waiting:
            task = waiting[which % len(waiting)].task
            assert task is not None
            task.cancel()

    @rule(place=st.integers(0, 2), to_parent=st.booleans(), frames=st.integers(1, 3))
    def deliver(self, place: int, to_parent: bool, frames: int) -> None:
        self.family.deliver(self.member(place), to_parent=to_parent, frames=frames)

    @rule()
    def deliver_all(self) -> None:
        self.family.deliver_all()

    @rule(place=st.integers(0, 2))
    def pulse(self, place: int) -> None:
        self.family.run(self.family.pulse(self.member(place)))

    @rule(place=st.integers(0, 2))
    def forget(self, place: int) -> None:
        member = self.member(place)
        meter = member.leases.meter(self.measure, self.family.now)
        if meter.is_idle(self.family.now):
            self.family.run(self.family.forget(member, meter))

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 20.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.count()
        self.family.sleep(seconds)
        self.whole.refill(self.family.now)

    @precondition(lambda self: self.measure.what is What.MONEY)
    @rule()
    def next_day(self) -> None:
        self.count()
        self.family.now = (self.family.now // DAY + 1) * DAY - 0.5

    @rule(place=st.integers(0, 2), has_successor=st.booleans())
    def die(self, place: int, has_successor: bool) -> None:
        member = self.member(place)
        self.count()
        for request in self.running(member):
            self.whole.die(request)
        self.family.kill(member)
        if has_successor or not self.family.members:
            self.hire()

    @invariant()
    def never_above_the_limit(self) -> None:
        self.count()
        self.whole.check()

    def count(self) -> None:
        """What was admitted since the last look."""
        for member in self.family.members:
            for request in member.requests:
                if request.is_admitted and request not in self.counted:
                    self.counted.add(request)
                    self.whole.take(request)
            member.requests = [request for request in member.requests if request.is_admitted is not False]
        self.whole.check()

    def teardown(self) -> None:
        try:
            self.everything_can_be_used_again()
        finally:
            self.family.close()

    def everything_can_be_used_again(self) -> None:
        family, whole = self.family, self.whole
        for member in list(family.members):
            family.kill(member)
        family.sleep(120)
        survivor = family.join(0)
        admitted = 0
        while admitted <= LIMIT and family.admitted(survivor, 1, self.measure):
            admitted += 1
        assert admitted == LIMIT - whole.spent.get(whole.window(family.now), 0) * (self.measure.what is What.MONEY)


@pytest.mark.parametrize("name", MEASURES)
def test_portions(name: str) -> None:
    attributes: dict[str, Any] = {"measure": MEASURES[name]}
    run_state_machine_as_test(
        type(f"{name}Machine", (Machine,), attributes),
        settings=settings(max_examples=30, stateful_step_count=40, report_multiple_bugs=False),
    )
