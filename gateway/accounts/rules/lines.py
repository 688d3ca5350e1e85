"""Requests that wait for a rule: first come, first served for each meter, a bounded number for a bounded time."""

import asyncio
import contextlib
from collections import deque

from gateway.accounts.rules.meters import OVER, Meter, State
from gateway.accounts.rules.rule import Measure


class Ticket:
    """A request's place in a line."""

    __slots__ = ("event",)

    def __init__(self) -> None:
        self.event = asyncio.Event()


class Line:
    """A meter with a line before it: whoever comes while others wait has to wait too."""

    __slots__ = ("_waiting", "meter")

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self._waiting: deque[Ticket] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def measure(self) -> Measure:
        return self.meter.measure

    def take(self, cost: int, now: float) -> int:
        return OVER if self._waiting else self.meter.take(cost, now)

    def take_as(self, ticket: Ticket, cost: int, now: float) -> int:
        """Take for a request that waits; only the first of them may."""
        return self.meter.take(cost, now) if self._waiting and self._waiting[0] is ticket else OVER

    def settle(self, held: int, actual: int, taken_at: float) -> None:
        self.meter.settle(held, actual, taken_at)
        self.wake()

    def more(self, cost: int, taken_at: float, now: float) -> bool:
        return self.meter.more(cost, taken_at, now)

    def left(self, now: float) -> int:
        return 0 if self._waiting else self.meter.left(now)

    def wait_for(self, cost: int, now: float) -> float:
        return self.meter.wait_for(cost, now)

    def state(self, now: float) -> State:
        return self.meter.state(now)

    def is_idle(self, now: float) -> bool:
        return not self._waiting and self.meter.is_idle(now)

    def join(self) -> Ticket:
        """Stand at the end of the line; `leave` has to follow in any case."""
        ticket = Ticket()
        self._waiting.append(ticket)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Leave, served or not; the next one may try."""
        with contextlib.suppress(ValueError):
            self._waiting.remove(ticket)
        self.wake()

    def wake(self) -> None:
        """Something has changed: let the first one try."""
        if self._waiting:
            self._waiting[0].event.set()

    async def turn(self, ticket: Ticket, cost: int, now: float, seconds: float) -> None:
        """Wait until it may be this request's turn, at most so long; a bucket is ready after a known time."""
        if self._waiting[0] is ticket:
            seconds = min(seconds, self.meter.wait_for(cost, now))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await ticket.event.wait()
        ticket.event.clear()
