"""Cache marks in the simulation: the gateway's own rule, for turns instead of written prompts."""

from dataclasses import replace

from benchmarks.pool.workloads import Turn
from gateway.service.sightings import Sightings
from translators.messages.marking import Caching, Facts, plan


class Marker:
    """Marks what one gateway would mark, which knows the requests that it has seen."""

    def __init__(self, caching: Caching) -> None:
        self._caching = caching
        self._sightings = Sightings()

    def marked(self, turn: Turn, now: float) -> Turn:
        """The same turn with the gateway's marks."""
        marks = plan(self._facts(turn, now))
        return replace(turn, call=replace(turn.call, marks=marks))

    def _facts(self, turn: Turn, now: float) -> Facts:
        call = turn.call
        # The tools and the system prompt, and then the end of each turn.
        opening, first, *_ = call.parts
        enough = [part for part in call.parts if part.tokens >= call.cache_minimum]
        known = [part for part in (opening, first) if part in enough]
        seen = self._sightings.sight([part.identity for part in known], now)
        return Facts(
            self._caching,
            tools=turn.tools,
            system=opening.place,
            first_turn=first.place,
            end=call.parts[-1].place,
            long_enough=enough[0].place if enough else call.parts[-1].place + 1,
            sent_before=call.parts[-2].place if turn.number else 0,
            shared=known[seen - 1].place if seen else 0,
        )
