"""Exponential backoff after refusals: each refusal in a row doubles the pause."""

import math
from dataclasses import dataclass
from typing import Final

# A single refusal may concern one request only, so the first pause is short. The longest pause is bounded, since a
# rejected key may have been restored upstream.
FIRST_BACKOFF_SECONDS: Final = 1.0
LONGEST_BACKOFF_SECONDS: Final = 300.0
# The longest pause that upstream can ask for; after that one request may try.
LONGEST_TOLD_SECONDS: Final = 3600.0
# A trial without a result after this time no longer blocks other trials.
TRIAL_SECONDS: Final = 10.0
MAX_COUNTED_REFUSALS: Final = 16


@dataclass(slots=True)
class Backoff:
    """The backoff state of something that was refused: when its pause ends, and how many refusals came in a row."""

    until: float = 0.0
    refusals: int = 0
    # When the request that is the current trial began.
    tried_at: float = -math.inf

    def refuse(self, now: float, at_least_seconds: float) -> None:
        """Start a pause."""
        seconds = min(FIRST_BACKOFF_SECONDS * 2**self.refusals, LONGEST_BACKOFF_SECONDS)
        self.until = max(self.until, now + max(seconds, min(at_least_seconds, LONGEST_TOLD_SECONDS)))
        self.refusals = min(self.refusals + 1, MAX_COUNTED_REFUSALS)
        self.tried_at = -math.inf

    def begin_trial(self, now: float) -> None:
        """Let one request try whether the reason for the pause is gone."""
        self.until = now + TRIAL_SECONDS
        self.tried_at = now

    def end_trial(self, began_at: float, *, is_well: bool = False) -> None:
        """End the trial that began at `began_at`, answered or not; a request that was no trial changes nothing."""
        if self.tried_at == began_at:
            self.until, self.tried_at = 0.0, -math.inf
            if is_well:
                self.refusals = 0

    def succeed(self, began_at: float) -> None:
        """The request that began at `began_at` has been answered completely."""
        self.end_trial(began_at)
        self.refusals = 0
