"""What can be asked of the ledger: sums in a range of time, by some of its columns, for some of their values."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from msgspec import Struct

from gateway.service.totals import ClientTotals

MINUTE_SECONDS: Final = 60
HOUR_SECONDS: Final = 3_600
DAY_SECONDS: Final = 86_400
# A longer range is read by whole days: sums by hour are not kept that long.
_DAYS_FROM: Final = 62 * DAY_SECONDS

# What sums can be asked for by, and where they stand. End users are keyed hashes, in hexadecimal.
COLUMNS: Final[Mapping[str, str]] = {
    "key": "caller",
    "group": "group_name",
    "end_user": "end_user",
    "endpoint": "endpoint",
    "model": "model",
    "upstream_key": "upstream_key",
    "batch": "batch",
    "service_tier": "service_tier",
}


class Question(Struct, frozen=True):
    """Sums from `since` until before `until`, in Unix seconds; both are rounded outwards to what is kept.

    `width` is the length of the parts that are summed on their own: a minute, an hour, a day, or None for all together.
    `by` and `filters` have names of `COLUMNS`; a filter allows any of its values.
    """

    since: int
    until: int
    by: tuple[str, ...] = ()
    width: int | None = None
    filters: Mapping[str, Sequence[str]] = {}

    def rounded(self) -> "Question":
        """The same with the range that is really summed."""
        unit = self.width
        if unit is None:
            unit = DAY_SECONDS if self.until - self.since > _DAYS_FROM else HOUR_SECONDS
        since, until = self.since // unit * unit, -(-self.until // unit) * unit
        return Question(since, max(until, since), self.by, self.width, self.filters)


class Sums(NamedTuple):
    """Sums of the ledger. Tokens are in disjoint classes, except that `thinking` is a part of `output`.

    `cost` is in nano-dollars, as is what prompt caches have `saved`. `attempts` are calls that were billed.
    """

    requests: int = 0
    attempts: int = 0
    errors: int = 0
    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    thinking: int = 0
    server_tool_uses: int = 0
    cost: int = 0
    saved: int = 0

    @property
    def prompt(self) -> int:
        """All input: uncached, read from a cache, and written to one."""
        return self.input + self.cache_read + self.cache_write_5m + self.cache_write_1h


class Line(NamedTuple):
    """One line of an answer; `start` is None where everything was summed together, `values` are those of `by`."""

    start: int | None
    values: tuple[str, ...]
    sums: Sums


class TooManyLinesError(Exception):
    """The answer would be too long: the question has to be narrower."""


class Reports(Protocol):
    """Answers questions about what was used. Raises `AccountsFileError` if the ledger cannot be read."""

    async def lines(self, question: Question, most: int) -> list[Line]:
        """The lines in order of time, then of cost, the greatest first; raises `TooManyLinesError` above `most`."""
        ...

    async def clients(self) -> list[ClientTotals]:
        """What each caller has used, as far as sums by day are kept."""
        ...

    async def names(self) -> Mapping[str, str]:
        """The names of stored keys by their ids, deleted ones included."""
        ...
