"""A worker's `Authority`: portions of its parent's meters, and questions where they are used up."""

import asyncio
import functools
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import msgspec

from gateway.accounts.rules.authority import Authority
from gateway.accounts.rules.meters import Meter
from gateway.accounts.rules.rule import Measure
from gateway.workers.quotas.messages import BEGIN, RECALL, REPORT, TAKE, TAKEN, UNKNOWN, Answer, Batch, Report
from gateway.workers.quotas.portions import Portion
from gateway.workers.talk import Answerer, NoAnswerError, Talk

# How long a request waits for the parent; beginning a meter takes a look into the ledger.
_TAKE_SECONDS: Final = 2.0
_BEGIN_SECONDS: Final = 5.0
# An answer that comes too late for its requests is still an answer: what it grants goes to those after them.
_PATIENCE_SECONDS: Final = 86_400.0
# Requests that may wait for the parent at the same time, and how many go into one batch.
_MAX_WAITING: Final = 10_000
_MAX_ASKS: Final = 256
_MAX_REPORTS: Final = 5_000
_TRIES: Final = 3
# What no request has used for this long goes back.
_UNUSED_SECONDS: Final = 1.0

_encode: Final = msgspec.msgpack.Encoder().encode
_decode_answer: Final = msgspec.msgpack.Decoder(Answer).decode
_decode_measures: Final = msgspec.msgpack.Decoder(list[Measure]).decode


@dataclass(slots=True)
class _Ask:
    asks: list[tuple[Portion, int]]
    # The place of the meter that is over, or one of the results of an ask.
    result: "asyncio.Future[int]"


