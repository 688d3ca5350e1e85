"""What rules count with: token buckets, windows of the calendar, and counts of what is in flight. Time is an argument.

A meter takes what a request may cost (its hold), and is settled with what it did cost. `take` answers with one of three
numbers, so that the usual one, `TAKEN`, is false. Times are Unix seconds; a clock that is set back does no harm.
"""

import math
from typing import Final, Protocol

from msgspec import Struct

from gateway.accounts.rules.rule import Measure, What
from gateway.accounts.rules.windows import SECONDS, bounds

TAKEN: Final = 0
# The meter has not enough left.
OVER: Final = 1
# The authority has to be asked: the meter does not know what is left.
ASK: Final = 2

# What was settled is in the ledger after this time, unless the ledger cannot be written.
WRITTEN_SECONDS: Final = 60.0

_NOTHING_KNOWN: Final = -1


class State(Struct, frozen=True):
    """How near a meter is to its limit; a bucket's `spent` is what has not refilled yet.

    `resets_in` is the time until the window ends, or the bucket is full; infinite for a total.
    """

    limit: int
    spent: int
    held: int
    resets_in: float

    @property
    def remaining(self) -> int:
        left = self.limit - self.spent - self.held
        return left if left > 0 else 0


class Meter(Protocol):
    """One count. Amounts are whole numbers, in nano-dollars for money."""

    @property
    def measure(self) -> Measure: ...

    def take(self, cost: int, now: float) -> int:
        """Hold `cost`: `TAKEN`, `OVER`, or `ASK`; only `TAKEN` holds anything."""
        ...

    def settle(self, held: int, actual: int, taken_at: float) -> None:
        """Replace a hold, taken at `taken_at`, by what the request did cost; 0 gives all of it back.

        Without a hold (0) it counts what nobody has asked for.
        """
        ...

    def more(self, cost: int, taken_at: float, now: float) -> bool:
        """Add to a hold, for another attempt; whether there is enough left."""
        ...

    def left(self, now: float) -> int:
        """What a request may take now; of a meter that has to ask, what is known to be left."""
        ...

    def wait_for(self, cost: int, now: float) -> float:
        """The seconds until `cost` could be taken if nobody else came; infinite if no time is known."""
        ...

    def state(self, now: float) -> State: ...

    def is_idle(self, now: float) -> bool:
        """Whether forgetting the meter changes nothing, except that the ledger is read again; ask more than once."""
        ...


class Bucket:
    """Refills steadily, up to its amount. A full one takes also what costs more than it holds, and goes into debt.

    Settling with more than was held brings it into debt as well, which it pays off before it takes again.
    """

    __slots__ = ("_at", "_held", "_level", "_limit", "_per_second", "measure")

    def __init__(self, measure: Measure, now: float) -> None:
        self.measure = measure
        self._limit = self._level = float(measure.amount)
        self._per_second = measure.amount / SECONDS[measure.window]
        self._held = 0
        self._at = now

    def take(self, cost: int, now: float) -> int:
        level, limit = self._level, self._limit
        if now > self._at:
            level += (now - self._at) * self._per_second
        if level > limit:
            level = limit
        if level < cost and level < limit:
            return OVER
        self._level = level - cost
        self._held += cost
        self._at = now
        return TAKEN

    def settle(self, held: int, actual: int, taken_at: float) -> None:
        self._level += held - actual
        self._held -= held

    def more(self, cost: int, taken_at: float, now: float) -> bool:
        # A rate that is exceeded by one request is paid off by those after it.
        self._level -= cost
        self._held += cost
        return True

    def left(self, now: float) -> int:
        return max(0, math.floor(self._refilled(now)))

    def wait_for(self, cost: int, now: float) -> float:
        missing = min(cost, self._limit) - self._refilled(now)
        if missing <= 0:
            return 0.0
        return missing / self._per_second if self._per_second else math.inf

    def state(self, now: float) -> State:
        missing = max(0.0, self._limit - self._refilled(now))
        seconds = missing / self._per_second if self._per_second else 0.0
        used = math.ceil(missing)
        held = min(self._held, used)
        return State(int(self._limit), used - held, held, seconds)

    def amend(self, measure: Measure, now: float) -> None:
        """Count the same against another amount."""
        self._level = self._refilled(now) + measure.amount - self._limit
        self._limit = float(measure.amount)
        self._per_second = measure.amount / SECONDS[measure.window]
        self._at = now
        self.measure = measure

    def is_idle(self, now: float) -> bool:
        return not self._held and self._refilled(now) >= self._limit

    def _refilled(self, now: float) -> float:
        level, limit = self._level, self._limit
        if now > self._at:
            level += (now - self._at) * self._per_second
        return level if level < limit else limit


