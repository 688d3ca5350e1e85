"""The waiting line: requests for which no key is ready, bounded, fair between callers, oldest first within one.

Requests for different classes of models do not wait for one another. In front of a class stands one request of each
caller, and they are served in turn; where the first of them has to wait for limits the others wait with it, so that a
large request is not overtaken by small ones for ever. Only who waits for certain keys, since others refuse its model or
itself, lets those pass who may use the rest, also of its own caller.

Whoever waits for a workspace that has its prompt in a cache, or for an account that has signed what it holds, stands in
a line of its own, before that place: what is cheap there would cost others their room elsewhere. The lines of a class
are served in turn, each the more often the more callers stand in it; and once those who go anywhere have been passed by
too many, nobody passes them any more. Who has waited for its cache for long enough goes anywhere when its turn comes;
who has waited for its account stands with those who go anywhere from then on.
"""

import math
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Final, Generic, TypeAlias, TypeVar

from gateway.keypool.demand import Demand
from gateway.keypool.domains import Organisation
from gateway.keypool.lease import Lease
from gateway.keypool.pool import KeyPool
from gateway.keypool.stays import Stay

W = TypeVar("W", bound=Hashable)
# A model, keys that are excluded, and who has opened a breaker: at most one for each of these.
_Needs: TypeAlias = tuple[str, frozenset[str], int]
_NOBODY: Final[frozenset[str]] = frozenset()
_ANYWHERE: Final = ""
# So many requests with a warm cache may come and go at once while somebody waits to go anywhere.
_MOST_PASSES: Final = 20
# So many rounds of its callers may a line be ahead of those who go anywhere.
_MOST_ROUNDS: Final = 4.0
# Lines before places are many, and wait for moments that are known: not every event is worth a look at all of them.
_LOOK_SECONDS: Final = 0.02


@dataclass(slots=True)
class _Ticket:
    """What somebody waits for, where, and until when there only."""

    demand: Demand
    exclude: frozenset[str]
    avoid: frozenset[str]
    stays_until: float
    place: str = _ANYWHERE


@dataclass(slots=True)
class _Line(Generic[W]):
    """Those who wait for one class of models in one place, by caller; `not_before` is when it pays to look again."""

    callers: "OrderedDict[str, OrderedDict[W, _Ticket]]" = field(default_factory=OrderedDict)
    # Whose keys they wait for, where it is an account.
    organisation: Organisation | None = None
    # When the first of them gives up waiting for an account, or before.
    stays_until: float = math.inf
    not_before: float = -math.inf
    looked_at: float = -math.inf
    news: int = -1
    own_news: int = -1
    # How often each of its callers was served, on average, since there is a line.
    rounds: float = 0.0
    # How many with a warm cache were served at once since the last of these was.
    passes: int = 0
    # Whether all who stand in it could use none of the keys that were ready when they were looked at.
    lets_pass: bool = False

    @property
    def has_own_news(self) -> bool:
        """Whether something has happened to the very keys that they wait for."""
        return self.organisation is not None and self.organisation.news != self.own_news


