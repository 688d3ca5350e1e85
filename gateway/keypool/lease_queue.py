"""The queue: requests for which no key is ready, bounded, fair between callers, oldest first within one.

Requests for different classes of models do not wait for one another. In front of a class stands one request of each
caller, and they are served in turn; where the first of them has to wait for limits the others wait with it, so that a
large request is not overtaken by small ones for ever. Only who waits for certain keys, since others refuse its model or
itself, lets those pass who may use the rest, also of its own caller.

Whoever waits for a workspace that has its prompt in a cache, or for an account that has signed what it holds, stands in
a queue of its own, before that place: what is cheap there would cost others their room elsewhere. The queues of a class
are served in turn, each the more often the more callers stand in it; and once those who go anywhere have been passed by
too many, nobody passes them any more. Who has waited for its cache for long enough goes anywhere when its turn comes;
who has waited for its account stands with those who go anywhere from then on.
"""

import math
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Final, Generic, TypeAlias, TypeVar

from gateway.keypool.domains import Organization
from gateway.keypool.lease import Lease
from gateway.keypool.lease_request import LeaseRequest
from gateway.keypool.pool import KeyPool
from gateway.keypool.sticky_waits import StickyWait

W = TypeVar("W", bound=Hashable)
# A model, keys that are excluded, and who has opened a breaker: at most one for each of these.
_Needs: TypeAlias = tuple[str, frozenset[str], int]
_NOBODY: Final[frozenset[str]] = frozenset()
_ANYWHERE: Final = ""
# So many requests with a warm cache may come and go at once while somebody waits to go anywhere.
_MOST_PASSES: Final = 20
# So many rounds of its callers may a queue be ahead of those who go anywhere.
_MOST_ROUNDS: Final = 4.0
# Queues before places are many, and wait for moments that are known: not every event is worth a look at all of them.
_LOOK_SECONDS: Final = 0.02


@dataclass(slots=True)
class _Ticket:
    """What somebody waits for, where, and until when there only."""

    request: LeaseRequest
    exclude: frozenset[str]
    avoid: frozenset[str]
    stays_until: float
    place: str = _ANYWHERE


@dataclass(slots=True)
class _Lane(Generic[W]):
    """Those who wait for one class of models in one place, by caller; `not_before` is when it pays to look again."""

    callers: "OrderedDict[str, OrderedDict[W, _Ticket]]" = field(default_factory=OrderedDict)
    # Whose keys they wait for, where it is an account.
    organization: Organization | None = None
    # When the first of them gives up waiting for an account, or before.
    stays_until: float = math.inf
    not_before: float = -math.inf
    looked_at: float = -math.inf
    version: int = -1
    own_version: int = -1
    # How often each of its callers was served, on average, since there is a queue.
    rounds: float = 0.0
    # How many with a warm cache were served at once since the last of these was.
    passes: int = 0
    # Whether all who stand in it could use none of the keys that were ready when they were looked at.
    lets_pass: bool = False

    @property
    def has_own_change(self) -> bool:
        """Whether something has happened to the very keys that they wait for."""
        return self.organization is not None and self.organization.version != self.own_version


