"""How the views of all workers come together: the parent asks each worker, and keeps the counts of the gone.

The parent passes on what workers show without reading it; only counts it adds up.
"""

import asyncio
import functools
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from gateway.workers.process import Worker
from gateway.workers.talk import Answerer, NoAnswerError, Talk
from gateway.workers.tallies import Tally, total
from gateway.workers.views import Collected, Part, Views, name_of

# Topics. A worker is asked to look; the parent is asked to gather, and is told counts.
_LOOK: Final = "look"
_GATHER: Final = "gather"
_COUNTS: Final = "counts"

# How long the parent waits for workers, and a worker for the parent.
_LOOK_SECONDS: Final = 2.0
_GATHER_SECONDS: Final = 5.0
# The last counts of a worker that ends are worth this wait.
_FAREWELL_SECONDS: Final = 1.0
# Each takes memory for what all workers show.
_MAX_GATHERINGS: Final = 4

_encode: Final = msgspec.msgpack.Encoder().encode
_decode_part: Final = msgspec.msgpack.Decoder(Part).decode
_decode_collected: Final = msgspec.msgpack.Decoder(Collected).decode
_decode_counts: Final = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode
_decode_tally: Final = msgspec.msgpack.Decoder(Tally).decode


class Gathering:
    """The parent's part. `workers` are the living ones, of `count` numbers."""

    def __init__(self, workers: Sequence[Worker], look_seconds: float = _LOOK_SECONDS) -> None:
        self._workers = workers
        self._look_seconds = look_seconds
        # The latest counts of each living worker, and the sums of the gone, by view.
        self._counts: dict[Worker, dict[str, msgspec.Raw]] = {}
        self._gone: dict[str, Tally] = {}
        self._places = asyncio.Semaphore(_MAX_GATHERINGS)

    def answerers(self, worker: Worker) -> Mapping[str, Answerer]:
        """What this worker may ask and tell."""
        self._counts[worker] = {}
        return {_GATHER: self._gather, _COUNTS: functools.partial(self._take_counts, worker)}

    def forget(self, worker: Worker) -> None:
        """A worker has ended: its counts are kept."""
        for name, raw in self._counts.pop(worker, {}).items():
            self._gone[name] = total((self._gone.get(name, {}), _decode_tally(raw)))

    def _take_counts(self, worker: Worker, body: bytes) -> bytes:
        if (counts := self._counts.get(worker)) is not None:
            counts.update((name, msgspec.Raw(bytes(raw))) for name, raw in _decode_counts(body).items())
        return b""

    async def _gather(self, body: bytes) -> bytes:
        name = body.decode()
        async with self._places:
            asked = [worker for worker in self._workers if worker.is_serving]
            parts = await asyncio.gather(*(self._look(worker, name) for worker in asked))
        found = [part for part in parts if part is not None]
        missing = [worker.number for worker, part in zip(asked, parts, strict=True) if part is None]
        return _encode(Collected(found, missing, self._sum_of(name_of(name))))

    async def _look(self, worker: Worker, name: str) -> Part | None:
        if worker.talk is None:
            return None
        try:
            return _decode_part(await worker.talk.ask(_LOOK, name.encode(), seconds=self._look_seconds))
        except (NoAnswerError, msgspec.MsgspecError):
            return None

    def _sum_of(self, name: str) -> Tally:
        """The counts of all workers that ever lived, as far as they are known: no sum is below an earlier one."""
        living = (_decode_tally(counts[name]) for counts in self._counts.values() if name in counts)
        return total((self._gone.get(name, {}), *living))


class Showing:
    """A worker's part: shows its views, asks for those of all workers, and hands its counts over."""

    def __init__(self, views: Views) -> None:
        self._views = views
        self._talk: Talk | None = None
        self._told = b""

    @property
    def answerers(self) -> Mapping[str, Answerer]:
        return {_LOOK: self._look}

    def begin(self, talk: Talk) -> None:
        """From now on views are those of all workers."""
        self._talk = talk
        self._views.collect = self._collect

    def pulse(self) -> None:
        """Tell the parent what has been counted, if that has changed."""
        if self._talk is not None and (counts := self._encoded_counts()) != self._told:
            self._told = counts if self._talk.tell(_COUNTS, counts) else b""

    async def say_goodbye(self) -> None:
        """Hand the last counts over, and wait until the parent has them."""
        if self._talk is None:
            return
        try:
            await self._talk.ask(_COUNTS, self._encoded_counts(), seconds=_FAREWELL_SECONDS)
        except NoAnswerError:
            # The parent is gone, or has what the last pulse said.
            return

    def _encoded_counts(self) -> bytes:
        return _encode(self._views.tallies())

    def _look(self, body: bytes) -> bytes:
        # The counts go ahead of the answer, so that the parent adds up what belongs to it.
        self.pulse()
        return self._views.look(body.decode())

    async def _collect(self, name: str) -> Collected | None:
        if self._talk is None:
            return None
        try:
            return _decode_collected(await self._talk.ask(_GATHER, name.encode(), seconds=_GATHER_SECONDS))
        except (NoAnswerError, msgspec.MsgspecError):
            return None