class WaitingLine(Generic[W]):
    """Who waits, and who is next."""

    def __init__(self, pool: KeyPool, size: int) -> None:
        self._pool = pool
        self.size = size
        # By class of models and place.
        self._lines: dict[str, dict[str, _Line[W]]] = {}
        # Everybody who waits, and where.
        self.waiters: dict[W, _Ticket] = {}

    def __len__(self) -> int:
        return len(self.waiters)

    @property
    def waiting(self) -> dict[str, dict[str, int]]:
        """How many wait for each class of models, by caller."""
        counts: dict[str, dict[str, int]] = {}
        for ticket in self.waiters.values():
            callers = counts.setdefault(ticket.demand.limit_class, {})
            callers[ticket.demand.caller] = callers.get(ticket.demand.caller, 0) + 1
        return counts

    def has_line(self, demand: Demand, stay: Stay | None = None) -> bool:
        """Whether others who came before are to be served before; `stay` is where a request would wait."""
        lines = self._lines.get(demand.limit_class)
        if lines is None:
            return False
        anywhere = lines.get(_ANYWHERE)
        if anywhere is None or self._lets_pass(anywhere):
            return stay is not None and stay.place in lines
        return stay is None or stay.place in lines or not _passes(anywhere)

    def acquire(
        self, now: float, demand: Demand, *, exclude: frozenset[str] = _NOBODY, avoid: frozenset[str] = _NOBODY
    ) -> Lease | None:
        """A lease at once; None where no key is ready, others have waited longer, or it pays to wait in one place."""
        if demand.limit_class not in self._lines:
            return self._pool.acquire(now, demand, exclude=exclude, avoid=avoid, waits=True)
        stay = self._pool.stay(now, demand, exclude=exclude, avoid=avoid)
        if self.has_line(demand, stay) or (stay is not None and stay.ready_at > now):
            return None
        lease = self._pool.acquire(now, demand, exclude=exclude, avoid=avoid)
        if lease is not None and stay is not None and (anywhere := self._anywhere(demand)) is not None:
            # Its cache is warm, or its account ready: it is served although others wait.
            anywhere.passes += 1
        return lease

    def _anywhere(self, demand: Demand) -> _Line[W] | None:
        return self._lines.get(demand.limit_class, {}).get(_ANYWHERE)

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
        """Stand in line, if there is room; before one place for as long as `stay` says."""
        if len(self) >= self.size:
            return False
        ticket = _Ticket(demand, exclude, avoid, math.inf if stay is None else stay.until)
        self._stand(waiter, ticket, stay)
        return True

    def _stand(self, waiter: W, ticket: _Ticket, stay: Stay | None) -> None:
        demand, place = ticket.demand, _ANYWHERE if stay is None else stay.place
        lines = self._lines.setdefault(demand.limit_class, {})
        if (line := lines.get(place)) is None:
            # Who comes later does not make up for what others had.
            rounds = min((other.rounds for other in lines.values()), default=0.0)
            organisation = None if stay is None else stay.organisation
            line = lines[place] = _Line(organisation=organisation, rounds=rounds)
        line.callers.setdefault(demand.caller, OrderedDict())[waiter] = ticket
        ticket.place = place
        self.waiters[waiter] = ticket
        if (organisation := line.organisation) is not None:
            line.stays_until = min(line.stays_until, ticket.stays_until)
            organisation.awaited[demand.limit_class] = organisation.awaited.get(demand.limit_class, 0) + 1
        line.not_before = -math.inf
        line.lets_pass = False

    def leave(self, waiter: W) -> None:
        """Go away; whoever is not in line may do that as well."""
        if (ticket := self.waiters.pop(waiter, None)) is not None:
            self._remove(waiter, ticket.demand, ticket.place)

    def _remove(self, waiter: W, demand: Demand, place: str) -> None:
        lines = self._lines[demand.limit_class]
        line = lines[place]
        if (organisation := line.organisation) is not None:
            organisation.awaited[demand.limit_class] -= 1
            if not organisation.awaited[demand.limit_class]:
                del organisation.awaited[demand.limit_class]
        tickets = line.callers[demand.caller]
        del tickets[waiter]
        if not tickets:
            del line.callers[demand.caller]
        if not line.callers:
            del lines[place]
        if not lines:
            del self._lines[demand.limit_class]
        # Those behind may need less.
        line.not_before = -math.inf

    def _move_on(self, lines: dict[str, _Line[W]], now: float) -> bool:
        """Whoever has waited for its account for long enough goes anywhere; whether there was anybody."""
        has_moved = False
        for line in [line for line in lines.values() if line.stays_until <= now]:
            standing = [item for tickets in line.callers.values() for item in tickets.items()]
            late = [(waiter, ticket) for waiter, ticket in standing if ticket.stays_until <= now]
            moments = [ticket.stays_until for _, ticket in standing if ticket.stays_until > now]
            line.stays_until = min(moments, default=math.inf)
            for waiter, ticket in late:
                has_moved = True
                place, ticket.stays_until = ticket.place, math.inf
                self._stand(waiter, ticket, None)
                self._remove(waiter, ticket.demand, place)
        return has_moved

    def serve(self, now: float) -> list[tuple[W, Lease]]:
        """Those whose turn has come, each with a lease; they have left the line."""
        served: list[tuple[W, Lease]] = []
        for lines in list(self._lines.values()):
            self._move_on(lines, now)
            self._serve_all(lines, now, served)
            while self._move_on(lines, now):
                self._serve_all(lines, now, served)
        return served

    def _serve_all(self, lines: dict[str, _Line[W]], now: float, served: list[tuple[W, Lease]]) -> None:
        anywhere = lines.get(_ANYWHERE)
        due = [line for line in lines.values() if self._is_due(line, now, is_home=line is not anywhere)]
        while due:
            line = min(due, key=_rounds)
            if not self._serve(line, anywhere, now, served):
                due.remove(line)

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
        if is_home and now - line.looked_at < _LOOK_SECONDS and not line.has_own_news:
            # There may be no more news: it is looked at a little later, whatever comes.
            line.not_before = min(line.not_before, line.looked_at + _LOOK_SECONDS)
            return False
        return True

    def _serve(self, line: _Line[W], anywhere: _Line[W] | None, now: float, served: list[tuple[W, Lease]]) -> bool:
        """Serve one of those who stand in a line, if there is one who can be served."""
        if line is not anywhere and anywhere is not None and self._is_ahead(line, anywhere):
            self._looked(line, now, anywhere.not_before)
            return False
        not_before = math.inf
        # Who waits for certain keys or for its model only: others can be of use to those behind it, but for its like.
        stuck: set[_Needs] = set()
        for caller, waiter, ticket in _heads(line, stuck):
            moment = None if line is anywhere else self._stays(ticket, now)
            if moment is None:
                if self._serve_next(line, caller, waiter, ticket, now, served):
                    line.passes = 0
                    return True
                moment = self._pool.ready_at(now, ticket.demand, ticket.exclude)
                if line.organisation is not None:
                    # It waits in vain, or has done so for too long.
                    ticket.stays_until = line.stays_until = now
            not_before = min(not_before, moment)
            demand = ticket.demand
            if not (ticket.exclude or demand.waits_for_others or self._pool.refuses(now, demand.model)):
                self._looked(line, now, not_before)
                line.lets_pass = False
                return False
            stuck.add(_needs(ticket))
        self._looked(line, now, not_before)
        line.lets_pass = True
        return False

    def _is_ahead(self, line: _Line[W], anywhere: _Line[W]) -> bool:
        """Whether a line has had so much that those who go anywhere come first."""
        is_far = line.rounds - anywhere.rounds > _MOST_ROUNDS
        return is_far and bool(anywhere.callers) and not self._lets_pass(anywhere)

    def _stays(self, ticket: _Ticket, now: float) -> float | None:
        """When to look again at one who waits in one place; None if it is ready there, or need not wait any more."""
        if now >= ticket.stays_until:
            return None
        stay = self._pool.stay(now, ticket.demand, exclude=ticket.exclude, avoid=ticket.avoid)
        if stay is None or stay.ready_at <= now:
            return None
        if stay.organisation is not None and ticket.stays_until < stay.ready_at < math.inf:
            return None
        return min(stay.ready_at, ticket.stays_until)

    def _looked(self, line: _Line[W], now: float, not_before: float) -> None:
        line.not_before = min(not_before, line.stays_until)
        line.looked_at = now
        line.news = self._pool.news
        line.own_news = line.organisation.news if line.organisation is not None else -1

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


def _heads(line: _Line[W], stuck: set[_Needs]) -> Iterator[tuple[str, W, _Ticket]]:
    """The first of each caller, and as long as these are stuck those behind them that are not like them."""
    for caller, tickets in line.callers.items():
        while (head := next((item for item in tickets.items() if _needs(item[1]) not in stuck), None)) is not None:
            yield caller, *head


def _needs(ticket: _Ticket) -> _Needs:
    """What keeps a request from some of the keys."""
    demand = ticket.demand
    return demand.model, ticket.exclude, id(demand.blamed) if demand.waits_for_others else 0


def _rounds(line: _Line[W]) -> float:
    return line.rounds


def _passes(anywhere: _Line[W]) -> bool:
    """Whether those with a warm cache may still pass."""
    return anywhere.passes < _MOST_PASSES
