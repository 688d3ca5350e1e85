"""The last fifteen minutes in slices of five seconds: what the console's overview draws when it opens."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Final

from msgspec import Struct, field

from gateway.service.observers import Ended

RECENT: Final = "recent"
SLICE_SECONDS: Final = 5
SLICES: Final = 180
# Times are counted in classes, each a fifth longer than the one before: a percentile is right to a tenth.
_CLASSES_PER_DOUBLING: Final = 4
_SHORTEST_SECONDS: Final = 0.0005
_MOST_CLASS: Final = 100
_SHARES: Final = (0.5, 0.95, 0.99)


class Slice(Struct, array_like=True):
    """The requests that ended within five seconds from `start` on. Times are counts by class."""

    start: int
    requests: int = 0
    errors: int = 0
    input: int = 0
    cached: int = 0
    output: int = 0
    nano_dollars: int = 0
    first: dict[int, int] = field(default_factory=dict)
    total: dict[int, int] = field(default_factory=dict)

    def add(self, other: "Slice") -> None:
        """Count what another slice has counted as well."""
        self.requests += other.requests
        self.errors += other.errors
        self.input += other.input
        self.cached += other.cached
        self.output += other.output
        self.nano_dollars += other.nano_dollars
        for mine, theirs in ((self.first, other.first), (self.total, other.total)):
            for number, count in theirs.items():
                mine[number] = mine.get(number, 0) + count


class Now(Struct, array_like=True):
    """What one process is doing: open requests, those of them that stream, and requests that wait for a key."""

    open: int
    streams: int
    waiting: int
    slices: list[Slice]


class Recent:
    """An observer of requests; holds what has ended lately, whenever it is told of it."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._slices: dict[int, Slice] = {}

    def note(self, ended: Ended) -> None:
        """Count a request."""
        current, record = self._at(ended.at + ended.seconds), ended.record
        current.requests += 1
        current.errors += ended.error is not None
        for entry in record.entries:
            used = entry.total
            current.input += used.prompt_tokens
            current.cached += used.cache_read_tokens
            current.output += used.output_tokens
            current.nano_dollars += entry.charge.nano_dollars
        _count(current.total, ended.seconds)
        if record.first_token_seconds is not None:
            _count(current.first, ended.read_seconds + record.first_token_seconds)

    def slices(self) -> list[Slice]:
        """Those that are not too old; slices without requests are left out."""
        oldest = self._now() - SLICES * SLICE_SECONDS
        return [each for each in self._slices.values() if each.start > oldest]

    def _at(self, moment: float) -> Slice:
        start = int(moment // SLICE_SECONDS) * SLICE_SECONDS
        if (found := self._slices.get(start)) is None:
            found = self._slices[start] = Slice(start)
            if len(self._slices) > SLICES:
                del self._slices[min(self._slices)]
        return found


def merged(parts: Sequence[Now], now: float) -> Mapping[str, object]:
    """The fields of `/admin/overview`: one list for each figure, with a place for each slice, the oldest first."""
    first = (int(now // SLICE_SECONDS) - SLICES + 1) * SLICE_SECONDS
    slices = [Slice(first + number * SLICE_SECONDS) for number in range(SLICES)]
    for each in chain.from_iterable(part.slices for part in parts):
        if 0 <= (place := (each.start - first) // SLICE_SECONDS) < SLICES:
            slices[place].add(each)
    whole = Slice(first)
    for each in slices:
        whole.add(each)
    return {
        "now": {
            "open": sum(part.open for part in parts),
            "streams": sum(part.streams for part in parts),
            "waiting": sum(part.waiting for part in parts),
        },
        "slice_seconds": SLICE_SECONDS,
        "start": first,
        "series": _series(slices),
        "total": {name: values[0] for name, values in _series([whole]).items()},
    }


def _series(slices: Iterable[Slice]) -> dict[str, list[float | None]]:
    series: dict[str, list[float | None]] = {}
    for each in slices:
        figures: dict[str, float | None] = {
            "requests": each.requests,
            "errors": each.errors,
            "input": each.input,
            "cached": each.cached,
            "output": each.output,
            "nano_dollars": each.nano_dollars,
        }
        for name, counts in (("first", each.first), ("total", each.total)):
            figures |= {f"{name}_p{share * 100:.0f}_ms": _percentile(counts, share) for share in _SHARES}
        for name, value in figures.items():
            series.setdefault(name, []).append(value)
    return series


def _count(counts: dict[int, int], seconds: float) -> None:
    number = min(_MOST_CLASS, int(math.log2(max(seconds / _SHORTEST_SECONDS, 1.0)) * _CLASSES_PER_DOUBLING))
    counts[number] = counts.get(number, 0) + 1


def _percentile(counts: Mapping[int, int], share: float) -> float | None:
    """The time in milliseconds that this share of the requests did not exceed; None without requests."""
    rest = math.ceil(sum(counts.values()) * share)
    for number in sorted(counts):
        rest -= counts[number]
        if rest <= 0:
            # The middle of its class.
            return round(_SHORTEST_SECONDS * 1000 * 2 ** ((number + 0.5) / _CLASSES_PER_DOUBLING), 1)
    return None
