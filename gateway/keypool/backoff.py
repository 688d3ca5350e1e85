"""Backoff: something that was refused is left alone, longer with each refusal in a row."""

import math
from dataclasses import dataclass
from typing import Final

# A refused key rests, longer with each refusal in a row: a single one may be about one request only, and a key that is
# really bad is still looked at now and then, since it may have been mended upstream.
FIRST_BACKOFF_SECONDS: Final = 1.0
LONGEST_BACKOFF_SECONDS: Final = 300.0
# Whatever upstream names, or seems to: after this long one request may try.
LONGEST_TOLD_SECONDS: Final = 3600.0
# A trial that has not told anything after this long does not keep others from being one.
TRIAL_SECONDS: Final = 10.0
MAX_COUNTED_REFUSALS: Final = 16


@dataclass(slots=True)
class Backoff:
    """Something that was refused: until when it rests, and how often in a row."""

    until: float = 0.0
    refusals: int = 0
    # When the request that is a trial began.
    tried_at: float = -math.inf

    def refuse(self, now: float, at_least_seconds: float) -> None:
        """Rest from now on."""
        seconds = min(FIRST_BACKOFF_SECONDS * 2**self.refusals, LONGEST_BACKOFF_SECONDS)
        self.until = max(self.until, now + max(seconds, min(at_least_seconds, LONGEST_TOLD_SECONDS)))
        self.refusals = min(self.refusals + 1, MAX_COUNTED_REFUSALS)
        self.tried_at = -math.inf

    def begin_trial(self, now: float) -> None:
        """The rest is over, and one request is to show whether the reason for it is."""
        self.until = now + TRIAL_SECONDS
        self.tried_at = now

    def end_trial(self, began_at: float, *, is_well: bool = False) -> None:
        """The request that began then has been answered, or is over; one that was no trial changes nothing."""
        if self.tried_at == began_at:
            self.until, self.tried_at = 0.0, -math.inf
            if is_well:
                self.refusals = 0

    def succeed(self, began_at: float) -> None:
        """The request that began then has been answered to its end."""
        self.end_trial(began_at)
        self.refusals = 0
