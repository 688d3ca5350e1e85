"""Who gets the next connection, who is stuck, and how soon a dead worker is replaced; time is an argument."""

from dataclasses import dataclass
from typing import Final, NamedTuple

# More connections than these are not put on the way to a worker that does not take them.
MOST_ON_THE_WAY: Final = 128

# A worker says so often that its event loop turns, whether or not there is news.
PULSE_SECONDS: Final = 1.0
# One that has missed some of these gets a connection only where all have.
_QUIET_SECONDS: Final = 3 * PULSE_SECONDS

# Who dies sooner than this after another makes its successor wait, twice as long each time.
_YOUNG_SECONDS: Final = 60.0
_FIRST_DELAY_SECONDS: Final = 0.5
_LONGEST_DELAY_SECONDS: Final = 30.0


class Report(NamedTuple):
    """What a worker says of itself: connections ever taken, requests open or about to come, connections open."""

    taken: int
    requests: int
    connections: int
    wants_to_be_replaced: bool = False


NOTHING: Final = Report(0, 0, 0)


@dataclass(slots=True)
class Load:
    """What a worker has to do, as far as its parent can know: its last report, and what it was handed since."""

    report: Report = NOTHING
    handed: int = 0
    last_turn: int = 0
    silent_seconds: float = 0.0

    @property
    def is_quiet(self) -> bool:
        """Whether the worker has not shown a pulse for longer than a busy one does."""
        return self.silent_seconds >= _QUIET_SECONDS

    @property
    def on_the_way(self) -> int:
        """Connections that the worker had not taken when it reported."""
        return self.handed - self.report.taken

    @property
    def requests(self) -> int:
        """Open requests; a connection on its way will bring one."""
        return self.report.requests + self.on_the_way

    @property
    def has_room(self) -> bool:
        """Whether the worker keeps up with what it is handed."""
        return self.on_the_way < MOST_ON_THE_WAY

    @property
    def weight(self) -> tuple[bool, int, int, int]:
        """Who is quiet comes last; open requests count, then open connections, then whose turn was longest ago."""
        return self.is_quiet, self.requests, self.report.connections + self.on_the_way, self.last_turn

    def hand(self, turn: int) -> None:
        """A connection is on its way; `turn` grows with each connection that any worker is handed."""
        self.handed += 1
        self.last_turn = turn

    def hear(self, report: Report) -> None:
        """The worker has reported, which is also its pulse."""
        self.report = report
        self.silent_seconds = 0.0

    def look(self, elapsed_seconds: float) -> None:
        """Count the time since the last look as silence, at most that of one pulse.

        Who looks late was suspended, with the machine or without, or had no CPU, and the workers perhaps as well.
        """
        self.silent_seconds += min(elapsed_seconds, PULSE_SECONDS)


@dataclass(slots=True)
class Backoff:
    """How long a dead worker's place stays empty: not at all, unless they die one soon after the other."""

    _last_death_at: float = float("-inf")
    _delay_seconds: float = 0.0

    def delay_seconds(self, now: float) -> float:
        """A worker has died now; the wait before its successor is started."""
        if now - self._last_death_at > _YOUNG_SECONDS:
            self._delay_seconds = 0.0
        else:
            self._delay_seconds = min(self._delay_seconds * 2 or _FIRST_DELAY_SECONDS, _LONGEST_DELAY_SECONDS)
        self._last_death_at = now
        return self._delay_seconds