class LeaseQueue(Generic[W]):
    """Who waits, and who is next."""

    def __init__(self, pool: KeyPool, size: int) -> None:
        self._pool = pool
        self.size = size
        # By class of models and place.
        self._lanes: dict[str, dict[str, _Lane[W]]] = {}
        # Everybody who waits, and where.
        self.waiters: dict[W, _Ticket] = {}

    def __len__(self) -> int:
        return len(self.waiters)

    @property
    def waiting(self) -> dict[str, dict[str, int]]:
        """How many wait for each class of models, by caller."""
        counts: dict[str, dict[str, int]] = {}
        for ticket in self.waiters.values():
            callers = counts.setdefault(ticket.request.limit_class, {})
            callers[ticket.request.caller] = callers.get(ticket.request.caller, 0) + 1
        return counts

    def has_queue(self, request: LeaseRequest, sticky_wait: StickyWait | None = None) -> bool:
        """Whether others who came before are to be served before; `sticky_wait` is where a request would wait."""
        lanes = self._lanes.get(request.limit_class)
        if lanes is None:
            return False
        anywhere = lanes.get(_ANYWHERE)
        if anywhere is None or self._lets_pass(anywhere):
            return sticky_wait is not None and sticky_wait.place in lanes
        return sticky_wait is None or sticky_wait.place in lanes or not _passes(anywhere)

    def acquire(
        self, now: float, request: LeaseRequest, *, exclude: frozenset[str] = _NOBODY, avoid: frozenset[str] = _NOBODY
    ) -> Lease | None:
        """A lease at once; None where no key is ready, others have waited longer, or it pays to wait in one place."""
        if request.limit_class not in self._lanes:
            return self._pool.acquire(now, request, exclude=exclude, avoid=avoid, waits=True)
        sticky_wait = self._pool.sticky_wait(now, request, exclude=exclude, avoid=avoid)
        if self.has_queue(request, sticky_wait) or (sticky_wait is not None and sticky_wait.ready_at > now):
            return None
        lease = self._pool.acquire(now, request, exclude=exclude, avoid=avoid)
        if lease is not None and sticky_wait is not None and (anywhere := self._anywhere(request)) is not None:
            # Its cache is warm, or its account ready: it is served although others wait.
            anywhere.passes += 1
        return lease

    def _anywhere(self, request: LeaseRequest) -> _Lane[W] | None:
        return self._lanes.get(request.limit_class, {}).get(_ANYWHERE)

    def _lets_pass(self, lane: _Lane[W]) -> bool:
        """Whether what is ready now is of no use to anybody in one queue."""
        return lane.lets_pass and lane.version == self._pool.version

    def join(
        self,
        waiter: W,
        request: LeaseRequest,
        *,
        exclude: frozenset[str] = _NOBODY,
        avoid: frozenset[str] = _NOBODY,
        sticky_wait: StickyWait | None = None,
    ) -> bool:
        """Wait, if there is room; before one place for as long as `sticky_wait` says."""
        if len(self) >= self.size:
            return False
        ticket = _Ticket(request, exclude, avoid, math.inf if sticky_wait is None else sticky_wait.until)
        self._stand(waiter, ticket, sticky_wait)
        return True

    def _stand(self, waiter: W, ticket: _Ticket, sticky_wait: StickyWait | None) -> None:
        request, place = ticket.request, _ANYWHERE if sticky_wait is None else sticky_wait.place
        lanes = self._lanes.setdefault(request.limit_class, {})
        if (lane := lanes.get(place)) is None:
            # Who comes later does not make up for what others had.
            rounds = min((other.rounds for other in lanes.values()), default=0.0)
            organization = None if sticky_wait is None else sticky_wait.organization
            lane = lanes[place] = _Lane(organization=organization, rounds=rounds)
        lane.callers.setdefault(request.caller, OrderedDict())[waiter] = ticket
        ticket.place = place
        self.waiters[waiter] = ticket
        if (organization := lane.organization) is not None:
            lane.stays_until = min(lane.stays_until, ticket.stays_until)
            organization.awaited[request.limit_class] = organization.awaited.get(request.limit_class, 0) + 1
        lane.not_before = -math.inf
        lane.lets_pass = False

    def leave(self, waiter: W) -> None:
        """Go away; whoever does not wait may do that as well."""
        if (ticket := self.waiters.pop(waiter, None)) is not None:
            self._remove(waiter, ticket.request, ticket.place)

    def _remove(self, waiter: W, request: LeaseRequest, place: str) -> None:
        lanes = self._lanes[request.limit_class]
        lane = lanes[place]
        if (organization := lane.organization) is not None:
            organization.awaited[request.limit_class] -= 1
            if not organization.awaited[request.limit_class]:
                del organization.awaited[request.limit_class]
        tickets = lane.callers[request.caller]
        del tickets[waiter]
        if not tickets:
            del lane.callers[request.caller]
        if not lane.callers:
            del lanes[place]
        if not lanes:
            del self._lanes[request.limit_class]
        # Those behind may need less.
        lane.not_before = -math.inf

    def _move_on(self, lanes: dict[str, _Lane[W]], now: float) -> bool:
        """Whoever has waited for its account for long enough goes anywhere; whether there was anybody."""
        has_moved = False
        for lane in [lane for lane in lanes.values() if lane.stays_until <= now]:
            standing = [item for tickets in lane.callers.values() for item in tickets.items()]
            late = [(waiter, ticket) for waiter, ticket in standing if ticket.stays_until <= now]
            moments = [ticket.stays_until for _, ticket in standing if ticket.stays_until > now]
            lane.stays_until = min(moments, default=math.inf)
            for waiter, ticket in late:
                has_moved = True
                place, ticket.stays_until = ticket.place, math.inf
                self._stand(waiter, ticket, None)
                self._remove(waiter, ticket.request, place)
        return has_moved

    def serve(self, now: float) -> list[tuple[W, Lease]]:
        """Those whose turn has come, each with a lease; they have left the queue."""
        served: list[tuple[W, Lease]] = []
        for lanes in list(self._lanes.values()):
            self._move_on(lanes, now)
            self._serve_all(lanes, now, served)
            while self._move_on(lanes, now):
                self._serve_all(lanes, now, served)
        return served

    def _serve_all(self, lanes: dict[str, _Lane[W]], now: float, served: list[tuple[W, Lease]]) -> None:
        anywhere = lanes.get(_ANYWHERE)
        due = [lane for lane in lanes.values() if self._is_due(lane, now, is_home=lane is not anywhere)]
        while due:
            lane = min(due, key=_rounds)
            if not self._serve(lane, anywhere, now, served):
                due.remove(lane)

    def wake_at(self) -> float:
        """When it pays to call `serve` again although nothing has happened; infinity if it does not."""
        return min((lane.not_before for lane in self._all()), default=math.inf)

    def _all(self) -> Iterator[_Lane[W]]:
        for lanes in self._lanes.values():
            yield from lanes.values()

    def _is_due(self, lane: _Lane[W], now: float, *, is_home: bool) -> bool:
        if now >= lane.not_before:
            return True
        if lane.version == self._pool.version:
            return False
        if is_home and now - lane.looked_at < _LOOK_SECONDS and not lane.has_own_change:
            # Nothing more may happen: it is looked at a little later, whatever comes.
            lane.not_before = min(lane.not_before, lane.looked_at + _LOOK_SECONDS)
            return False
        return True

    def _serve(self, lane: _Lane[W], anywhere: _Lane[W] | None, now: float, served: list[tuple[W, Lease]]) -> bool:
        """Serve one of those who stand in one queue, if there is one who can be served."""
        if lane is not anywhere and anywhere is not None and self._is_ahead(lane, anywhere):
            self._looked(lane, now, anywhere.not_before)
            return False
        not_before = math.inf
        # Who waits for certain keys or for its model only: others can be of use to those behind it, but for its like.
        stuck: set[_Needs] = set()
        for caller, waiter, ticket in _heads(lane, stuck):
            moment = None if lane is anywhere else self._stays(ticket, now)
            if moment is None:
                if self._serve_next(lane, caller, waiter, ticket, now, served):
                    lane.passes = 0
                    return True
                moment = self._pool.ready_at(now, ticket.request, ticket.exclude)
                if lane.organization is not None:
                    # It waits in vain, or has done so for too long.
                    ticket.stays_until = lane.stays_until = now
            not_before = min(not_before, moment)
            request = ticket.request
            if not (ticket.exclude or request.waits_for_others or self._pool.refuses(now, request.model)):
                self._looked(lane, now, not_before)
                lane.lets_pass = False
                return False
            stuck.add(_needs(ticket))
        self._looked(lane, now, not_before)
        lane.lets_pass = True
        return False

    def _is_ahead(self, lane: _Lane[W], anywhere: _Lane[W]) -> bool:
        """Whether a queue has had so much that those who go anywhere come first."""
        is_far = lane.rounds - anywhere.rounds > _MOST_ROUNDS
        return is_far and bool(anywhere.callers) and not self._lets_pass(anywhere)

    def _stays(self, ticket: _Ticket, now: float) -> float | None:
        """When to look again at one who waits in one place; None if it is ready there, or need not wait any more."""
        if now >= ticket.stays_until:
            return None
        sticky_wait = self._pool.sticky_wait(now, ticket.request, exclude=ticket.exclude, avoid=ticket.avoid)
        if sticky_wait is None or sticky_wait.ready_at <= now:
            return None
        if sticky_wait.organization is not None and ticket.stays_until < sticky_wait.ready_at < math.inf:
            return None
        return min(sticky_wait.ready_at, ticket.stays_until)

    def _looked(self, lane: _Lane[W], now: float, not_before: float) -> None:
        lane.not_before = min(not_before, lane.stays_until)
        lane.looked_at = now
        lane.version = self._pool.version
        lane.own_version = lane.organization.version if lane.organization is not None else -1

    def _serve_next(
        self, lane: _Lane[W], caller: str, waiter: W, ticket: _Ticket, now: float, served: list[tuple[W, Lease]]
    ) -> bool:
        lease = self._pool.acquire(now, ticket.request, exclude=ticket.exclude, avoid=ticket.avoid)
        if lease is None:
            return False
        lane.rounds += 1 / len(lane.callers)
        self.leave(waiter)
        served.append((waiter, lease))
        if caller in lane.callers:
            lane.callers.move_to_end(caller)
        return True


def _heads(lane: _Lane[W], stuck: set[_Needs]) -> Iterator[tuple[str, W, _Ticket]]:
    """The first of each caller, and as long as these are stuck those behind them that are not like them."""
    for caller, tickets in lane.callers.items():
        while (head := next((item for item in tickets.items() if _needs(item[1]) not in stuck), None)) is not None:
            yield caller, *head


def _needs(ticket: _Ticket) -> _Needs:
    """What keeps a request from some of the keys."""
    request = ticket.request
    return request.model, ticket.exclude, id(request.blamed) if request.waits_for_others else 0


def _rounds(lane: _Lane[W]) -> float:
    return lane.rounds


def _passes(anywhere: _Lane[W]) -> bool:
    """Whether those with a warm cache may still pass."""
    return anywhere.passes < _MOST_PASSES
