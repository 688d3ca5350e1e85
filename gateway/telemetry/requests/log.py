"""The last requests of one process, within bounds: of those that leave, failed and slow ones are kept longest."""

import heapq
import math
from collections import deque
from itertools import count
from typing import Final, NamedTuple

from msgspec import Struct

from gateway.service.observers import Ended
from gateway.service.wire import Wire
from gateway.telemetry.requests.contents import Contents, Wires
from gateway.telemetry.requests.entries import Entry, Held, entry_of, held_of

# Failed requests, and slow ones, that stay when others come: for each of both this part of the size.
_KEPT_PART: Final = 4
# A slow request counts as half as slow after this time, so that the slowest of all does not stay for ever.
_HALF_LIFE_SECONDS: Final = 3600.0
_SHORTEST_SECONDS: Final = 0.001
# What the objects of a request take, by measurement, and what each attempt adds.
_REQUEST_BYTES: Final = 1_600
_ATTEMPT_BYTES: Final = 1_000


class RequestLogSettings(Struct, frozen=True):
    """How many requests one process holds, and how many bytes of them, as far as that can be estimated."""

    size: int = 1_000
    max_bytes: int = 4 * 1024 * 1024


class _Place(NamedTuple):
    """A request in the log, and what it takes."""

    held: Held
    bytes: int


class RequestLog:
    """An observer of requests."""

    def __init__(self, settings: RequestLogSettings, contents: Contents, wires: Wires) -> None:
        self.settings = settings
        self.bytes = 0
        self.contents = contents
        self.wires = wires
        self._recent: deque[_Place] = deque()
        self._failed: deque[_Place] = deque()
        # A heap; the number keeps two that are equally slow apart.
        self._slow: list[tuple[float, int, _Place]] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._recent) + len(self._failed) + len(self._slow)

    def note(self, ended: Ended) -> None:
        """Take a request in."""
        held = held_of(ended)
        size = _size_of(held)
        self._recent.append(_Place(held, size))
        self.bytes += size
        if isinstance(ended.heard, Wire):
            self.wires.keep(ended.request_id, ended.heard)
        elif ended.heard is not None:
            self.contents.keep(ended.request_id, ended.heard, tuple(ended.record.said))
        if len(self._recent) > self.settings.size or self.bytes > self.settings.max_bytes:
            self._make_room()

    def look(self) -> list[Entry]:
        """All requests that are held, in no order."""
        places = (*self._recent, *self._failed, *(place for _, _, place in self._slow))
        return [entry_of(place.held, has_content=place.held.id in self.contents) for place in places]

    def use(self, settings: RequestLogSettings) -> None:
        """Go by other bounds from now on."""
        self.settings = settings
        self._make_room()

    def _make_room(self) -> None:
        while len(self._recent) > self.settings.size:
            self._keep_or_drop(self._recent.popleft())
        while self.bytes > self.settings.max_bytes and len(self):
            if self._slow:
                self._drop(heapq.heappop(self._slow)[2])
            else:
                self._drop((self._failed or self._recent).popleft())

    def _keep_or_drop(self, place: _Place) -> None:
        most = self.settings.size // _KEPT_PART
        if place.held.has_failed:
            self._failed.append(place)
            if len(self._failed) > most:
                self._drop(self._failed.popleft())
        else:
            heapq.heappush(self._slow, (_slowness(place.held), next(self._numbers), place))
            if len(self._slow) > most:
                self._drop(heapq.heappop(self._slow)[2])

    def _drop(self, place: _Place) -> None:
        self.bytes -= place.bytes


def _slowness(held: Held) -> float:
    """Orders requests by the time they took; one that is older counts as faster."""
    return math.log2(max(held.seconds, _SHORTEST_SECONDS)) + held.at / _HALF_LIFE_SECONDS


def _size_of(held: Held) -> int:
    size = _REQUEST_BYTES + _ATTEMPT_BYTES * len(held.attempts) + len(held.asked_model) + len(held.adjusted or "")
    return size + sum(map(len, held.failures)) if held.failures else size
