"""What is left of one meter, and which portions of it workers hold: the parent's side. Time is an argument.

Never more than the limit is spent and held together; a bucket never has more than its limit ready to be spent at one
moment, wherever it lies.
"""

import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Final

from gateway.accounts.rules.rule import Measure, What
from gateway.accounts.rules.windows import SECONDS, bounds
from gateway.workers.quotas.messages import Grant, Report

# How long a meter is dealt out in single requests after a worker had to give its spare back.
SHORT_SECONDS: Final = 1.0
# A worker gets this part of its fair share of what is left, and at most so many requests' worth.
_PART: Final = 4
_MOST_REQUESTS: Final = 64
# An idle meter can be read from the ledger again after this time.
_IDLE_SECONDS: Final = 60.0


@dataclass(slots=True)
class Lot:
    """One worker's portion: `amount` is what it has not settled, `spare` the most of that which no request holds.

    `told_at` is when it last said what it has settled.
    """

    told_at: float

    amount: int = 0
    spare: int = 0
    # The number of the last extra that it was given.
    stamp: int = 0
    # It has given everything back, and reports at once what comes free.
    is_dry: bool = False


class Stock:
    """What all meters have in common; see the two kinds below."""

    def __init__(self, measure: Measure, now: float) -> None:
        self.measure = measure
        self.starts_at, self.ends_at = 0.0, math.inf
        self.lots: dict[Hashable, Lot] = {}
        self._short_until = -math.inf
        self._stamps = 0
        self._touched_at = now

    # What the kinds differ in

    def advance(self, now: float) -> None:
        """Let time pass: refill, or begin the next window."""
        raise NotImplementedError

    @property
    def free(self) -> int:
        """What can be given to workers."""
        raise NotImplementedError

    @property
    def spent(self) -> int:
        raise NotImplementedError

    def _can_hold(self, cost: int) -> bool:
        raise NotImplementedError

    def _give(self, amount: int) -> None:
        """Something goes to a worker, or comes back if negative."""
        raise NotImplementedError

    def _settle(self, report: Report, lot: Lot) -> None:
        raise NotImplementedError

    def _bury(self, lot: Lot) -> bool:
        """A worker is dead: whether the ledger knows what became of its portion."""
        raise NotImplementedError

    # Workers

    def hold(self, worker: Hashable, cost: int, now: float) -> bool:
        """Give a worker what a request costs, if that is left."""
        self.advance(now)
        self._touched_at = now
        if not self._can_hold(cost):
            return False
        self._give(cost)
        self._lot(worker, now).amount += cost
        return True

    def undo(self, worker: Hashable, cost: int) -> None:
        """Take a hold back that the worker does not know of."""
        self._give(-cost)
        lot = self.lots[worker]
        lot.amount -= cost
        if not lot.amount:
            del self.lots[worker]

    def grant(self, worker: Hashable, cost: int, workers: int, now: float) -> Grant:
        """Give a worker some requests' worth more than the `cost` of the dearest, unless the meter is short."""
        self.advance(now)
        extra = 0
        if cost and not self.is_short(now):
            spare = self.lots[worker].spare if worker in self.lots else 0
            extra = min(self.free // (_PART * workers), _MOST_REQUESTS * cost) - spare
            # Less than a request's worth would only lie there.
            extra = extra if extra >= cost else 0
        if extra:
            self._give(extra)
            lot = self._lot(worker, now)
            lot.amount += extra
            lot.spare += extra
            self._stamps += 1
            lot.stamp = self._stamps
        if worker in self.lots and not self.is_short(now):
            self.lots[worker].is_dry = False
        left = self.free + sum(lot.spare for holder, lot in self.lots.items() if holder != worker)
        return Grant(extra, self.starts_at, self.ends_at, self.spent, left, self.is_short(now))

    def report(self, worker: Hashable, report: Report, now: float) -> None:
        """Take in what a worker did with its portion; what it did in an earlier window changes nothing any more."""
        self.advance(now)
        self._touched_at = now
        self._amend(report.measure)
        if report.starts_at != self.starts_at:
            return
        lot = self._lot(worker, now)
        self._settle(report, lot)
        lot.told_at = now
        lot.amount = max(0, lot.amount + report.overdraft - report.spent - report.returned - report.refund)
        spare = max(0, lot.spare - report.returned) if report.spare is None else report.spare
        lot.spare = min(spare, lot.amount)
        self.advance(now)
        if not lot.amount:
            del self.lots[worker]

    def drop(self, worker: Hashable, now: float) -> bool:
        """A worker has died; whether the ledger has to be asked what it spent."""
        self.advance(now)
        lot = self.lots.pop(worker, None)
        return lot is not None and self._bury(lot)

    def who_may_have_some(self, asker: Hashable) -> Iterator[tuple[Hashable, int]]:
        """The other workers that may have something to give back, each with the stamp of its portion."""
        for worker, lot in self.lots.items():
            if worker != asker and not lot.is_dry:
                yield worker, lot.stamp

    def has_none(self, worker: Hashable, stamp: int) -> None:
        """A worker has given everything back that it had when its portion had this stamp."""
        lot = self.lots.get(worker)
        if lot is not None and lot.stamp == stamp:
            lot.spare, lot.is_dry = 0, True

    def run_short(self, now: float) -> None:
        """Deal out single requests for a while."""
        self._short_until = now + SHORT_SECONDS

    def is_short(self, now: float) -> bool:
        return now < self._short_until

    def is_idle(self, now: float) -> bool:
        """Whether it can be forgotten."""
        self.advance(now)
        return not self.lots and now - self._touched_at >= _IDLE_SECONDS

    def _lot(self, worker: Hashable, now: float) -> Lot:
        lot = self.lots.get(worker)
        if lot is None:
            lot = self.lots[worker] = Lot(now)
        return lot

    def _amend(self, measure: Measure) -> None:
        """Count the same against another amount."""
        self.measure = measure


class WindowStock(Stock):
    """A window of the calendar, or what is in flight, which has no window and counts nothing as spent.

    `expired` is what dead workers may have spent: all of their portions (`lost`), until the ledger says it was less.
    """

    def __init__(self, measure: Measure, now: float, spent: int = 0) -> None:
        super().__init__(measure, now)
        self._is_in_flight = measure.what is What.IN_FLIGHT
        if not self._is_in_flight:
            self.starts_at, self.ends_at = bounds(measure.window, now)
        self._out = 0
        self.settled = spent
        self.expired = self.lost = 0

    def advance(self, now: float) -> None:
        if now >= self.ends_at:
            self.starts_at, self.ends_at = bounds(self.measure.window, now)
            self.lots.clear()
            self._out = self.settled = self.expired = self.lost = 0

    @property
    def free(self) -> int:
        return max(0, self.measure.amount - self.spent - self._out)

    @property
    def spent(self) -> int:
        return self.settled + self.expired

    def learn(self, most: int, lost: int) -> None:
        """Of what was lost when `lost` had this value, at most so much was spent."""
        self.expired = min(self.expired, max(0, most) + self.lost - lost)

    def _can_hold(self, cost: int) -> bool:
        return self.spent + self._out + cost <= self.measure.amount

    def _give(self, amount: int) -> None:
        self._out += amount

    def _settle(self, report: Report, lot: Lot) -> None:
        self._out += report.overdraft - report.spent - report.returned - report.refund
        if not self._is_in_flight:
            self.settled += report.spent

    def _bury(self, lot: Lot) -> bool:
        self._out -= lot.amount
        if self._is_in_flight or not lot.amount:
            return False
        self.expired += lot.amount
        self.lost += lot.amount
        return True


class BucketStock(Stock):
    """A token bucket. What workers have spare counts against its capacity, so that nothing can be spent twice at once.

    A dead worker's portion counts as spent: it refills. What a worker tells late cannot be put into the time in which
    it happened: if the bucket was full since the worker's last word, its refund is lost, as most of it would be if the
    bucket lay in one place.
    """

    def __init__(self, measure: Measure, now: float) -> None:
        super().__init__(measure, now)
        self._level = float(measure.amount)
        self._at = self._full_at = now

    def advance(self, now: float) -> None:
        if now > self._at:
            self._level += (now - self._at) * self.measure.amount / SECONDS[self.measure.window]
            self._at = now
        if self._level >= (capacity := self._capacity):
            self._level, self._full_at = capacity, now

    @property
    def free(self) -> int:
        return max(0, math.floor(self._level))

    @property
    def spent(self) -> int:
        spare = sum(lot.spare for lot in self.lots.values())
        return max(0, math.ceil(self.measure.amount - spare - self._level))

    def is_idle(self, now: float) -> bool:
        return super().is_idle(now) and self._level >= self.measure.amount

    @property
    def _capacity(self) -> float:
        return self.measure.amount - sum(lot.spare for lot in self.lots.values())

    def _can_hold(self, cost: int) -> bool:
        # A full bucket takes also what costs more than it holds.
        return self._level >= cost or self._level >= self.measure.amount

    def _give(self, amount: int) -> None:
        self._level -= amount

    def _settle(self, report: Report, lot: Lot) -> None:
        refund = 0 if self._full_at > lot.told_at else report.refund
        self._level = min(self._level + refund - report.overdraft, self._capacity) + report.returned

    def _bury(self, lot: Lot) -> bool:
        return False

    def _amend(self, measure: Measure) -> None:
        self._level += measure.amount - self.measure.amount
        self.measure = measure


def new_stock(measure: Measure, now: float, spent: int = 0) -> WindowStock | BucketStock:
    """The stock of what is measured; `spent` is what the ledger has of its window."""
    if measure.what is What.IN_FLIGHT or measure.is_aligned:
        return WindowStock(measure, now, spent)
    return BucketStock(measure, now)
