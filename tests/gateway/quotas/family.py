"""A parent and its workers in one process, over talks whose frames are delivered when the test says so."""

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from gateway.accounts.rules.meters import TAKEN, Meter
from gateway.accounts.rules.rule import Measure
from gateway.workers.channel import ParentsEnd
from gateway.workers.process import Worker
from gateway.workers.quotas.leases import QuotaLeases
from gateway.workers.quotas.parent import Quotas
from gateway.workers.talk import Talk
from tests.support.virtual_time import VirtualTimeLoop

T = TypeVar("T")
# A morning in UTC.
START = 1_800_000_000.0


class _Transport(asyncio.Transport):
    """Keeps what is written until it is delivered, or lost."""

    def __init__(self) -> None:
        super().__init__()
        self.written: deque[bytes] = deque()
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.is_closed


@dataclass(eq=False)
class Request:
    """One request: `is_admitted` is None as long as it waits."""

    measures: list[Measure]
    cost: int
    taken_at: float
    is_admitted: bool | None = None
    task: "asyncio.Task[None] | None" = None


@dataclass(eq=False)
class Member:
    """One worker with its talk."""

    worker: Worker
    leases: QuotaLeases
    parents_end: Talk
    own_end: Talk
    to_worker: _Transport
    to_parent: _Transport
    requests: list[Request] = field(default_factory=list)

    async def deliver(self, *, to_parent: bool, frames: int) -> int:
        transport, talk = (self.to_parent, self.parents_end) if to_parent else (self.to_worker, self.own_end)
        count = 0
        while transport.written and count < frames and not transport.is_closed:
            talk.data_received(transport.written.popleft())
            count += 1
        return count


class Ledger:
    """What all requests have come to, by the time at which they were admitted."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, int]] = []
        self.is_broken = False

    async def spent(self, measure: Measure, since: float) -> int:
        if self.is_broken:
            raise OSError("the disk is gone")
        return sum(actual for taken_at, actual in self.rows if taken_at >= since)


class Family:
    """All of it, with a clock that the test moves."""

    def __init__(self) -> None:
        self.loop = VirtualTimeLoop()
        self.now = START
        self.ledger = Ledger()
        self.workers: list[Worker] = []
        self.members: list[Member] = []
        self.quotas = Quotas(self.workers, self.ledger, clock=lambda: self.now)

    def close(self) -> None:
        for member in list(self.members):
            self.kill(member)
        self.run(_cancel_all())
        self.loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def settle_down(self) -> None:
        """Let all tasks go on as far as they can without another frame."""
        for _ in range(12):
            self.run(asyncio.sleep(0))

    def deliver(self, member: Member, *, to_parent: bool, frames: int = 1_000_000) -> int:
        """Hand over some of the frames that are on their way; how many there were."""
        moved = self.run(member.deliver(to_parent=to_parent, frames=frames))
        self.settle_down()
        return moved

    def deliver_all(self) -> None:
        """Deliver until nothing is on its way."""
        while True:
            self.settle_down()
            moved = sum(self.deliver(m, to_parent=way) for m in list(self.members) for way in (True, False))
            if not moved:
                return

    def sleep(self, seconds: float) -> None:
        """Time passes, with all its timers."""
        self.now += seconds
        self.run(asyncio.sleep(seconds))

    def join(self, number: int) -> Member:
        return self.run(self._join(number))

    async def _join(self, number: int) -> Member:
        worker = Worker(number, cast(asyncio.subprocess.Process, None), cast(ParentsEnd, None))
        worker.is_ready.set_result(True)
        leases = QuotaLeases(clock=lambda: self.now)
        parents_end, own_end = Talk(self.quotas.answerers(worker)), Talk(leases.answerers)
        to_worker, to_parent = _Transport(), _Transport()
        parents_end.connection_made(to_worker)
        own_end.connection_made(to_parent)
        worker.talk = parents_end
        leases.begin(own_end)
        member = Member(worker, leases, parents_end, own_end, to_worker, to_parent)
        self.workers.append(worker)
        self.members.append(member)
        return member

    def kill(self, member: Member) -> None:
        """A worker dies: what is on its way is lost, and its requests end."""
        member.to_worker.is_closed = member.to_parent.is_closed = True
        self.run(self._bury(member))
        self.members.remove(member)
        self.workers.remove(member.worker)
        self.settle_down()

    async def _bury(self, member: Member) -> None:
        for request in member.requests:
            if request.task is not None:
                request.task.cancel()
        member.own_end.connection_lost(None)
        member.parents_end.connection_lost(None)
        self.quotas.forget(member.worker)

    def ask(self, member: Member, cost: int, *measures: Measure) -> Request:
        """Begin a request, which takes what it can get without waiting, and asks for the rest."""
        request = Request(list(measures), cost, self.now)
        member.requests.append(request)
        request.task = self.loop.create_task(_take(member.leases, request))
        self.settle_down()
        return request

    def settle(self, member: Member, request: Request, actual: int) -> None:
        """The end of a request that was admitted."""
        self.run(self._settle(member, request, actual))

    async def _settle(self, member: Member, request: Request, actual: int) -> None:
        for measure in request.measures:
            member.leases.meter(measure, self.now).settle(request.cost, actual, request.taken_at)
        self.ledger.rows.append((request.taken_at, actual))
        member.requests.remove(request)

    async def pulse(self, member: Member) -> None:
        member.leases.pulse()

    async def forget(self, member: Member, meter: Meter) -> None:
        member.leases.forget(meter)

    def admitted(self, member: Member, cost: int, *measures: Measure) -> bool:
        """Whether a request is admitted when all frames arrive."""
        request = self.ask(member, cost, *measures)
        self.deliver_all()
        assert request.is_admitted is not None
        return request.is_admitted


async def _cancel_all() -> None:
    pending = asyncio.all_tasks() - {asyncio.current_task()}
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)


async def _take(leases: QuotaLeases, request: Request) -> None:
    now, cost = request.taken_at, request.cost
    meters = [leases.meter(measure, now) for measure in request.measures]
    taken = [(meter, cost) for meter in meters if meter.take(cost, now) == TAKEN]
    asks: Sequence[tuple[Any, int]] = [(meter, cost) for meter in meters if (meter, cost) not in taken]
    try:
        request.is_admitted = not asks or await leases.take(asks, now) is None
        # As rules do: a request that had to ask belongs to the moment in which it was admitted.
        request.taken_at = leases._clock()
    except OSError:
        request.is_admitted = False
    except asyncio.CancelledError:
        for meter, _ in taken:
            meter.settle(cost, 0, now)
        raise
    if not request.is_admitted:
        for meter, _ in taken:
            meter.settle(cost, 0, now)
