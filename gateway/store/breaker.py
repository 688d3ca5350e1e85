"""When something that fails is left alone, and when it is tried again; pure."""

from dataclasses import dataclass
from typing import Final

# So many failures in a row are taken for chance.
TOLERATED: Final = 3
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0


@dataclass(slots=True)
class Breaker:
    """Lets everything through until it fails in a row, then one trial now and then."""

    failures: int = 0
    trials: int = 0
    retry_at: float = 0.0

    def allows(self, now: float) -> bool:
        """Whether to try; where it fails, others wait for the outcome of the one that tries."""
        if self.failures < TOLERATED:
            return True
        if now < self.retry_at:
            return False
        self.trials += 1
        self.retry_at = now + min(FIRST_PAUSE_SECONDS * 2**self.trials, LONGEST_PAUSE_SECONDS)
        return True

    def failed(self, now: float) -> None:
        """It has failed once more; many at one time are not more than the first."""
        self.failures += 1
        if self.failures == TOLERATED:
            self.retry_at = now + FIRST_PAUSE_SECONDS

    def succeeded(self) -> None:
        """It works."""
        self.failures = self.trials = 0
