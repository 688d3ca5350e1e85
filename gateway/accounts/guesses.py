"""Limits wrong keys by client address, and reports them in the log at intervals."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.types import Scope

from gateway.edge.addresses import address_of, network_of
from gateway.telemetry.logs import log_event
from translators.errors import ErrorKind, FailedError, Failure

# The maximum number of wrong keys per address at once, and the pause after which one more is allowed.
BURST: Final = 20
PAUSE_SECONDS: Final = 6.0
# Each address with wrong keys gets one log line per interval, up to the maximum; all others share one line.
REPORT_SECONDS: Final = 10.0
MOST_LINES: Final = 20
# Beyond this number the address with the oldest wrong key is forgotten.
MOST_ADDRESSES: Final = 4096

_NOWHERE: Final = "unknown"


@dataclass(slots=True)
class _Guesser:
    """One address: how many attempts remain at the moment `at`, and how many came since the last report."""

    allowed: float
    at: float
    count: int = 0


class Guesses:
    """Slows down wrong keys only: many clients may share an address, and a correct key is never refused."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._guessers: dict[str, _Guesser] = {}
        self._uncounted = 0
        self._report: asyncio.TimerHandle | None = None

    def refusal(self, scope: Scope, message: str) -> FailedError:
        """The error for a caller with a wrong key."""
        seconds = self._count(network_of(address_of(scope) or _NOWHERE))
        if not seconds:
            return FailedError(Failure(ErrorKind.WRONG_KEY, message))
        message = f"{message} Too many wrong keys have come from your address: wait before you try another one."
        return FailedError(Failure(ErrorKind.TOO_MANY_WRONG_KEYS, message, retry_after_seconds=seconds))

    def report(self) -> None:
        """Log the addresses that sent wrong keys since the last report."""
        self._report = None
        counted = {place: guesser.count for place, guesser in self._guessers.items() if guesser.count}
        most = sorted(counted, key=counted.__getitem__, reverse=True)[:MOST_LINES]
        for place in most:
            log_event(logging.WARNING, "Wrong keys were sent", address=place, count=counted[place])
        others = self._uncounted + sum(counted.values()) - sum(counted[place] for place in most)
        if others:
            log_event(logging.WARNING, "Wrong keys were sent from many other addresses", count=others)
        self._uncounted = 0
        for guesser in self._guessers.values():
            guesser.count = 0

    def _count(self, place: str) -> float:
        """Count a wrong key; returns the seconds to wait if there were too many, otherwise 0."""
        now = self._clock()
        guesser = self._guessers.pop(place, None) or _Guesser(BURST, now)
        # Keep the most recent last.
        self._guessers[place] = guesser
        if len(self._guessers) > MOST_ADDRESSES:
            self._uncounted += self._guessers.pop(next(iter(self._guessers))).count
        guesser.count += 1
        guesser.allowed = min(BURST, guesser.allowed + (now - guesser.at) / PAUSE_SECONDS)
        guesser.at = now
        if self._report is None:
            self._report = asyncio.get_running_loop().call_later(REPORT_SECONDS, self.report)
        if guesser.allowed < 1:
            return (1 - guesser.allowed) * PAUSE_SECONDS
        guesser.allowed -= 1
        return 0.0
