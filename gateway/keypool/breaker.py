"""A circuit breaker: what has failed several times in a row is left alone for a while, then tried by one request."""

from dataclasses import dataclass
from typing import Final

# One failure may be chance: others are preferred for a moment, no more.
SUSPICION_SECONDS: Final = 2.0
# So many in a row, and it is open.
FAILURES_TO_OPEN: Final = 5
FIRST_OPEN_SECONDS: Final = 1.0
LONGEST_OPEN_SECONDS: Final = 15.0
# A trial that has not told anything after this long does not keep others from being one.
TRIAL_SECONDS: Final = 10.0


@dataclass(slots=True)
class Breaker:
    """Closed (all pass), open until a moment (nobody passes), then half open: one trial at a time."""

    failures: int = 0
    suspect_until: float = 0.0
    open_until: float = 0.0
    open_seconds: float = 0.0
    trial_until: float = 0.0

    @property
    def is_closed(self) -> bool:
        """Whether nothing stands in the way, trials neither."""
        return not self.open_seconds

    def ready_at(self, now: float) -> float:
        """When the next request may pass; `now` if one may at once."""
        return now if self.is_closed else max(now, self.open_until, self.trial_until)

    def begin_trial(self, now: float) -> None:
        """A request passes that is to show whether it has become better."""
        self.trial_until = now + TRIAL_SECONDS

    def end_trial(self, began_at: float) -> None:
        """The request that began then is over, without having shown anything."""
        if self.trial_until == began_at + TRIAL_SECONDS:
            self.trial_until = 0.0

    def half_close(self) -> None:
        """The answer to a trial has begun: all may pass, and one more failure opens it again."""
        if not self.is_closed:
            self.failures = FAILURES_TO_OPEN - 1
            self.open_until = self.open_seconds = self.trial_until = 0.0

    def succeed(self) -> None:
        """An answer has come to its end."""
        self.failures = 0
        self.suspect_until = self.open_until = self.open_seconds = self.trial_until = 0.0

    def fail(self, now: float, *, is_trial: bool) -> None:
        """An attempt has failed; those that were under way when it opened count for nothing."""
        self.suspect_until = now + SUSPICION_SECONDS
        self.failures += 1
        if self.is_closed:
            if self.failures >= FAILURES_TO_OPEN:
                self._open(now, FIRST_OPEN_SECONDS)
        elif is_trial:
            self._open(now, min(self.open_seconds * 2, LONGEST_OPEN_SECONDS))

    def _open(self, now: float, seconds: float) -> None:
        self.open_seconds = seconds
        self.open_until = now + seconds
        self.trial_until = 0.0
