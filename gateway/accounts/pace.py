"""How fast administrators may change things: a script that runs wild must not keep the database busy."""

import time
from collections.abc import Callable
from typing import Final

from translators.errors import ErrorKind, FailedError, Failure

BURST: Final = 50.0
PER_SECOND: Final = 5.0
_TOO_FAST: Final = "There are too many changes at once: at most {:g}, and {:g} a second after that."


class Pace:
    """A bucket of changes that refills steadily; one for all administrators of a process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left = BURST
        self._at = clock()

    def take(self) -> None:
        """Count a change; raises `FailedError` if there were too many."""
        now = self._clock()
        self._left, self._at = min(BURST, self._left + (now - self._at) * PER_SECOND), now
        if self._left < 1:
            seconds = (1 - self._left) / PER_SECOND
            message = _TOO_FAST.format(BURST, PER_SECOND)
            raise FailedError(Failure(ErrorKind.RATE_LIMITED, message, retry_after_seconds=seconds))
        self._left -= 1
