"""What was learned from upstream's 400s, for a day: the corrected row of a model at one host."""

import time
from collections.abc import Callable
from typing import Final

from translators.hosts import HostProfile
from translators.lessons import corrected
from translators.models import ModelRow

LESSON_SECONDS: Final = 24 * 3600.0
# Callers choose the names of models.
_MAX_LESSONS: Final = 512


class Lessons:
    """Corrected rows by host and model; after a day the table counts again, since models and hosts change."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rows: dict[tuple[str, str], tuple[ModelRow, float]] = {}

    def row(self, host: HostProfile, model: str, row: ModelRow) -> ModelRow:
        """The row of a model at a host, as far as is known by now."""
        if not self._rows:
            return row
        learned = self._rows.get((host.name, model))
        return learned[0] if learned is not None and learned[1] > self._clock() else row

    def learn(self, host: HostProfile, model: str, row: ModelRow, message: str) -> bool:
        """Take in a 400's message; whether it taught something new."""
        better = corrected(self.row(host, model, row), message)
        if better is None:
            return False
        if len(self._rows) >= _MAX_LESSONS:
            del self._rows[next(iter(self._rows))]
        self._rows[host.name, model] = (better, self._clock() + LESSON_SECONDS)
        return True
