"""Reports upstream outages: when a host's circuit breaker opens, and when the host answers again."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from gateway.keypool import Breaker
from gateway.service.dispatch import Dispatcher

_INTERVAL_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Outage:
    """An open breaker of a host, or of one class of models there; `seconds` is the duration, once it is over."""

    host: str
    models: str | None
    why: str
    seconds: float | None = None


class Outages:
    """Polls the circuit breakers, and reports each outage twice: when it begins, and when it is over.

    It is over with the first request that succeeds. An outage of less than a second may go unnoticed.
    """

    def __init__(self, dispatcher: Dispatcher, report: Callable[[Outage], None]) -> None:
        self._dispatcher = dispatcher
        self._report = report
        # The current outages, since when and why.
        self._since: dict[tuple[str, str | None], tuple[float, str]] = {}

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(_INTERVAL_SECONDS)

    def look(self) -> None:
        """Report what has begun or ended since the last call."""
        now = self._dispatcher.clock()
        known, self._since = self._since, {}
        for place, breaker in self._breakers():
            host, models = place
            if place not in known:
                if not breaker.is_closed:
                    self._since[place] = now, self._why(host)
                    self._report(Outage(host, models, self._since[place][1]))
            elif breaker.failures:
                # Also during a trial: an answer that has begun may still be cut off.
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
        """The last error of a key on that host."""
        states = (state for state in self._dispatcher.pool.states if state.key.host == host and state.last_error)
        last = max(states, key=lambda state: state.last_error_at, default=None)
        return last.last_error if last is not None else "failures"
