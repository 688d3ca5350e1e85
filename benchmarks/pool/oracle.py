"""What a balancer could do that sees upstream's own buckets and caches: the mark that others are measured by."""

import math
from collections import deque
from collections.abc import Iterator

from benchmarks.pool.balancers import Request, Unlearning
from benchmarks.pool.world import ApiKey, Call, World, family_of


class Oracle(Unlearning):
    """Asks only where there is room: where the prompt costs least, and of those where most is left.

    It knows nothing of the future: not how long answers will be, nor what will go wrong.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._lines: dict[str, deque[Request]] = {}

    def acquire(self, request: Request, now: float) -> str | None:
        call = request.turn.call
        ready = [
            key
            for key in self._world.keys.values()
            if key.name not in request.excluded and not self._seconds_until_room(key, call, now)
        ]
        if not ready:
            return None

        def rank(key: ApiKey) -> tuple[bool, int, float]:
            meter = self._world.organizations[key.organization].meter(call.model)
            return key.name in request.avoided, self._uncached(key, call, now), -meter.share_left(now)

        return min(ready, key=rank).name

    def join(self, request: Request, now: float) -> bool:
        self._line_of(request).append(request)
        return True

    def leave(self, request: Request) -> None:
        self._line_of(request).remove(request)

    def serve(self, now: float) -> Iterator[tuple[Request, str]]:
        """The oldest of each family, as long as there is room for it."""
        for line in self._lines.values():
            while line and (lease := self.acquire(line[0], now)) is not None:
                yield line.popleft(), lease

    def wake_at(self, now: float) -> float | None:
        return now + min(
            (
                self._seconds_until_room(key, line[0].turn.call, now)
                for line in self._lines.values()
                if line
                for key in self._world.keys.values()
            ),
            default=math.inf,
        )

    def _line_of(self, request: Request) -> deque[Request]:
        return self._lines.setdefault(family_of(request.turn.call.model), deque())

    def _uncached(self, key: ApiKey, call: Call, now: float) -> int:
        return call.tokens - self._world.caches[key.workspace].cached_tokens(call.parts, now, call.marks)

    def _seconds_until_room(self, key: ApiKey, call: Call, now: float) -> float:
        meter = self._world.organizations[key.organization].meter(call.model)
        return meter.seconds_until_room(self._uncached(key, call, now), now)
