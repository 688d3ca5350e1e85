"""What was said in the requests of clients whose configuration says so, for as long as it says, within bounds."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from gateway.service.listening import MOST_BYTES, Listener

MOST_BYTES_TOGETHER: Final = 4 * 1024 * 1024
_NOTE_BYTES: Final = 500


class Content(Struct, frozen=True):
    """The beginnings of a request's body and of its answer, and what upstream said when it refused."""

    request: str
    answer: str
    said: tuple[str, ...] = ()


class Contents:
    """The contents of one process by request id; each is deleted when its time is over."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._kept: OrderedDict[str, tuple[float, Content, int]] = OrderedDict()
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._kept

    def keep(self, request_id: str, heard: Listener, said: tuple[str, ...]) -> None:
        """Keep what was said, for the time that the listener names."""
        said = tuple(text[:MOST_BYTES] for text in said[:10])
        content = Content(heard.request.decode(errors="replace"), heard.answer.decode(errors="replace"), said)
        size = len(heard.request) + len(heard.answer) + sum(map(len, said)) + _NOTE_BYTES
        self._kept[request_id] = (self._now() + heard.keep_seconds, content, size)
        self._bytes += size
        while self._bytes > MOST_BYTES_TOGETHER:
            self._forget(next(iter(self._kept)))
        self._wake_in(heard.keep_seconds)

    def shown(self) -> dict[str, Content]:
        """All that is kept now."""
        self._clear()
        return {request_id: content for request_id, (_, content, _) in self._kept.items()}

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
