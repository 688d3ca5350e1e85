"""The thread that writes the ledger: requests hand their record over and wait for nothing."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from gateway.ledger.batches import Batches
from gateway.ledger.pruning import Keep
from gateway.ledger.rows import Row, rows_of
from gateway.ledger.texts import LONGEST, short_name
from gateway.service.observers import Ended

# What has ended is durable 250 ms later: it is collected for this time, and then written.
_GATHER_SECONDS: Final = 0.1
# While the file cannot be written, this passes between two tries.
_RETRY_SECONDS: Final = 0.5
# How often old rows are looked for, and how long it waits between two steps of deleting them.
_PRUNE_SECONDS: Final = 10.0
_STEP_SECONDS: Final = 0.05
_IDLE_SECONDS: Final = 30.0
# What waits for the thread itself, while it waits for the disk: some seconds of a heavy load.
MOST_ENDED: Final = 20_000
# Rows are made in portions of this, so that the event loop need not wait for Python's lock.
_PORTION: Final = 20


class LedgerWriter:
    """An `Observer` whose rows are durable within a quarter of a second.

    After each turn the thread deletes a little of what is not kept any longer, as `keep` says.
    """

    def __init__(
        self,
        batches: Batches,
        keep: Keep,
        *,
        wall: Callable[[], float] = time.time,
        most_ended: int = MOST_ENDED,
    ) -> None:
        self._wall = wall
        self._most_ended = most_ended
        self._ended: deque[Ended] = deque()
        self._wakes = threading.Event()
        self._stops = threading.Event()
        self._thread: threading.Thread | None = None
        self._pruned_at = -_PRUNE_SECONDS
        self._has_more = False
        # Whether the thread has tried the file.
        self.has_begun = False
        # A reload may replace it.
        self.keep = keep
        self.batches = batches
        # Requests that ended while the thread had too many to take.
        self.overrun = 0

    @property
    def is_failing(self) -> bool:
        """Whether the file cannot be written at the moment."""
        return bool(self.batches.trouble)

    @property
    def waiting(self) -> int:
        """What is not written yet."""
        return len(self._ended) + len(self.batches.journal)

    @property
    def lost(self) -> int:
        """What will never be written."""
        return self.overrun + self.batches.journal.lost + self.batches.refused

    def note(self, ended: Ended) -> None:
        """Hand a request over to the thread."""
        if len(self._ended) >= self._most_ended:
            self.overrun += 1
            return
        if ended.end_user is not None and len(ended.end_user) > LONGEST:
            # Callers choose it, and many may wait here.
            ended = replace(ended, end_user=short_name(ended.end_user))
        self._ended.append(ended)
        if not self._wakes.is_set():
            self._wakes.set()

    def start(self) -> None:
        """Begin to write, at the first call; what was noted before is written too."""
        if self._thread is not None:
            return
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    def close(self, seconds: float) -> bool:
        """Write what is left and end the thread; returns whether all is written. Blocks, but not for longer."""
        if self._thread is None and self._ended:
            self.start()
        self._stops.set()
        self._wakes.set()
        if self._thread is not None:
            self._thread.join(seconds)
            if self._thread.is_alive():
                return False
        return self.waiting == 0

    def turn(self) -> None:
        """Write what there is; called in the thread."""
        rows = self._rows()
        if self.is_failing or self.batches.journal:
            self.batches.retry()
        self.batches.add(rows)
        if not self.is_failing:
            self._prune()

    def _run(self) -> None:
        try:
            # Whether the file can be used at all shows before the first request.
            self.batches.probe()
            self.has_begun = True
            while not self._stops.is_set():
                self._wait()
                self._wakes.clear()
                self.turn()
            self.turn()
        finally:
            self.batches.close()

    def _wait(self) -> None:
        if self.is_failing:
            self._stops.wait(_RETRY_SECONDS)
            return
        self._wakes.wait(_STEP_SECONDS if self._has_more else _IDLE_SECONDS)
        self._stops.wait(_GATHER_SECONDS)

    def _rows(self) -> Sequence[Row]:
        rows: list[Row] = []
        for number in range(1, len(self._ended) + 1):
            try:
                rows += rows_of(self._ended.popleft(), self.batches.users)
            except Exception:
                # A record that cannot be read is a bug; the others shall not be lost with it.
                self.batches.refused += 1
            if number % _PORTION == 0:
                time.sleep(0)
        return rows

    def _prune(self) -> None:
        now = self._wall()
        if self._has_more or not 0 <= now - self._pruned_at < _PRUNE_SECONDS:
            self._has_more = self.batches.prune(self.keep, now)
            self._pruned_at = now
