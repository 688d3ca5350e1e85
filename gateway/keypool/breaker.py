"""A circuit breaker: what has failed several times in a row is left alone for a while, then tried by one request."""

import math
from dataclasses import dataclass
from typing import Final

# One failure may be chance: others are preferred for a moment, no more.
SUSPICION_SECONDS: Final = 2.0
# So many in a row, and most of the attempts since the first of them: then it is open. Failures come sooner than
# answers do, so that in a row alone some of very many would be enough.
FAILURES_TO_OPEN: Final = 5
_MOST: Final = 0.5
FIRST_OPEN_SECONDS: Final = 1.0
LONGEST_OPEN_SECONDS: Final = 15.0
# Where there is nowhere else to go, a request each time costs less than callers who wait.
LONGEST_OPEN_ALONE_SECONDS: Final = 2.0
# A trial that has not told anything after this long does not keep others from being one.
TRIAL_SECONDS: Final = 10.0


@dataclass(slots=True, eq=False)
class Breaker:
    """Closed (all pass), open until a moment (nobody passes), then half open: one trial at a time.

    A request is known by an object that all its attempts share (`by`): it counts once, and whoever has opened the
    breaker is no trial of it.
    """

    failures: int = 0
    # When the first of them was, and how many attempts have begun since.
    failing_since: float = 0.0
    attempts: int = 0
    suspect_until: float = 0.0
    open_until: float = 0.0
    open_seconds: float = 0.0
    trial_until: float = 0.0
    opened_by: object = None

    @property
    def is_closed(self) -> bool:
        """Whether nothing stands in the way, trials neither."""
        return not self.open_seconds

    def ready_at(self, now: float, by: object = None) -> float:
        """When the next request may pass; `now` if one may at once, infinity when others have shown that it is well."""
        if self.is_closed:
            return now
        if by is not None and by is self.opened_by:
            return math.inf
        return max(now, self.open_until, self.trial_until)

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
            self.attempts = 0
            self.open_until = self.open_seconds = self.trial_until = 0.0
            self.opened_by = None

    def shown_well(self, now: float) -> None:
        """What costs nothing was answered: a request may try at once, and all may pass if one tries already."""
        if self.trial_until > now:
            self.half_close()
        elif not self.is_closed:
            self.open_until = now
            self.opened_by = None

    def succeed(self, began_at: float) -> None:
        """An answer has come; one to a request that began before the failures is no sign of anything."""
        if began_at >= self.failing_since:
            self.failures = self.attempts = 0
            self.suspect_until = self.open_until = self.open_seconds = self.trial_until = self.failing_since = 0.0
            self.opened_by = None

    def fail_again(self, now: float) -> None:
        """A request that has been counted has failed once more: that tells nothing about anybody else."""
        self.suspect_until = now + SUSPICION_SECONDS

    def fail(
        self, now: float, *, is_trial: bool, by: object = None, longest_seconds: float = LONGEST_OPEN_SECONDS
    ) -> None:
        """An attempt has failed; those that were under way when it opened count for nothing."""
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
