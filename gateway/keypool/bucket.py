"""A token bucket that upstream keeps, as its answers tell of it."""

import math
from dataclasses import dataclass
from typing import Final

# Limits are per minute (section 1.5 of the Messages reference).
PERIOD_SECONDS: Final = 60.0
# This part of a bucket is never planned with: upstream's figures are rounded, and ours are estimates.
MARGIN: Final = 0.02
# What is owed beyond the refill of so long is forgiven. Upstream's own buckets are full again within a minute; a debt
# of hours comes of estimates, or of figures that upstream was made to tell, and would keep everybody else waiting.
MOST_OWED_SECONDS: Final = 300.0
# Below this part of its capacity a bucket is low, and requests that have a choice go elsewhere.
_LOW: Final = 0.1


@dataclass(slots=True, eq=False)
class Bucket:
    """One limit, refilled steadily, in this process's share. The level may fall below zero, by some minutes' worth.

    `limit` is what a minute allows. `capacity` is what the bucket holds at most, which may be less.
    """

    limit: float = 0.0
    capacity: float = 0.0
    level: float = 0.0
    per_second: float = 0.0
    updated_at: float = 0.0
    measured_at: float = -math.inf
    # The limit in upstream's own digits.
    told: str = ""
    # The refill, in all, that found the bucket full.
    lost: float = 0.0
    # Whether it was nearly empty when it was last looked at.
    is_low: bool = False

    def tell(self, limit: float, capacity: float, level: float, now: float) -> None:
        """Take over what upstream says."""
        self.limit = limit
        self.capacity = capacity
        self.measured_at = now
        self.per_second = limit / PERIOD_SECONDS
        self.level = level
        self.updated_at = now

    def hold_at(self, moment: float, level: float) -> None:
        """Assume that it will hold at least this much at a moment to come."""
        self.level += max(0.0, level - self.level - (moment - self.updated_at) * self.per_second)

    def seconds_until(self, cost: float, now: float) -> float:
        """How long until it holds this much and a margin; a cost above its capacity waits until it is full."""
        capacity = self.capacity
        level = self.level + (now - self.updated_at) * self.per_second
        self.updated_at = now
        if level > capacity:
            self.lost += level - capacity
            level = capacity
        self.level = level
        self.is_low = level < capacity * _LOW
        missing = cost + capacity * MARGIN - level
        if missing <= 0:
            return 0.0
        if level < (most_owed := -MOST_OWED_SECONDS * self.per_second):
            missing += level - most_owed
            self.level = level = most_owed
        return max(0.0, min(missing, capacity - level)) / self.per_second
