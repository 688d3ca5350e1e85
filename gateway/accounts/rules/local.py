"""The authority of a single process: all meters are here, and what was spent before is read from the ledger."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from gateway.accounts.rules.authority import Spending
from gateway.accounts.rules.meters import OVER, TAKEN, Bucket, Calendar, Count, Meter, new_meter
from gateway.accounts.rules.rule import Measure

# While the ledger cannot be read, it is tried again after this time.
_RETRY_SECONDS: Final = 5.0


class LocalAuthority:
    """Holds all meters of this process. `spending` None: there is no ledger, and everything begins with nothing spent.

    If the ledger cannot be read, requests are refused, or (`serves_blindly`) counted from nothing until it can be read.
    """

    def __init__(self, spending: Spending | None, clock: Callable[[], float], *, serves_blindly: bool = True) -> None:
        self._spending = spending
        self._clock = clock
        self.serves_blindly = serves_blindly
        self._meters: dict[Measure, Bucket | Calendar | Count] = {}
        self._reading: dict[Measure, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._meters)

    def meter(self, measure: Measure, now: float) -> Meter:
        identity = measure.identity
        found = self._meters.get(identity)
        if found is None:
            found = self._meters[identity] = new_meter(measure, now)
            if self._spending is None and isinstance(found, Calendar):
                found.begin(0, found.ends_at)
        elif found.measure.amount != measure.amount:
            found.amend(measure, now)
        return found

    def forget(self, meter: Meter) -> None:
        self._meters.pop(meter.measure.identity, None)

    async def take(self, asks: Sequence[tuple[Meter, int]], now: float) -> int | None:
        while True:
            await self._read([meter for meter, _ in asks])
            now = self._clock()
            for place, (meter, cost) in enumerate(asks):
                if (answer := meter.take(cost, now)) != TAKEN:
                    for earlier, held in asks[:place]:
                        earlier.settle(held, 0, now)
                    if answer == OVER:
                        return place
                    break
            else:
                return None

    def close(self) -> None:
        for task in self._reading.values():
            task.cancel()

    async def _read(self, meters: Sequence[Meter]) -> None:
        """Read what was spent from the ledger; several requests for one meter wait for the same reading."""
        tasks = []
        for meter in meters:
            found = self._meters.get(meter.measure.identity)
            if isinstance(found, Calendar) and not found.is_known:
                identity = found.measure.identity
                if (task := self._reading.get(identity)) is None:
                    task = self._reading[identity] = asyncio.create_task(self._begin(found))
                    task.add_done_callback(lambda _, read=identity: self._reading.pop(read, None))  # type: ignore[misc]
                tasks.append(task)
        if tasks:
            # A caller that leaves cancels its own wait only.
            await asyncio.wait(tasks)
            for task in tasks:
                if (error := task.exception()) is not None:
                    raise error

    async def _begin(self, meter: Calendar) -> None:
        assert self._spending is not None, "without a ledger all is known"
        now = self._clock()
        meter.left(now)
        ends_at = meter.ends_at
        try:
            spent = await self._spending.spent(meter.measure, meter.starts_at)
        except OSError:
            if not self.serves_blindly:
                raise
            spent = 0
            asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._again, meter, ends_at)
        meter.begin(spent, ends_at)

    def _again(self, meter: Calendar, ends_at: float) -> None:
        task = asyncio.ensure_future(self._correct(meter, ends_at))
        self._reading[meter.measure] = task
        task.add_done_callback(lambda _: self._reading.pop(meter.measure, None))

    async def _correct(self, meter: Calendar, ends_at: float) -> None:
        """Take over what the ledger has, which by then includes what this process has written."""
        assert self._spending is not None
        try:
            spent = await self._spending.spent(meter.measure, meter.starts_at)
        except OSError:
            asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._again, meter, ends_at)
        else:
            meter.correct(spent, ends_at)
