"""Outages of upstream as an operator hears of them: when a host is left alone, and when it answers again."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from gateway.keypool import Breaker
from gateway.proxy.dispatch import Dispatcher

_INTERVAL_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Outage:
    """A host that is left alone, or only for a class of models; `seconds` is how long it took, once it is over."""

    host: str
    models: str | None
    why: str
    seconds: float | None = None


class Outages:
    """Looks at the circuit breakers now and then, and tells of each outage twice: when it begins, and when it is over.

    It is over with the first request that succeeds. One of less than a second may not be seen at all.
    """

    def __init__(self, dispatcher: Dispatcher, report: Callable[[Outage], None]) -> None:
        self._dispatcher = dispatcher
        self._report = report
        # What is known to be out, since when and why.
        self._since: dict[tuple[str, str | None], tuple[float, str]] = {}

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(_INTERVAL_SECONDS)

    def look(self) -> None:
        """Tell of what has begun or ended since the last look."""
        now = self._dispatcher.clock()
        known, self._since = self._since, {}
        for place, breaker in self._breakers():
            host, models = place
            if place not in known:
                if not breaker.is_closed:
                    self._since[place] = now, self._why(host)
                    self._report(Outage(host, models, self._since[place][1]))
            elif breaker.failures:
                # Also while it is tried: the first answer that has begun may still break off.
                self._since[place] = known[place]
            else:
                began_at, why = known[place]
                self._report(Outage(host, models, why, now - began_at))

    def _breakers(self) -> Iterator[tuple[tuple[str, str | None], Breaker]]:
        for name, host in self._dispatcher.pool.hosts.items():
            yield (name, None), host.breaker
            for models, breaker in host.classes.items():
                yield (name, models), breaker

    def _why(self, host: str) -> str:
        """What went wrong with a key of that host last."""
        states = (state for state in self._dispatcher.pool.states if state.key.host == host and state.last_error)
        last = max(states, key=lambda state: state.last_error_at, default=None)
        return last.last_error if last is not None else "failures"
