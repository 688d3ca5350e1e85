"""The beginnings of recent prompts: a beginning that was seen before is shared, and worth a cache mark."""

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Final

# As long as upstream keeps cache entries.
WINDOW_SECONDS: Final = 300.0
# An entry takes about 200 bytes. Widely shared beginnings are seen constantly, so they are never the oldest.
MAX_BEGINNINGS: Final = 20_000


class Sightings:
    """The beginnings of one process's requests; time is an argument."""

    def __init__(self, max_beginnings: int = MAX_BEGINNINGS, window_seconds: float = WINDOW_SECONDS) -> None:
        self._max_beginnings = max_beginnings
        self._window_seconds = window_seconds
        # The time of the last sighting, in this order.
        self._seen_at: OrderedDict[Hashable, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen_at)

    def sight(self, beginnings: Iterable[Hashable], now: float) -> int:
        """Record a request's beginnings, shortest first; returns how many of them another request had recently."""
        since = now - self._window_seconds
        seen, is_known = 0, True
        for beginning in beginnings:
            # Everything after a new beginning is new too.
            is_known = is_known and self._seen_at.get(beginning, since) > since
            seen += is_known
            self._seen_at[beginning] = now
            self._seen_at.move_to_end(beginning)
        while len(self._seen_at) > self._max_beginnings:
            self._seen_at.popitem(last=False)
        return seen
