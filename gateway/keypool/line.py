"""The waiting line: requests for which no key is ready, bounded, fair between callers, oldest first within one.

Requests for different classes of models do not wait for one another. In front of a class stands one request of each
caller, and they are served in turn; where the first of them has to wait for limits the others wait with it, so that a
large request is not overtaken by small ones for ever. Only who waits for certain keys, since others refuse its model or
itself, lets those pass who may use the rest, also of its own caller.

Whoever waits for a workspace that has its prompt in a cache stands in a line of its own, before that workspace: what
is cheap there would cost others their room elsewhere. The lines of a class are served in turn, each the more often the
more callers stand in it; and once those who go anywhere have been passed by too many, nobody passes them any more.
"""

import math
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from gateway.keypool.demand import Demand, Lease
from gateway.keypool.pool import KeyPool, Stay

W = TypeVar("W", bound=Hashable)
_NOBODY: Final[frozenset[str]] = frozenset()
_ANYWHERE: Final = ""
# So many requests with a warm cache may come and go at once while somebody waits to go anywhere.
_MOST_PASSES: Final = 20
# So many rounds of its callers may a line be ahead of those who go anywhere.
_MOST_ROUNDS: Final = 4.0
# Lines before workspaces are many, and wait for moments that are known: not every event is worth a look at all of them.
_LOOK_SECONDS: Final = 0.02


@dataclass(slots=True)
class _Ticket:
    """What somebody waits for, and until when in one place only."""

    demand: Demand
    exclude: frozenset[str]
    avoid: frozenset[str]
    stays_until: float


@dataclass(slots=True)
class _Line(Generic[W]):
    """Those who wait for one class of models in one place, by caller; `not_before` is when it pays to look again."""

    callers: "OrderedDict[str, OrderedDict[W, _Ticket]]" = field(default_factory=OrderedDict)
    not_before: float = -math.inf
    looked_at: float = -math.inf
    news: int = -1
    # How often each of its callers was served, on average, since there is a line.
    rounds: float = 0.0
    # How many with a warm cache were served at once since the last of these was.
    passes: int = 0
    # Whether all who stand in it could use none of the keys that were ready when they were looked at.
    lets_pass: bool = False


