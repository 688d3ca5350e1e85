"""Which worker gets the next connection, which is stuck, and how soon a dead one is replaced; time is an argument."""

from dataclasses import dataclass
from typing import Final, NamedTuple

# At most this many connections are sent to a worker before it has taken them.
MOST_ON_THE_WAY: Final = 128

# How often a worker reports that its event loop runs, even if nothing has changed.
PULSE_SECONDS: Final = 1.0
# A worker that has been silent this long gets a connection only if all others have, too.
_QUIET_SECONDS: Final = 3 * PULSE_SECONDS

# If workers die within this time of each other, each replacement waits twice as long as the one before.
_YOUNG_SECONDS: Final = 60.0
_FIRST_DELAY_SECONDS: Final = 0.5
_LONGEST_DELAY_SECONDS: Final = 30.0


class Report(NamedTuple):
    """A worker's own figures: connections taken so far, requests open or expected, connections open."""

    taken: int
    requests: int
    connections: int
    wants_to_be_replaced: bool = False


NOTHING: Final = Report(0, 0, 0)


@dataclass(slots=True)
class Load:
    """A worker's load as its parent knows it: the last report, and what was handed over since."""

    report: Report = NOTHING
    handed: int = 0
    last_turn: int = 0
    silent_seconds: float = 0.0

    @property
    def is_quiet(self) -> bool:
        """Whether the worker has been silent for longer than a busy one would be."""
        return self.silent_seconds >= _QUIET_SECONDS

    @property
    def on_the_way(self) -> int:
        """Connections that the worker had not taken when it last reported."""
        return self.handed - self.report.taken

    @property
    def requests(self) -> int:
        """Open requests, counting one for each connection that the worker has not taken yet."""
        return self.report.requests + self.on_the_way

    @property
    def has_room(self) -> bool:
        """Whether the worker keeps up with the connections sent to it."""
        return self.on_the_way < MOST_ON_THE_WAY

    @property
    def weight(self) -> tuple[bool, int, int, int]:
        """The sort key: quiet workers last, then by open requests, open connections, and the last turn."""
        return self.is_quiet, self.requests, self.report.connections + self.on_the_way, self.last_turn

    def hand(self, turn: int) -> None:
        """Count a connection that is sent to the worker; `turn` grows with each connection to any worker."""
        self.handed += 1
        self.last_turn = turn

    def hear(self, report: Report) -> None:
        """Take a report, which is also a pulse."""
        self.report = report
        self.silent_seconds = 0.0

    def look(self, elapsed_seconds: float) -> None:
        """Add the time since the last check to the silence, at most one pulse.

        If the parent checks late, it was suspended or had no CPU time, and so perhaps were the workers.
        """
        self.silent_seconds += min(elapsed_seconds, PULSE_SECONDS)


@dataclass(slots=True)
class Backoff:
    """The delay before a dead worker is replaced: none, unless several die in short succession."""

    _last_death_at: float = float("-inf")
    _delay_seconds: float = 0.0

    def delay_seconds(self, now: float) -> float:
        """Count a death, and return the delay before the replacement starts."""
        if now - self._last_death_at > _YOUNG_SECONDS:
            self._delay_seconds = 0.0
        else:
            self._delay_seconds = min(self._delay_seconds * 2 or _FIRST_DELAY_SECONDS, _LONGEST_DELAY_SECONDS)
        self._last_death_at = now
        return self._delay_seconds
