"""The queue of requests for which no key is ready: bounded, fair between callers, first in first out per caller.

Requests for different classes of models do not wait for one another. Within a class callers are served in turn, each
with its oldest request. If the first of these has to wait for limits, all others wait too, so that small requests
cannot overtake a large one forever. Only a request that is restricted to certain keys (the others refuse its model, or
are excluded) lets requests pass that can use the other keys, including those of its own caller.

A request that waits for a workspace with its prompt in the cache, or for the account that signed its history, is put
into a separate queue for that place: serving it elsewhere would cost other requests their limits. The queues of a class
are served in turn, in proportion to their numbers of callers. When the unrestricted requests have been passed too
often, nothing passes them any more. A request whose wait for a cache has lasted long enough may use any key when its
turn comes; one whose wait for an account has lasted long enough moves to the unrestricted queue.
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
# What restricts a request to some keys: its model, its excluded keys, and its identity if it has opened a breaker.
_Needs: TypeAlias = tuple[str, frozenset[str], int]
_NOBODY: Final[frozenset[str]] = frozenset()
_ANYWHERE: Final = ""
# The maximum number of requests with a warm cache that may be served at once while unrestricted requests wait.
_MOST_PASSES: Final = 20
# The maximum number of rounds that another queue may be ahead of the unrestricted one.
_MOST_ROUNDS: Final = 4.0
# There may be many queues for single places, and they wait for known times: do not check all of them on every event.
_LOOK_SECONDS: Final = 0.02


@dataclass(slots=True)
class _Ticket:
    """What a request waits for, where, and until when it waits for that place only."""

    request: LeaseRequest
    exclude: frozenset[str]
    avoid: frozenset[str]
    stays_until: float
    place: str = _ANYWHERE


@dataclass(slots=True)
class _Lane(Generic[W]):
    """The requests for one class of models in one place, by caller; `not_before` is when the next check is due."""

    callers: "OrderedDict[str, OrderedDict[W, _Ticket]]" = field(default_factory=OrderedDict)
    # The organization whose keys they wait for, if they wait for an account.
    organization: Organization | None = None
    # A lower bound for when the first of them stops waiting for its account.
    stays_until: float = math.inf
    not_before: float = -math.inf
    looked_at: float = -math.inf
    version: int = -1
    own_version: int = -1
    # How many requests per caller were served, on average, since the queue exists.
    rounds: float = 0.0
    # How many requests with a warm cache were served at once since the last request from this queue.
    passes: int = 0
    # Whether none of the waiting requests could use any key that was ready at the last check.
    lets_pass: bool = False

    @property
    def has_own_change(self) -> bool:
        """Whether something has changed for the keys that they wait for."""
        return self.organization is not None and self.organization.version != self.own_version


class LeaseQueue(Generic[W]):
    """The waiting requests, and which of them is next."""

    def __init__(self, pool: KeyPool, size: int) -> None:
        self._pool = pool
        self.size = size
        # By class of models and place.
        self._lanes: dict[str, dict[str, _Lane[W]]] = {}
        # Every waiting request, with what it waits for.
        self.waiters: dict[W, _Ticket] = {}

    def __len__(self) -> int:
        return len(self.waiters)

    @property
    def waiting(self) -> dict[str, dict[str, int]]:
        """The number of waiting requests for each class of models, by caller."""
        counts: dict[str, dict[str, int]] = {}
        for ticket in self.waiters.values():
            callers = counts.setdefault(ticket.request.limit_class, {})
            callers[ticket.request.caller] = callers.get(ticket.request.caller, 0) + 1
        return counts

    def has_queue(self, request: LeaseRequest, sticky_wait: StickyWait | None = None) -> bool:
        """Whether earlier requests have to be served first; `sticky_wait` is where the request would wait."""
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
        """A lease at once; None if no key is ready, if others have waited longer, or if waiting in one place pays."""
        if request.limit_class not in self._lanes:
            return self._pool.acquire(now, request, exclude=exclude, avoid=avoid, waits=True)
        sticky_wait = self._pool.sticky_wait(now, request, exclude=exclude, avoid=avoid)
        if self.has_queue(request, sticky_wait) or (sticky_wait is not None and sticky_wait.ready_at > now):
            return None
        lease = self._pool.acquire(now, request, exclude=exclude, avoid=avoid)
        if lease is not None and sticky_wait is not None and (anywhere := self._anywhere(request)) is not None:
            # Its cache is warm, or its account ready: serve it although others wait.
            anywhere.passes += 1
        return lease

    def _anywhere(self, request: LeaseRequest) -> _Lane[W] | None:
        return self._lanes.get(request.limit_class, {}).get(_ANYWHERE)

    def _lets_pass(self, lane: _Lane[W]) -> bool:
        """Whether no request in this queue can use the keys that are ready now."""
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
        """Join the queue, if there is room; wait for one place only as long as `sticky_wait` says."""
        if len(self) >= self.size:
            return False
        ticket = _Ticket(request, exclude, avoid, math.inf if sticky_wait is None else sticky_wait.until)
        self._stand(waiter, ticket, sticky_wait)
        return True

    def _stand(self, waiter: W, ticket: _Ticket, sticky_wait: StickyWait | None) -> None:
        request, place = ticket.request, _ANYWHERE if sticky_wait is None else sticky_wait.place
        lanes = self._lanes.setdefault(request.limit_class, {})
        if (lane := lanes.get(place)) is None:
            # A new queue must not make up for what others had before.
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
        """Leave the queue; has no effect if the waiter is not in it."""
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
        # The requests behind it may need less.
        lane.not_before = -math.inf

    def _move_on(self, lanes: dict[str, _Lane[W]], now: float) -> bool:
        """Let requests whose wait for an account has lasted long enough use any key; whether there were any."""
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
        """The requests whose turn has come, each with a lease; they leave the queue."""
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
        """When to call `serve` again if nothing happens before; infinity if there is no need."""
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
            # Even if nothing else happens, check again a little later.
            lane.not_before = min(lane.not_before, lane.looked_at + _LOOK_SECONDS)
            return False
        return True

    def _serve(self, lane: _Lane[W], anywhere: _Lane[W] | None, now: float, served: list[tuple[W, Lease]]) -> bool:
        """Serve one request of this queue, if one can be served."""
        if lane is not anywhere and anywhere is not None and self._is_ahead(lane, anywhere):
            self._looked(lane, now, anywhere.not_before)
            return False
        not_before = math.inf
        # Requests restricted to certain keys, or by their model: later requests with other needs may pass them.
        stuck: set[_Needs] = set()
        for caller, waiter, ticket in _heads(lane, stuck):
            moment = None if lane is anywhere else self._stays(ticket, now)
            if moment is None:
                if self._serve_next(lane, caller, waiter, ticket, now, served):
                    lane.passes = 0
                    return True
                moment = self._pool.ready_at(now, ticket.request, ticket.exclude)
                if lane.organization is not None:
                    # The wait is futile, or has lasted long enough.
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
        """Whether a queue has been served so often that the unrestricted requests come first."""
        is_far = lane.rounds - anywhere.rounds > _MOST_ROUNDS
        return is_far and bool(anywhere.callers) and not self._lets_pass(anywhere)

    def _stays(self, ticket: _Ticket, now: float) -> float | None:
        """When to check a request again that waits in one place; None if a key is ready there, or it need not wait."""
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
    """The oldest request of each caller whose needs are not among the stuck ones."""
    for caller, tickets in lane.callers.items():
        while (head := next((item for item in tickets.items() if _needs(item[1]) not in stuck), None)) is not None:
            yield caller, *head


def _needs(ticket: _Ticket) -> _Needs:
    """What keeps a request from using some of the keys."""
    request = ticket.request
    return request.model, ticket.exclude, id(request.blamed) if request.waits_for_others else 0


def _rounds(lane: _Lane[W]) -> float:
    return lane.rounds


def _passes(anywhere: _Lane[W]) -> bool:
    """Whether requests with a warm cache may still pass the others."""
    return anywhere.passes < _MOST_PASSES
