"""The parent as the authority of quotas: gives portions to workers, and calls spare ones back where none is left."""

import asyncio
import functools
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from gateway.accounts.rules.authority import Spending
from gateway.accounts.rules.rule import Measure
from gateway.accounts.rules.windows import bounds
from gateway.telemetry.logs import log_event
from gateway.workers.process import Worker
from gateway.workers.quotas.messages import BEGIN, RECALL, REPORT, TAKE, TAKEN, UNKNOWN, Answer, Batch, Grant, Report
from gateway.workers.quotas.stocks import BucketStock, Stock, WindowStock, new_stock
from gateway.workers.talk import Answerer, NoAnswerError

MAX_METERS: Final = 200_000
"""More are not begun until some are idle; what they would count is not known then."""
# A worker that does not give its spare back within this time is not asked again before it says something.
_RECALL_SECONDS: Final = 0.5
# Between a failed hold and the next try, others may take what was called back.
_TRIES: Final = 4
# What was reported is in the ledger after this time. While others go on spending, a later look knows more.
_WRITTEN_SECONDS: Final = 2.0
_LOOKS_AFTER_SECONDS: Final = (0.0, 10.0, 60.0)

_encode: Final = msgspec.msgpack.Encoder().encode
_decode_batch: Final = msgspec.msgpack.Decoder(Batch).decode
_decode_reports: Final = msgspec.msgpack.Decoder(list[Report]).decode
_decode_measures: Final = msgspec.msgpack.Decoder(list[Measure]).decode

AnyStock: TypeAlias = WindowStock | BucketStock


