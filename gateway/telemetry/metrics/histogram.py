"""A histogram of plain integers, with the latest trace that fell into each bucket."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

SUM: Final = "sum"


class Exemplar(Struct, frozen=True, array_like=True):
    """A measured value with the trace in which it was measured; `at` is a Unix time."""

    trace_id: str
    value: float
    at: float


class Histogram:
    """Counts of values by upper bounds; the last count is for values above all of them."""

    __slots__ = ("bounds", "counts", "exemplars", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.exemplars: dict[int, Exemplar] | None = None

    def observe(self, value: float) -> int:
        """Count a value; returns the number of its bucket."""
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += 1
        self.total += value
        return bucket

    def tally(self) -> dict[str, float]:
        """The counts that are not zero, by the number of their bucket, and the sum of all values."""
        found: dict[str, float] = {str(place): count for place, count in enumerate(self.counts) if count}
        if found:
            found[SUM] = self.total
        return found
