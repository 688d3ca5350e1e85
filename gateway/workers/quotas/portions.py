"""A worker's portion of one meter: it answers without waiting as long as there is some left. Time is an argument."""

import math
from collections.abc import Callable
from typing import Final

from gateway.accounts.rules.meters import ASK, TAKEN, State
from gateway.accounts.rules.rule import Measure, What
from gateway.accounts.rules.windows import SECONDS
from gateway.workers.quotas.messages import Grant, Report

_REFILLS: Final = 0
_WINDOW: Final = 1
_IN_FLIGHT: Final = 2
# Nobody tells a worker that a request of another one has ended.
_LOOK_AGAIN_SECONDS: Final = 0.25


class Portion:
    """A `Meter`. What is known of the whole is what the parent said last.

    `on_change` is called when something has been settled that the parent does not know of.
    """

    __slots__ = (
        "_at",
        "_ends_at",
        "_held",
        "_kind",
        "_left",
        "_on_change",
        "_overdraft",
        "_refund",
        "_spent",
        "_spent_before",
        "_starts_at",
        "is_known",
        "is_short",
        "measure",
        "spare",
        "used_at",
        "waiting",
    )

    def __init__(self, measure: Measure, now: float, on_change: Callable[["Portion"], None]) -> None:
        self.measure = measure
        self._kind = _IN_FLIGHT if measure.what is What.IN_FLIGHT else _WINDOW if measure.is_aligned else _REFILLS
        # Whether the parent has such a meter; those that begin with what the ledger has, it has to begin first.
        self.is_known = not measure.is_calendar
        self.is_short = False
        self.spare = 0
        self.used_at = now
        # Requests for which the parent is being asked.
        self.waiting = 0
        self._on_change = on_change
        self._starts_at, self._ends_at = 0.0, math.inf
        # Held by running requests; settled, given back, and spent beyond what was held, since the last report.
        self._held = self._spent = self._refund = self._overdraft = 0
        self._left, self._spent_before, self._at = measure.amount, 0, now

    # What requests do

    def take(self, cost: int, now: float) -> int:
        if now >= self._ends_at:
            self._roll(self._ends_at)
        if 0 < self.spare >= cost:
            self.spare -= cost
            self._held += cost
            self.used_at = now
            return TAKEN
        return ASK

    def settle(self, held: int, actual: int, taken_at: float) -> None:
        # What was taken in an earlier window counts there; that it was held here, this one would remember.
        if taken_at < self._starts_at or held > self._held:
            return
        self._held -= held
        if self._kind == _IN_FLIGHT:
            self.spare += held
        elif self._kind == _WINDOW:
            self._spent += actual
            self.spare += held - actual
        else:
            # What comes back goes to the parent: here it could be spent beside what has refilled meanwhile.
            self._spent += actual
            self._refund += max(0, held - actual)
            self._overdraft += max(0, actual - held)
        self._on_change(self)

    def more(self, cost: int, taken_at: float, now: float) -> bool:
        if taken_at < self._starts_at or self._kind == _IN_FLIGHT:
            return True
        if self._kind == _REFILLS:
            self._overdraft += cost
        elif cost > self.spare:
            return False
        else:
            self.spare -= cost
        self._held += cost
        return True

    def left(self, now: float) -> int:
        if now >= self._ends_at:
            self._roll(self._ends_at)
        left = max(0, self.spare) + self._left
        if self._kind == _REFILLS:
            left += math.floor(max(0.0, now - self._at) * self._per_second)
        return min(left, self.measure.amount)

    def wait_for(self, cost: int, now: float) -> float:
        missing = min(cost, self.measure.amount) - self.left(now)
        if self._kind == _REFILLS:
            if missing <= 0:
                return 0.0
            return missing / self._per_second if self._per_second else math.inf
        if cost > self.measure.amount:
            return math.inf
        if self._kind == _IN_FLIGHT and missing > 0:
            return _LOOK_AGAIN_SECONDS
        return 0.0 if missing <= 0 else self._ends_at - now

    def state(self, now: float) -> State:
        limit, left = self.measure.amount, self.left(now)
        if self._kind == _IN_FLIGHT:
            return State(limit, 0, limit - left, math.inf if not left else 0.0)
        if self._kind == _REFILLS:
            held = min(self._held, limit - left)
            seconds = (limit - left) / self._per_second if self._per_second else 0.0
            return State(limit, limit - left - held, held, seconds)
        spent = self._spent_before + self._spent
        return State(limit, spent, max(0, limit - left - spent), self._ends_at - now)

    def is_idle(self, now: float) -> bool:
        return not self._held and not self.waiting

    # What the parent is told, and says

    def report(self, *, all_back: bool) -> Report:
        """What has happened since the last report; with `all_back` also everything that no request holds."""
        # In a window, what was spent beyond its hold came from what was spare, if there was enough.
        overdraft = self._overdraft + max(0, -self.spare)
        self.spare = max(0, self.spare)
        returned = self.spare if all_back else 0
        self.spare -= returned
        report = Report(self.measure, self._starts_at, self._spent, returned, self._refund, overdraft, self.spare)
        self._spent_before += self._spent
        self._spent = self._refund = self._overdraft = 0
        return report

    def accept(self, grant: Grant, now: float) -> bool:
        """Take in what the parent says; False if it is about a window that is over."""
        if grant.starts_at < self._starts_at:
            return False
        if grant.starts_at > self._starts_at:
            self._roll(grant.starts_at)
        self._ends_at = grant.ends_at
        self._spent_before, self._left, self._at = grant.spent, grant.left, now
        self.is_short = grant.is_short
        self.spare += grant.extra
        return True

    def hold(self, cost: int) -> None:
        """A request has got this from the parent, in the window that was accepted last."""
        self._held += cost

    def lose(self) -> None:
        """The parent is out of reach: nothing is left that could be taken."""
        self.spare = min(0, self.spare)
        self._left = 0

    def _roll(self, starts_at: float) -> None:
        """A window has ended, and all that belonged to it."""
        self._starts_at, self._ends_at = starts_at, math.inf
        self.spare = self._held = self._spent = self._refund = self._overdraft = 0
        self._left, self._spent_before = self.measure.amount, 0

    @property
    def _per_second(self) -> float:
        return self.measure.amount / SECONDS[self.measure.window]
