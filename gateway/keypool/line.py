"""The waiting line: requests for which no key is ready, bounded, fair between callers, oldest first within one.

Requests for different classes of models do not wait for one another. In front of a class stands one request of each
caller, and they are served in turn; where the first of them has to wait for limits the others wait with it, so that a
large request is not overtaken by small ones for ever.
"""

import math
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from gateway.keypool.demand import Demand, Lease
from gateway.keypool.pool import KeyPool
from translators.errors import ErrorKind

W = TypeVar("W", bound=Hashable)
_NOBODY: Final[frozenset[str]] = frozenset()


@dataclass(slots=True)
class _Ticket:
    """What somebody waits for."""

    demand: Demand
    exclude: frozenset[str]
    avoid: frozenset[str]


@dataclass(slots=True)
class _Class(Generic[W]):
    """Those who wait for one class of models, by caller; `not_before` is when it pays to look again."""

    callers: "OrderedDict[str, OrderedDict[W, _Ticket]]"
    not_before: float = -math.inf
    news: int = -1


class WaitingLine(Generic[W]):
    """Who waits, and who is next."""

    def __init__(self, pool: KeyPool, size: int) -> None:
        self._pool = pool
        self.size = size
        self._classes: dict[str, _Class[W]] = {}
        self._where: dict[W, tuple[str, str]] = {}

    def __len__(self) -> int:
        return len(self._where)

    @property
    def waiting(self) -> dict[str, dict[str, int]]:
        """How many wait for each class of models, by caller."""
        return {
            name: {caller: len(tickets) for caller, tickets in line.callers.items()}
            for name, line in self._classes.items()
        }

    def has_line(self, demand: Demand) -> bool:
        """Whether somebody who came before waits for the same class of models."""
        return demand.limit_class in self._classes

    def join(
        self, waiter: W, demand: Demand, *, exclude: frozenset[str] = _NOBODY, avoid: frozenset[str] = _NOBODY
    ) -> bool:
        """Stand in line, if there is room."""
        if len(self) >= self.size:
            return False
        line = self._classes.get(demand.limit_class)
        if line is None:
            line = self._classes[demand.limit_class] = _Class(OrderedDict())
        line.callers.setdefault(demand.caller, OrderedDict())[waiter] = _Ticket(demand, exclude, avoid)
        self._where[waiter] = demand.limit_class, demand.caller
        line.not_before = -math.inf
        return True

    def leave(self, waiter: W) -> None:
        """Go away; whoever is not in line may do that as well."""
        place = self._where.pop(waiter, None)
        if place is None:
            return
        name, caller = place
        line = self._classes[name]
        tickets = line.callers[caller]
        del tickets[waiter]
        if not tickets:
            del line.callers[caller]
        if not line.callers:
            del self._classes[name]
        # Those behind may need less.
        line.not_before = -math.inf

    def serve(self, now: float) -> list[tuple[W, Lease]]:
        """Those whose turn has come, each with a lease; they have left the line."""
        served: list[tuple[W, Lease]] = []
        for line in list(self._classes.values()):
            if now >= line.not_before or line.news != self._pool.news:
                self._serve(line, now, served)
        return served

    def wake_at(self) -> float:
        """When it pays to call `serve` again although nothing has happened; infinity if it does not."""
        return min((line.not_before for line in self._classes.values()), default=math.inf)

    def _serve(self, line: _Class[W], now: float, served: list[tuple[W, Lease]]) -> None:
        passed: set[str] = set()
        not_before = math.inf
        while (caller := next((name for name in line.callers if name not in passed), None)) is not None:
            waiter, ticket = next(iter(line.callers[caller].items()))
            lease = self._pool.acquire(now, ticket.demand, exclude=ticket.exclude, avoid=ticket.avoid)
            if lease is not None:
                self.leave(waiter)
                served.append((waiter, lease))
                if caller in line.callers:
                    line.callers.move_to_end(caller)
                continue
            ready_at = self._pool.ready_at(now, ticket.demand, ticket.exclude)
            not_before = min(not_before, ready_at)
            kind, _ = self._pool.why_none(now, ticket.demand, ticket.exclude)
            if not ticket.exclude and kind is not ErrorKind.MODEL_REFUSED:
                break
            # It waits for certain keys or for its model only; others can be of use to those behind it.
            passed.add(caller)
        line.not_before = not_before
        line.news = self._pool.news
