"""How much repeating may add to the traffic, so that an outage is not made worse by it."""

from typing import Final

# Few requests have to be able to be repeated too: so many at once, and one more after so many seconds.
_RESERVE: Final = 10.0
_RESERVE_SECONDS: Final = 10.0
_MOST: Final = 1000.0


class RetryBudget:
    """Each request pays in a part of a retry; each retry takes out a whole one. Beside it there is a small reserve."""

    def __init__(self, percent: float) -> None:
        self._part = percent / 100
        self._saved = 0.0
        self._reserve = _RESERVE if percent else 0.0
        self._most_reserve = self._reserve
        self._updated_at: float | None = None

    def request(self) -> None:
        """A request has come."""
        self._saved = min(self._saved + self._part, _MOST)

    def allows_retry(self, now: float) -> bool:
        """Take out a retry, if there is one."""
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
        """A retry that was taken out has not become one."""
        self._saved = min(self._saved + 1, _MOST)
