"""Which prompts began how in the last minutes: what tells that a beginning is shared, and worth a cache mark."""

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Final

# As long as upstream keeps what it has cached.
WINDOW_SECONDS: Final = 300.0
# A beginning takes about 200 bytes. What many requests share is seen again and again, and so is never the oldest.
MAX_BEGINNINGS: Final = 20_000


class Sightings:
    """The beginnings of one process's requests; time is an argument."""

    def __init__(self, max_beginnings: int = MAX_BEGINNINGS, window_seconds: float = WINDOW_SECONDS) -> None:
        self._max_beginnings = max_beginnings
        self._window_seconds = window_seconds
        # When each was seen the last time, in this order.
        self._seen_at: OrderedDict[Hashable, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen_at)

    def sight(self, beginnings: Iterable[Hashable], now: float) -> int:
        """Take note of a request's beginnings, the shortest first; how many of them another one had lately."""
        since = now - self._window_seconds
        seen, is_known = 0, True
        for beginning in beginnings:
            # What goes on after something new is new.
            is_known = is_known and self._seen_at.get(beginning, since) > since
            seen += is_known
            self._seen_at[beginning] = now
            self._seen_at.move_to_end(beginning)
        while len(self._seen_at) > self._max_beginnings:
            self._seen_at.popitem(last=False)
        return seen