class Calendar:
    """What was spent in the current window, and what is held by requests that run: two numbers.

    A request belongs to the window in which it was admitted: a new window begins with nothing spent and nothing held.
    Until `begin` has said what was spent before, the meter knows nothing and holds nothing.
    """

    __slots__ = ("_is_fresh", "_limit", "_room", "_seen_at", "_spent", "ends_at", "is_known", "measure", "starts_at")

    def __init__(self, measure: Measure, now: float) -> None:
        self.measure = measure
        self._limit = measure.amount
        self._spent = 0
        # What is neither spent nor held; what is held follows from the three.
        self._room = _NOTHING_KNOWN
        self.starts_at, self.ends_at = bounds(measure.window, now)
        self.is_known = False
        # Whether something was settled since `is_idle` was asked, and when it was found so.
        self._is_fresh = True
        self._seen_at = now

    def begin(self, spent: int, ends_at: float) -> None:
        """Take over what the ledger has of the window that ends at `ends_at`, if that is still the current one."""
        if not self.is_known and ends_at == self.ends_at:
            self._spent = spent
            self._room = self._limit - spent
            self.is_known = True

    def correct(self, spent: int, ends_at: float) -> None:
        """The ledger knows of more than was counted here: believe it."""
        if self.is_known and ends_at == self.ends_at and spent > self._spent:
            self._room -= spent - self._spent
            self._spent = spent

    def take(self, cost: int, now: float) -> int:
        if cost <= self._room and self.starts_at <= now < self.ends_at:
            self._room -= cost
            return TAKEN
        return self._take(cost, now)

    def settle(self, held: int, actual: int, taken_at: float) -> None:
        # What was taken in an earlier window counts there.
        if taken_at >= self.starts_at:
            self._room += held - actual
            self._spent += actual
            self._is_fresh = True

    def more(self, cost: int, taken_at: float, now: float) -> bool:
        if taken_at < self.starts_at:
            return True
        if cost > self.left(now):
            return False
        if taken_at >= self.starts_at:
            self._room -= cost
        return True

    def left(self, now: float) -> int:
        self._roll(now)
        return max(0, self._room) if self.is_known else 0

    def wait_for(self, cost: int, now: float) -> float:
        if cost <= self.left(now):
            return 0.0
        return self.ends_at - now if cost <= self._limit else math.inf

    def state(self, now: float) -> State:
        self._roll(now)
        return State(self._limit, self._spent, self._held, self.ends_at - now)

    def amend(self, measure: Measure, now: float) -> None:
        """Count the same against another amount."""
        if self.is_known:
            self._room += measure.amount - self._limit
        self._limit = measure.amount
        self.measure = measure

    def is_idle(self, now: float) -> bool:
        if self._is_fresh:
            self._is_fresh, self._seen_at = False, now
        return not self._held and now - self._seen_at >= WRITTEN_SECONDS

    @property
    def _held(self) -> int:
        return self._limit - self._spent - self._room if self.is_known else 0

    def _take(self, cost: int, now: float) -> int:
        self._roll(now)
        if not self.is_known:
            return ASK
        if cost > self._room:
            return OVER
        self._room -= cost
        return TAKEN

    def _roll(self, now: float) -> None:
        if now < self.starts_at:
            # The clock was set back: the window goes on, so that its holds are still found.
            self.starts_at = now
        elif now >= self.ends_at:
            # The ledger has nothing of a window that begins now that has not gone by this meter.
            self.is_known = True
            self._spent, self._room = 0, self._limit
            self.starts_at, self.ends_at = bounds(self.measure.window, now)


class Count:
    """How many are in flight."""

    __slots__ = ("_limit", "_running", "measure")

    def __init__(self, measure: Measure, now: float) -> None:
        self.measure = measure
        self._limit = measure.amount
        self._running = 0

    def take(self, cost: int, now: float) -> int:
        if self._running + cost > self._limit:
            return OVER
        self._running += cost
        return TAKEN

    def settle(self, held: int, actual: int, taken_at: float) -> None:
        self._running -= held

    def more(self, cost: int, taken_at: float, now: float) -> bool:
        return True

    def left(self, now: float) -> int:
        return max(0, self._limit - self._running)

    def wait_for(self, cost: int, now: float) -> float:
        return 0.0 if self._running + cost <= self._limit else math.inf

    def state(self, now: float) -> State:
        return State(self._limit, 0, self._running, 0.0 if self._running < self._limit else math.inf)

    def amend(self, measure: Measure, now: float) -> None:
        """Count the same against another amount."""
        self._limit = measure.amount
        self.measure = measure

    def is_idle(self, now: float) -> bool:
        return not self._running


def new_meter(measure: Measure, now: float) -> Bucket | Calendar | Count:
    """The meter that counts what is measured."""
    if measure.what is What.IN_FLIGHT:
        return Count(measure, now)
    return Calendar(measure, now) if measure.is_aligned else Bucket(measure, now)
