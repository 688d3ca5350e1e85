"""Whether the backing is tried, and what the log says about it: each failure once, and its end."""

import logging
import math
from collections.abc import Callable
from typing import Final

from gateway.kept_turns.backing import TroubleError
from gateway.kept_turns.breaker import TOLERATED, Breaker
from gateway.telemetry.logs import log_event

# A failure that comes and goes is logged no more often than this.
QUIET_SECONDS: Final = 60.0
_MOST_TOLD: Final = 100


class Report:
    """Logs what is wrong with a store, once for each reason, and when it works again."""

    def __init__(self, place: str, clock: Callable[[], float]) -> None:
        self._place = place
        self._clock = clock
        self._told_at: dict[str, float] = {}
        self._failing: set[str] = set()
        self._began_at = -math.inf
        self._is_told = False
        self._unreadable_at = -math.inf

    def unreadable(self, count: int) -> None:
        """Log, at most once a minute, that values could not be decrypted; they count as misses."""
        now = self._clock()
        if now - self._unreadable_at >= QUIET_SECONDS:
            self._unreadable_at = now
            message = "Values in the store cannot be decrypted: they were changed, or encrypted in another way"
            log_event(logging.WARNING, message, store=self._place, count=count)

    def failed(self, work: str, why: str) -> None:
        """Log that a kind of work failed, unless the reason is logged already."""
        now = self._clock()
        if not self._failing:
            self._began_at = now
        self._failing.add(work)
        told_at = self._told_at.get(why, -math.inf)
        if told_at >= self._began_at or now - told_at < QUIET_SECONDS:
            return
        if len(self._told_at) >= _MOST_TOLD:
            self._told_at.clear()
        self._told_at[why] = now
        self._is_told = True
        message = "The store cannot be used, the gateway continues with its memory"
        log_event(logging.WARNING, message, store=self._place, work=work, why=why)

    def succeeded(self, work: str) -> None:
        """Log that the store works again, once no kind of work fails any more."""
        self._failing.discard(work)
        if self._failing or not self._is_told:
            return
        self._is_told = False
        log_event(logging.INFO, "The store works again", store=self._place)


class Guard:
    """The breaker of one kind of work, which reports to the log."""

    def __init__(self, work: str, report: Report, clock: Callable[[], float]) -> None:
        self._work = work
        self._report = report
        self._clock = clock
        self._breaker = Breaker()

    @property
    def is_tolerant(self) -> bool:
        """Whether every try is still admitted."""
        return self._breaker.failures < TOLERATED

    @property
    def is_well(self) -> bool:
        """Whether the last try succeeded."""
        return not self._breaker.failures

    def allows(self) -> bool:
        """Whether to try now; the caller must then call `failed` or `succeeded`."""
        return self._breaker.allows(self._clock())

    def failed(self, error: Exception) -> None:
        self._breaker.failed(self._clock())
        self._report.failed(self._work, reason_of(error))

    def succeeded(self) -> None:
        if self._breaker.failures:
            self._breaker.succeeded()
            self._report.succeeded(self._work)


def reason_of(error: Exception) -> str:
    """Why something failed, without any content that was read or written."""
    if isinstance(error, TroubleError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    # The text of an unexpected error could quote what was read or written.
    return f"unexpected error ({type(error).__name__})"
