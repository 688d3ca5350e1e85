"""When a window that is aligned to UTC begins and ends, and how long one lasts."""

import math
from datetime import UTC, datetime
from typing import Final

from gateway.accounts.rules.rule import Window

# A month that is not aligned has 30 days.
SECONDS: Final[dict[Window, float]] = {
    "minute": 60.0,
    "hour": 3600.0,
    "day": 86400.0,
    "month": 30 * 86400.0,
    "total": math.inf,
}


def bounds(window: Window, now: float) -> tuple[float, float]:
    """The beginning and the end of the window that `now` is in, in Unix seconds."""
    if window == "total":
        return 0.0, math.inf
    if window == "month":
        day = datetime.fromtimestamp(now, UTC)
        first = datetime(day.year, day.month, 1, tzinfo=UTC)
        following = datetime(day.year + day.month // 12, day.month % 12 + 1, 1, tzinfo=UTC)
        return first.timestamp(), following.timestamp()
    length = SECONDS[window]
    starts_at = now // length * length
    return starts_at, starts_at + length