class QuotaLeases(Authority):
    """Asks the parent for all waiting requests at once; while it answers, the next ones gather."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._talk: Talk | None = None
        self._portions: dict[Measure, Portion] = {}
        self._changed: dict[Portion, None] = {}
        self._stocked: dict[Portion, None] = {}
        self._waiting: deque[_Ask] = deque()
        self._asking: asyncio.Task[None] | None = None
        self._beginning: dict[Measure, asyncio.Task[bool]] = {}
        self._is_telling = False

    @property
    def answerers(self) -> Mapping[str, Answerer]:
        """What the parent may ask."""
        return {RECALL: self._give_back}

    def begin(self, talk: Talk) -> None:
        """Nothing can be taken before this."""
        self._talk = talk

    # What rules use

    def meter(self, measure: Measure, now: float) -> Portion:
        identity = measure.identity
        portion = self._portions.get(identity)
        if portion is None:
            portion = self._portions[identity] = Portion(measure, now, self._on_change)
        elif portion.measure.amount != measure.amount:
            portion.measure = measure
            # What it has of a larger amount may be more than the smaller one allows.
            self._tell([portion], all_back=True)
        return portion

    def forget(self, meter: Meter) -> None:
        portion = self._portions.pop(meter.measure.identity, None)
        if portion is not None:
            self._tell([portion], all_back=True)
            self._changed.pop(portion, None)
            self._stocked.pop(portion, None)

    async def take(self, asks: Sequence[tuple[Meter, int]], now: float) -> int | None:
        # All meters are of this authority's making.
        own = cast("list[tuple[Portion, int]]", list(asks))
        for portion, _ in own:
            portion.waiting += 1
        try:
            for _ in range(_TRIES):
                await self._begin_all(portion for portion, _ in own)
                result = await self._ask(own)
                if result != UNKNOWN:
                    return None if result == TAKEN else result
                # The parent has forgotten a meter that was idle, or a window has ended: begin again.
            raise OSError("The parent process has no room for this meter.")
        finally:
            for portion, _ in own:
                portion.waiting -= 1

    def close(self) -> None:
        self._tell(list(self._portions.values()), all_back=True)
        self._talk = None

    def pulse(self) -> None:
        """To be called every second: tell what was spent, and give back what is not used."""
        since = self._clock() - _UNUSED_SECONDS
        unused = [portion for portion in self._stocked if portion.used_at < since]
        self._tell(unused, all_back=True)
        self._tell(list(self._changed), all_back=False)

    # Asking

    async def _begin_all(self, portions: Iterable[Portion]) -> None:
        for portion in portions:
            if not portion.is_known:
                identity = portion.measure.identity
                task = self._beginning.get(identity)
                if task is None:
                    task = self._beginning[identity] = asyncio.create_task(self._begin_one(portion))
                    task.add_done_callback(functools.partial(self._has_begun, identity))
                if not await asyncio.shield(task):
                    raise OSError("The parent process does not know what was spent.")

    async def _begin_one(self, portion: Portion) -> bool:
        if self._talk is None:
            return False
        try:
            await self._talk.ask(BEGIN, _encode([portion.measure]), seconds=_BEGIN_SECONDS)
        except NoAnswerError:
            return False
        portion.is_known = True
        return True

    def _has_begun(self, identity: Measure, _: "asyncio.Task[bool]") -> None:
        del self._beginning[identity]

    async def _ask(self, asks: list[tuple[Portion, int]]) -> int:
        if self._talk is None or not self._talk.is_open or len(self._waiting) >= _MAX_WAITING:
            raise OSError("The parent process cannot be asked.")
        ask = _Ask(asks, asyncio.get_running_loop().create_future())
        self._waiting.append(ask)
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_all(self._talk))
        async with asyncio.timeout(_TAKE_SECONDS):
            return await ask.result

    async def _ask_all(self, talk: Talk) -> None:
        """Ask until nobody waits, one batch after another."""
        try:
            while self._waiting:
                asks = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MAX_ASKS))]
                await self._ask_batch(talk, [ask for ask in asks if not ask.result.done()])
        finally:
            self._asking = None

    async def _ask_batch(self, talk: Talk, asks: list[_Ask]) -> None:
        places = {portion: place for place, portion in enumerate(dict.fromkeys(p for ask in asks for p, _ in ask.asks))}
        reports = [self._report(portion, all_back=True) for portion in places]
        wanted = [[(places[portion], cost) for portion, cost in ask.asks] for ask in asks]
        try:
            body = _encode(Batch(self._clock(), reports, wanted))
            answer = _decode_answer(await talk.ask(TAKE, body, seconds=_PATIENCE_SECONDS))
        except (NoAnswerError, msgspec.MsgspecError) as error:
            for portion in self._portions.values():
                portion.lose()
            for ask in asks:
                if not ask.result.done():
                    ask.result.set_exception(OSError(f"The parent process cannot be asked: {error}"))
            return
        self._take_answer(answer, asks, list(places))

    def _take_answer(self, answer: Answer, asks: Sequence[_Ask], portions: Sequence[Portion]) -> None:
        now = self._clock()
        current: set[Portion] = set()
        for portion, grant in zip(portions, answer.grants, strict=True):
            if grant is None:
                portion.is_known = not portion.measure.is_calendar
            elif portion.accept(grant, now):
                current.add(portion)
                if grant.extra:
                    self._stocked[portion] = None
        for ask, result in zip(asks, answer.results, strict=True):
            if result != TAKEN:
                self._say(ask, result)
                continue
            held = [(portion, cost) for portion, cost in ask.asks if portion in current]
            for portion, cost in held:
                portion.hold(cost)
            is_whole = len(held) == len(ask.asks)
            if not self._say(ask, TAKEN if is_whole else UNKNOWN) or not is_whole:
                # Its request has left meanwhile, or asks again because a window has ended.
                for portion, cost in held:
                    portion.settle(cost, 0, now)

    @staticmethod
    def _say(ask: _Ask, result: int) -> bool:
        """Whether anybody still waits for this result."""
        if ask.result.done():
            return False
        ask.result.set_result(result)
        return True

    # Telling

    def _on_change(self, portion: Portion) -> None:
        self._changed[portion] = None
        if portion.is_short and not self._is_telling:
            self._is_telling = True
            asyncio.get_running_loop().call_soon(self._tell_soon)

    def _tell_soon(self) -> None:
        """Others wait for what is settled: give it back at once."""
        self._is_telling = False
        self._tell([portion for portion in self._changed if portion.is_short], all_back=True)

    def _tell(self, portions: Sequence[Portion], *, all_back: bool) -> None:
        if self._talk is None:
            return
        reports = [self._report(portion, all_back=all_back) for portion in portions]
        if self._asking is not None:
            # A grant that is on its way would be forgotten.
            reports = [msgspec.structs.replace(report, spare=None) for report in reports]
        for start in range(0, len(reports), _MAX_REPORTS):
            self._talk.tell(REPORT, _encode(reports[start : start + _MAX_REPORTS]))

    def _report(self, portion: Portion, *, all_back: bool) -> Report:
        self._changed.pop(portion, None)
        if all_back:
            self._stocked.pop(portion, None)
        return portion.report(all_back=all_back)

    def _give_back(self, body: bytes) -> bytes:
        """The parent calls spare amounts back."""
        found = filter(None, map(self._portions.get, _decode_measures(body)))
        reports = []
        for portion in itertools.islice(found, _MAX_REPORTS):
            portion.is_short = True
            report = self._report(portion, all_back=True)
            reports.append(msgspec.structs.replace(report, spare=None))
        return _encode(reports)
