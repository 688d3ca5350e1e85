"""A budget for retries, which bounds how much they add to the traffic during an outage."""

from typing import Final

# At low traffic retries must be possible too: a reserve of this size, refilled by one per period.
_RESERVE: Final = 10.0
_RESERVE_SECONDS: Final = 10.0
_MOST: Final = 1000.0


class RetryBudget:
    """Each request adds a fraction of a retry; each retry takes one. A small reserve serves low traffic."""

    def __init__(self, percent: float) -> None:
        self._part = percent / 100
        self._saved = 0.0
        self._reserve = _RESERVE if percent else 0.0
        self._most_reserve = self._reserve
        self._updated_at: float | None = None

    def request(self) -> None:
        """A request has arrived."""
        self._saved = min(self._saved + self._part, _MOST)

    def allows_retry(self, now: float) -> bool:
        """Take one retry, if there is one."""
        if self._saved >= 1:
            self._saved -= 1
            return True
        if self._updated_at is not None:
            grown = self._reserve + (now - self._updated_at) / _RESERVE_SECONDS
            self._reserve = min(grown, self._most_reserve)
        self._updated_at = now
        if self._reserve < 1:
            return False
        self._reserve -= 1
        return True

    def give_back(self) -> None:
        """Return a retry that was taken but not made."""
        self._saved = min(self._saved + 1, _MOST)
