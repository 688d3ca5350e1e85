"""A token bucket that mirrors one of upstream's, from what its answers report."""

import math
from dataclasses import dataclass
from typing import Final

# Limits are per minute (section 1.5 of the Messages reference).
PERIOD_SECONDS: Final = 60.0
# This fraction of a bucket is never used: upstream's figures are rounded, and the gateway's are estimates.
MARGIN: Final = 0.02
# Debt beyond the refill of this time is forgiven. Upstream's own buckets are full again within a minute; hours of debt
# can only come from wrong estimates or wrong figures, and would keep all other requests waiting.
MOST_OWED_SECONDS: Final = 300.0
# Below this fraction of its capacity a bucket is low, and requests that have a choice use another key.
_LOW: Final = 0.1


@dataclass(slots=True, eq=False)
class Bucket:
    """One limit, refilled steadily; all values are this process's share. The level may be negative, but is bounded.

    `limit` is what a minute allows. `capacity` is the most that the bucket holds, which may be less.
    """

    limit: float = 0.0
    capacity: float = 0.0
    level: float = 0.0
    per_second: float = 0.0
    updated_at: float = 0.0
    measured_at: float = -math.inf
    # The limit, in upstream's spelling.
    told: str = ""
    # The total refill that overflowed because the bucket was full.
    lost: float = 0.0
    # Whether the level was low at the last check.
    is_low: bool = False

    def tell(self, limit: float, capacity: float, level: float, now: float) -> None:
        """Take over upstream's figures."""
        self.limit = limit
        self.capacity = capacity
        self.measured_at = now
        self.per_second = limit / PERIOD_SECONDS
        self.level = level
        self.updated_at = now

    def hold_at(self, moment: float, level: float) -> None:
        """Raise the level so that it will be at least `level` at a future moment."""
        self.level += max(0.0, level - self.level - (moment - self.updated_at) * self.per_second)

    def seconds_until(self, cost: float, now: float) -> float:
        """How long until the bucket holds this cost and the margin; a cost above capacity waits until it is full."""
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
