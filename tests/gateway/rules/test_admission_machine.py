"""Admission as a state machine: no strict cap is passed, nothing is lost, all is given back."""

import asyncio
from contextlib import nullcontext
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.accounts.rules.admission import RefusedError
from gateway.accounts.rules.plan import Bill, Hold
from gateway.accounts.rules.rule import Rule, What
from gateway.accounts.rules.wish import Wish
from tests.gateway.rules.test_book import MODEL, Who, World

CAP = 3 * 10**8
CALLERS = (Who("a", group="g"), Who("b", group="g"), Who("c"))
RULES = (
    Rule(id="cap", what=What.MONEY, amount=CAP, window="day", hold="strict"),
    Rule(id="own", scope="key", what=What.MONEY, amount=CAP // 2, window="day", hold="strict"),
    Rule(id="user", scope="end_user", what=What.MONEY, amount=CAP // 4, window="day", hold="strict"),
    Rule(id="guess", scope="group", what=What.MONEY, amount=CAP // 3, window="day"),
    Rule(id="rate", what=What.OUTPUT_TOKENS, amount=20_000, window="minute", is_aligned=False),
    Rule(id="busy", what=What.IN_FLIGHT, amount=6),
    Rule(id="quiet", what=What.REQUESTS, amount=2, window="hour", is_shadow=True),
)


class Admitting(RuleBasedStateMachine):
    """Requests that come, try again, and end in any way."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(*RULES)
        self.holds: list[tuple[Hold, int, int]] = []
        self.spent = 0
        self.day = self.world.now // 86400

    @rule(
        who=st.sampled_from(CALLERS),
        max_tokens=st.none() | st.integers(1, 5_000),
        size=st.integers(0, 5_000),
        choices=st.integers(1, 4),
        user=st.sampled_from([None, "x", "y"]),
    )
    def a_request_comes(self, who: Who, max_tokens: int | None, size: int, choices: int, user: str | None) -> None:
        plan = self.world.book.plan(who, MODEL)
        wish = Wish(MODEL, MODEL, max_tokens, size, end_user=user, choices=choices)
        hold = self.world.rules.admit_now(plan, wish)
        most = max_tokens
        if hold is None:
            try:
                admission, hold = asyncio.run(_admitted(self.world, plan, wish))
            except RefusedError:
                return
            most = admission.max_tokens or max_tokens
        bound = plan.tariff.most_money(wish, min(most or 10**9, plan.tariff.most_output(wish)))
        self.holds.append((hold, bound, choices))

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def another_attempt_is_made(self, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(self.holds) - 1))
        hold, bound, choices = self.holds[place]
        if hold.more(choices, self.world.now):
            self.holds[place] = (hold, bound + bound // choices, choices)

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def a_request_ends(self, data: st.DataObject) -> None:
        hold, bound, _ = self.holds.pop(data.draw(st.integers(0, len(self.holds) - 1)))
        cost = data.draw(st.integers(0, bound))
        hold.settle_bills([Bill(MODEL, 1, 10, 10, cost)] if cost else ())
        if hold.taken_at // 86400 == self.world.now // 86400:
            self.spent += cost

    @rule(seconds=st.sampled_from([0.1, 5.0, 70.0, 40_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.now += seconds
        if self.world.now // 86400 != self.day:
            self.day, self.spent = self.world.now // 86400, 0

    @invariant()
    def no_strict_cap_is_passed_and_spent_is_exact(self) -> None:
        for meter in self.world.book._meters.values():
            name, state = meter.measure.rule, meter.state(self.world.now)
            if name in ("cap", "own", "user"):
                assert 0 <= state.spent + state.held <= state.limit
            if name == "cap":
                assert state.spent == self.spent

    def teardown(self) -> None:
        for hold, _, _ in self.holds:
            hold.settle_bills(())
        held: dict[str, Any] = {
            key[0]: meter.state(self.world.now).held for key, meter in self.world.book._meters.items()
        }
        assert set(held.values()) <= {0}


async def _admitted(world: World, plan: Any, wish: Wish) -> Any:
    return await world.rules.admit(plan, wish, nullcontext)


TestAdmitting = Admitting.TestCase
