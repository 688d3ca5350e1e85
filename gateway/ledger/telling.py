"""What the log says about the ledger: when it cannot be written, how much waits and is lost, when it is well again."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gateway.ledger.lane import MOVED
from gateway.ledger.writer import LedgerWriter
from gateway.telemetry.logs import log_event

FAILS: Final = "The ledger cannot be written, its rows wait in memory"
WELL: Final = "The ledger is written again"
LOST: Final = "Rows of the ledger are lost"
# As long as something is wrong, it is said so often.
_REMINDER_SECONDS: Final = 60.0


class LedgerLog:
    """Looks at the writer from the event loop; its thread adds to `moved`. `clock` gives seconds."""

    def __init__(self, writer: LedgerWriter, file: Path, clock: Callable[[], float], moved: list[Path]) -> None:
        self._writer = writer
        self._file = file
        self._clock = clock
        self._is_failing = False
        self._lost = 0
        self._told_at = -_REMINDER_SECONDS
        self._moved = moved

    def look(self) -> None:
        """Say what has changed since the last look, and once a minute what is still wrong."""
        while self._moved:
            log_event(logging.ERROR, MOVED, file=self._moved.pop(0))
        trouble, lost = self._writer.batches.trouble, self._writer.lost
        now = self._clock()
        is_due = now - self._told_at >= _REMINDER_SECONDS
        if trouble and (is_due or not self._is_failing):
            self._tell(logging.ERROR, FAILS, now, why=trouble, waiting=self._writer.waiting)
        elif lost > self._lost and is_due:
            self._tell(logging.ERROR, LOST, now)
        elif self._is_failing and not trouble:
            self._tell(logging.WARNING, WELL, now, file=self._file)
        self._is_failing = bool(trouble)

    def _tell(self, level: int, message: str, now: float, **fields: object) -> None:
        self._lost, self._told_at = self._writer.lost, now
        log_event(level, message, **fields, lost=self._lost or None)
