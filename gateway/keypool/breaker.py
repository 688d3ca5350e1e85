"""A circuit breaker: opens after several failures in a row, then lets one trial request through at a time."""

import math
from dataclasses import dataclass
from typing import Final

# A single failure may be chance: prefer others for a moment, no longer.
SUSPICION_SECONDS: Final = 2.0
# The breaker opens after this many failures in a row, if these are most of the attempts since the first of them.
# Failures arrive sooner than answers, so under high load a row of failures alone could be a small part of all attempts.
FAILURES_TO_OPEN: Final = 5
_MOST: Final = 0.5
FIRST_OPEN_SECONDS: Final = 1.0
LONGEST_OPEN_SECONDS: Final = 15.0
# Without an alternative, a failing request now and then costs less than making callers wait.
LONGEST_OPEN_ALONE_SECONDS: Final = 2.0
# A trial without a result after this time no longer blocks other trials.
TRIAL_SECONDS: Final = 10.0


@dataclass(slots=True, eq=False)
class Breaker:
    """Closed (all requests pass), open until a given time (none passes), then half open: one trial at a time.

    All attempts of a request share one object (`by`): the request counts as one failure, and a request that has opened
    the breaker is not accepted as its trial.
    """

    failures: int = 0
    # When the first of these failures was, and how many attempts have begun since.
    failing_since: float = 0.0
    attempts: int = 0
    suspect_until: float = 0.0
    open_until: float = 0.0
    open_seconds: float = 0.0
    trial_until: float = 0.0
    opened_by: object = None

    @property
    def is_closed(self) -> bool:
        """Whether all requests may pass, without a trial."""
        return not self.open_seconds

    def ready_at(self, now: float, by: object = None) -> float:
        """When the next request may pass; `now` if at once, infinity if other requests have to succeed first."""
        if self.is_closed:
            return now
        if by is not None and by is self.opened_by:
            return math.inf
        return max(now, self.open_until, self.trial_until)

    def begin_trial(self, now: float) -> None:
        """A request passes as a trial."""
        self.trial_until = now + TRIAL_SECONDS

    def end_trial(self, began_at: float) -> None:
        """The trial that began at `began_at` is over without a result."""
        if self.trial_until == began_at + TRIAL_SECONDS:
            self.trial_until = 0.0

    def half_close(self) -> None:
        """The answer to a trial has begun: all requests may pass, and one more failure opens the breaker again."""
        if not self.is_closed:
            self.failures = FAILURES_TO_OPEN - 1
            self.attempts = 0
            self.open_until = self.open_seconds = self.trial_until = 0.0
            self.opened_by = None

    def shown_well(self, now: float) -> None:
        """A probe has succeeded: a request may try at once, or all may pass if a trial is under way."""
        if self.trial_until > now:
            self.half_close()
        elif not self.is_closed:
            self.open_until = now
            self.opened_by = None

    def succeed(self, began_at: float) -> None:
        """An answer has arrived; the answer to a request that began before the failures proves nothing."""
        if began_at >= self.failing_since:
            self.failures = self.attempts = 0
            self.suspect_until = self.open_until = self.open_seconds = self.trial_until = self.failing_since = 0.0
            self.opened_by = None

    def fail_again(self, now: float) -> None:
        """A request that was already counted has failed once more; this is no evidence about other requests."""
        self.suspect_until = now + SUSPICION_SECONDS

    def fail(
        self, now: float, *, is_trial: bool, by: object = None, longest_seconds: float = LONGEST_OPEN_SECONDS
    ) -> None:
        """An attempt has failed; attempts that were under way when the breaker opened are not counted."""
        if not self.failures:
            self.failing_since = now
            self.attempts = 0
        self.suspect_until = now + SUSPICION_SECONDS
        self.failures += 1
        if self.is_closed:
            if self.failures >= FAILURES_TO_OPEN and self.failures >= self.attempts * _MOST:
                self._open(now, FIRST_OPEN_SECONDS, by)
        elif is_trial:
            self._open(now, min(self.open_seconds * 2, longest_seconds), by)

    def _open(self, now: float, seconds: float, by: object) -> None:
        self.open_seconds = seconds
        self.open_until = now + seconds
        self.trial_until = 0.0
        self.opened_by = by