class WaitingLine(Generic[W]):
    """Who waits, and who is next."""

    def __init__(self, pool: KeyPool, size: int) -> None:
        self._pool = pool
        self.size = size
        # By class of models and workspace.
        self._lines: dict[str, dict[str, _Line[W]]] = {}
        self._where: dict[W, tuple[str, str, str]] = {}

    def __len__(self) -> int:
        return len(self._where)

    @property
    def waiting(self) -> dict[str, dict[str, int]]:
        """How many wait for each class of models, by caller."""
        counts: dict[str, dict[str, int]] = {}
        for name, _, caller in self._where.values():
            callers = counts.setdefault(name, {})
            callers[caller] = callers.get(caller, 0) + 1
        return counts

    def has_line(self, demand: Demand, stay: Stay | None = None) -> bool:
        """Whether others who came before are to be served before; `stay` is where a request would wait."""
        lines = self._lines.get(demand.limit_class)
        if lines is None:
            return False
        anywhere = lines.get(_ANYWHERE)
        if stay is None or anywhere is None:
            return (anywhere is not None and not self._lets_pass(anywhere)) if stay is None else stay.workspace in lines
        return stay.workspace in lines or not _passes(anywhere)

    def _lets_pass(self, line: _Line[W]) -> bool:
        """Whether what is ready now is of no use to anybody in a line."""
        return line.lets_pass and line.news == self._pool.news

    def join(
        self,
        waiter: W,
        demand: Demand,
        *,
        exclude: frozenset[str] = _NOBODY,
        avoid: frozenset[str] = _NOBODY,
        stay: Stay | None = None,
    ) -> bool:
        """Stand in line, if there is room; before one workspace for as long as `stay` says."""
        if len(self) >= self.size:
            return False
        place = _ANYWHERE if stay is None else stay.workspace
        lines = self._lines.setdefault(demand.limit_class, {})
        if (line := lines.get(place)) is None:
            # Who comes later does not make up for what others had.
            rounds = min((other.rounds for other in lines.values()), default=0.0)
            line = lines[place] = _Line(rounds=rounds)
        ticket = _Ticket(demand, exclude, avoid, -math.inf if stay is None else stay.until)
        line.callers.setdefault(demand.caller, OrderedDict())[waiter] = ticket
        self._where[waiter] = demand.limit_class, place, demand.caller
        line.not_before = -math.inf
        line.lets_pass = False
        return True

    def leave(self, waiter: W) -> None:
        """Go away; whoever is not in line may do that as well."""
        if (where := self._where.pop(waiter, None)) is None:
            return
        name, place, caller = where
        lines = self._lines[name]
        line = lines[place]
        tickets = line.callers[caller]
        del tickets[waiter]
        if not tickets:
            del line.callers[caller]
        if not line.callers:
            del lines[place]
        if not lines:
            del self._lines[name]
        # Those behind may need less.
        line.not_before = -math.inf

    def serve(self, now: float) -> list[tuple[W, Lease]]:
        """Those whose turn has come, each with a lease; they have left the line."""
        served: list[tuple[W, Lease]] = []
        for lines in list(self._lines.values()):
            anywhere = lines.get(_ANYWHERE)
            due = [line for line in lines.values() if self._is_due(line, now, is_home=line is not anywhere)]
            while due:
                line = min(due, key=_rounds)
                is_served = (
                    self._serve(line, now, served)
                    if line is anywhere
                    else self._serve_at_home(line, anywhere, now, served)
                )
                if not is_served:
                    due.remove(line)
        return served

    def wake_at(self) -> float:
        """When it pays to call `serve` again although nothing has happened; infinity if it does not."""
        return min((line.not_before for line in self._all()), default=math.inf)

    def _all(self) -> Iterator[_Line[W]]:
        for lines in self._lines.values():
            yield from lines.values()

    def _is_due(self, line: _Line[W], now: float, *, is_home: bool) -> bool:
        if now >= line.not_before:
            return True
        if line.news == self._pool.news:
            return False
        if is_home and now - line.looked_at < _LOOK_SECONDS:
            # There may be no more news: it is looked at a little later, whatever comes.
            line.not_before = min(line.not_before, line.looked_at + _LOOK_SECONDS)
            return False
        return True

    def _serve(self, line: _Line[W], now: float, served: list[tuple[W, Lease]]) -> bool:
        """Serve one of those who go anywhere, if there is one who can be served."""
        not_before = math.inf
        # Who waits for certain keys or for its model only: others can be of use to those behind it, but for its like.
        stuck: set[tuple[str, frozenset[str]]] = set()
        for caller, tickets in line.callers.items():
            head = next((item for item in tickets.items() if _needs(item[1]) not in stuck), None)
            while head is not None:
                waiter, ticket = head
                if self._serve_next(line, caller, waiter, ticket, now, served):
                    line.passes = 0
                    return True
                not_before = min(not_before, self._pool.ready_at(now, ticket.demand, ticket.exclude))
                if not ticket.exclude and not self._pool.refuses(now, ticket.demand.model):
                    self._looked(line, now, not_before)
                    line.lets_pass = False
                    return False
                stuck.add(_needs(ticket))
                head = next((item for item in tickets.items() if _needs(item[1]) not in stuck), None)
        self._looked(line, now, not_before)
        line.lets_pass = True
        return False

    def _serve_at_home(
        self, line: _Line[W], anywhere: _Line[W] | None, now: float, served: list[tuple[W, Lease]]
    ) -> bool:
        """Serve one of those who wait for one workspace, and for any once they have waited for long enough."""
        if not line.callers:
            return False
        if anywhere is not None and anywhere.callers and line.rounds - anywhere.rounds > _MOST_ROUNDS:
            self._looked(line, now, anywhere.not_before)
            return False
        caller, tickets = next(iter(line.callers.items()))
        waiter, ticket = next(iter(tickets.items()))
        stay = self._pool.stay(now, ticket.demand) if now < ticket.stays_until else None
        if stay is not None and stay.ready_at > now:
            self._looked(line, now, min(stay.ready_at, ticket.stays_until))
            return False
        if self._serve_next(line, caller, waiter, ticket, now, served):
            return True
        self._looked(line, now, self._pool.ready_at(now, ticket.demand, ticket.exclude))
        return False

    def _looked(self, line: _Line[W], now: float, not_before: float) -> None:
        line.not_before = not_before
        line.looked_at = now
        line.news = self._pool.news

    def _serve_next(
        self, line: _Line[W], caller: str, waiter: W, ticket: _Ticket, now: float, served: list[tuple[W, Lease]]
    ) -> bool:
        lease = self._pool.acquire(now, ticket.demand, exclude=ticket.exclude, avoid=ticket.avoid)
        if lease is None:
            return False
        line.rounds += 1 / len(line.callers)
        self.leave(waiter)
        served.append((waiter, lease))
        if caller in line.callers:
            line.callers.move_to_end(caller)
        return True

    def passed(self, demand: Demand) -> None:
        """A request was served at once although others wait: its cache was warm."""
        lines = self._lines.get(demand.limit_class)
        if lines is not None and (anywhere := lines.get(_ANYWHERE)) is not None:
            anywhere.passes += 1


def _needs(ticket: _Ticket) -> tuple[str, frozenset[str]]:
    """What keeps a request from some of the keys."""
    return ticket.demand.model, ticket.exclude


def _rounds(line: _Line[W]) -> float:
    return line.rounds


def _passes(anywhere: _Line[W]) -> bool:
    """Whether those with a warm cache may still pass."""
    return anywhere.passes < _MOST_PASSES