class Quotas:
    """All meters. `spending` None: there is no ledger, and everything begins with nothing spent.

    If the ledger cannot be read, meters that need it are not begun, or (`serves_blindly`) begin with nothing spent.
    """

    def __init__(
        self,
        workers: Sequence[Worker],
        spending: Spending | None = None,
        *,
        clock: Callable[[], float] = time.time,
        serves_blindly: bool = False,
    ) -> None:
        self.serves_blindly = serves_blindly
        self._workers = workers
        self._spending = spending
        self._clock = clock
        self._stocks: dict[Measure, AnyStock] = {}
        self._beginning: dict[Measure, asyncio.Task[None]] = {}
        self._mute: set[Worker] = set()
        self._looks: set[asyncio.Task[None]] = set()
        self._sweep_at = 1_000

    def answerers(self, worker: Worker) -> Mapping[str, Answerer]:
        """What this worker may ask and tell."""
        return {
            BEGIN: self._begin,
            TAKE: functools.partial(self._take, worker),
            REPORT: functools.partial(self._take_reports, worker),
        }

    def forget(self, worker: Worker) -> None:
        """A worker has ended: its portions expire, and the ledger says what it spent."""
        now = self._clock()
        self._mute.discard(worker)
        unsure = [stock for stock in self._stocks.values() if stock.drop(worker, now)]
        if unsure and self._spending is not None:
            look = asyncio.create_task(self._look_again(unsure, self._spending))
            self._looks.add(look)
            look.add_done_callback(self._looks.discard)

    # Beginning

    async def _begin(self, body: bytes) -> bytes:
        """Begin meters with what the ledger says was spent in their windows; raises `OSError` if it says nothing."""
        for measure in _decode_measures(body):
            identity = measure.identity
            if identity in self._stocks:
                continue
            task = self._beginning.get(identity)
            if task is None:
                task = self._beginning[identity] = asyncio.create_task(self._begin_one(measure))
                task.add_done_callback(functools.partial(self._has_begun, identity))
            # If this worker dies, another one may still wait for it.
            await asyncio.shield(task)
        return b""

    def _has_begun(self, identity: Measure, _: "asyncio.Task[None]") -> None:
        del self._beginning[identity]

    async def _begin_one(self, measure: Measure) -> None:
        spent, now = 0, self._clock()
        if self._spending is not None:
            until = -math.inf
            while now >= until:
                since, until = bounds(measure.window, now)
                spent = await self._spent(self._spending, measure, since)
                now = self._clock()
        if not self._has_room(now):
            raise OSError("There are too many meters.")
        self._stocks[measure.identity] = new_stock(measure, now, spent)

    async def _spent(self, spending: Spending, measure: Measure, since: float) -> int:
        try:
            return await spending.spent(measure, since)
        except OSError as error:
            if not self.serves_blindly:
                raise
            log_event(logging.WARNING, "What was spent cannot be read, so a rule counts from nothing", why=str(error))
            return 0

    def _stock(self, measure: Measure, now: float) -> AnyStock | None:
        """A meter, begun now unless the ledger knows more about it."""
        identity = measure.identity
        stock = self._stocks.get(identity)
        if stock is None and not measure.is_calendar and self._has_room(now):
            stock = self._stocks[identity] = new_stock(measure, now)
        return stock

    def _has_room(self, now: float) -> bool:
        if len(self._stocks) >= self._sweep_at:
            for identity in [identity for identity, stock in self._stocks.items() if stock.is_idle(now)]:
                del self._stocks[identity]
            # So that a sweep costs little for each meter.
            self._sweep_at = min(max(1_000, 2 * len(self._stocks)), MAX_METERS)
        return len(self._stocks) < MAX_METERS

    # Taking

    def _take_reports(self, worker: Worker, body: bytes) -> bytes:
        self._mute.discard(worker)
        now = self._clock()
        for report in _decode_reports(body):
            if (stock := self._stocks.get(report.measure.identity)) is not None:
                stock.report(worker, report, now)
        return b""

    async def _take(self, worker: Worker, body: bytes) -> bytes:
        batch = _decode_batch(body)
        self._mute.discard(worker)
        now = self._now(batch)
        stocks = [self._stock(report.measure, now) for report in batch.reports]
        for stock, report in zip(stocks, batch.reports, strict=True):
            if stock is not None:
                stock.report(worker, report, now)
        results: list[int] = []
        dearest = [0] * len(stocks)
        for ask in batch.asks:
            results.append(await self._hold(worker, [(stocks[place], cost) for place, cost in ask], batch))
            if results[-1] == TAKEN:
                for place, cost in ask:
                    dearest[place] = max(dearest[place], cost)
        return _encode(Answer(results, self._grants(worker, stocks, dearest, self._now(batch))))

    def _grants(
        self, worker: Worker, stocks: Sequence[AnyStock | None], dearest: Sequence[int], now: float
    ) -> list[Grant | None]:
        workers = max(1, sum(other.is_serving for other in self._workers))
        return [
            None if stock is None else stock.grant(worker, cost, workers, now)
            for stock, cost in zip(stocks, dearest, strict=True)
        ]

    async def _hold(self, worker: Worker, wanted: Sequence[tuple[AnyStock | None, int]], batch: Batch) -> int:
        """Hold each cost, or none of them; calls back what other workers have spare before it gives up."""
        place = TAKEN
        for _ in range(_TRIES):
            place = self._hold_now(worker, wanted, self._now(batch))
            if place < 0:
                break
            stock = wanted[place][0]
            if stock is None or not await self._call_back(stock, worker):
                break
        return place

    def _hold_now(self, worker: Worker, wanted: Sequence[tuple[AnyStock | None, int]], now: float) -> int:
        held: list[tuple[AnyStock, int]] = []
        for place, (stock, cost) in enumerate(wanted):
            if stock is not None and stock.hold(worker, cost, now):
                held.append((stock, cost))
                continue
            for other, its_cost in held:
                other.undo(worker, its_cost)
            return UNKNOWN if stock is None else place
        return TAKEN

    async def _call_back(self, stock: AnyStock, asker: Worker) -> bool:
        """Have the other workers return what they have spare; whether any was asked."""
        holders = [
            (worker, stamp)
            for worker, stamp in stock.who_may_have_some(asker)
            if isinstance(worker, Worker) and worker not in self._mute
        ]
        if holders:
            stock.run_short(self._clock())
            await asyncio.gather(*(self._call_back_from(worker, stamp, stock) for worker, stamp in holders))
        return bool(holders)

    async def _call_back_from(self, worker: Worker, stamp: int, stock: AnyStock) -> None:
        if worker.talk is None:
            return
        try:
            body = _encode([stock.measure.identity])
            reports = _decode_reports(await worker.talk.ask(RECALL, body, seconds=_RECALL_SECONDS))
        except (NoAnswerError, msgspec.MsgspecError):
            self._mute.add(worker)
            return
        for report in reports:
            stock.report(worker, report, self._clock())
        stock.has_none(worker, stamp)

    def _now(self, batch: Batch) -> float:
        """A worker may have read the clock after the parent has."""
        return max(self._clock(), batch.now)

    # After a death

    async def _look_again(self, stocks: Sequence[Stock], spending: Spending) -> None:
        """Read from the ledger how much of dead workers' portions was spent at most."""
        for seconds in _LOOKS_AFTER_SECONDS:
            await asyncio.sleep(seconds)
            known = [
                (stock, stock.starts_at, stock.settled, stock.lost)
                for stock in stocks
                if isinstance(stock, WindowStock) and stock.expired
            ]
            await asyncio.sleep(_WRITTEN_SECONDS)
            for stock, starts_at, settled, lost in known:
                try:
                    found = await spending.spent(stock.measure, starts_at)
                except OSError as error:
                    why = str(error)
                    log_event(logging.WARNING, "The ledger cannot tell what a dead worker has spent", why=why)
                    break
                # In the ledger is all that was settled by then, and what the dead worker has spent.
                if stock.starts_at == starts_at:
                    stock.learn(found - settled, lost)
