"""A circuit breaker for the store: when to stop trying, and when to try again; pure."""

from dataclasses import dataclass
from typing import Final

# This many failures in a row do not open it.
TOLERATED: Final = 3
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0


@dataclass(slots=True)
class Breaker:
    """Admits every try until several fail in a row, then one trial after each pause."""

    failures: int = 0
    trials: int = 0
    retry_at: float = 0.0

    def allows(self, now: float) -> bool:
        """Whether to try. After failures, others wait for the result of the one that tries."""
        if self.failures < TOLERATED:
            return True
        if now < self.retry_at:
            return False
        self.trials += 1
        self.retry_at = now + min(FIRST_PAUSE_SECONDS * 2**self.trials, LONGEST_PAUSE_SECONDS)
        return True

    def failed(self, now: float) -> None:
        """A try failed; however many fail together, the pause begins once."""
        self.failures += 1
        if self.failures == TOLERATED:
            self.retry_at = now + FIRST_PAUSE_SECONDS

    def succeeded(self) -> None:
        self.failures = self.trials = 0
