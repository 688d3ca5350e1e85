"""What was said in requests whose content may be kept, for as long as that may be, within bounds."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from msgspec import Struct

from gateway.service.listening import MOST_BYTES, Listener
from gateway.service.wire import SeenWire, Wire

MOST_BYTES_TOGETHER: Final = 4 * 1024 * 1024
_NOTE_BYTES: Final = 500
T = TypeVar("T")


class Content(Struct, frozen=True):
    """The beginnings of a request's body and of its answer, and what upstream said when it refused."""

    request: str
    answer: str
    said: tuple[str, ...] = ()


class _Shelf(Generic[T]):
    """What one process keeps by request id; each is deleted when its time is over."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._kept: OrderedDict[str, tuple[float, T, int]] = OrderedDict()
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._kept

    def put(self, request_id: str, value: T, size: int, seconds: float) -> None:
        """Keep a value of so many bytes for so long; the oldest ones make room for it."""
        self._kept[request_id] = (self._now() + seconds, value, size)
        self._bytes += size
        while self._bytes > MOST_BYTES_TOGETHER:
            self._forget(next(iter(self._kept)))
        self._wake_in(seconds)

    def shown(self) -> dict[str, T]:
        """All that is kept now."""
        self._clear()
        return {request_id: value for request_id, (_, value, _) in self._kept.items()}

    def close(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._bytes = 0
        if self._timer is not None:
            self._timer.cancel()

    def _clear(self) -> None:
        now = self._now()
        for request_id in [name for name, (until, _, _) in self._kept.items() if until <= now]:
            self._forget(request_id)

    def _forget(self, request_id: str) -> None:
        self._bytes -= self._kept.pop(request_id)[2]

    def _wake_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is None or self._timer.when() > loop.time() + seconds:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_later(seconds, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._clear()
        if self._kept:
            self._wake_in(max(0.1, min(until for until, _, _ in self._kept.values()) - self._now()))


class Contents(_Shelf[Content]):
    """The contents of requests of clients whose configuration lets them be kept."""

    def keep(self, request_id: str, heard: Listener, said: tuple[str, ...]) -> None:
        """Keep what was said, for the time that the listener names."""
        said = tuple(text[:MOST_BYTES] for text in said[:10])
        content = Content(heard.request.decode(errors="replace"), heard.answer.decode(errors="replace"), said)
        size = len(heard.request) + len(heard.answer) + sum(map(len, said)) + _NOTE_BYTES
        self.put(request_id, content, size, heard.keep_seconds)


class Wires(_Shelf[SeenWire]):
    """Both sides of requests of the console's playground."""

    def keep(self, request_id: str, wire: Wire) -> None:
        """Keep what was heard, for the time that the wire names."""
        self.put(request_id, wire.seen(), wire.size + _NOTE_BYTES, wire.keep_seconds)
