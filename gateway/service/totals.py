"""Usage totals per client since the start, and the savings of prompt caches; counted when answers end."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from gateway.service.observers import Ended
from gateway.service.record import AttemptEntry

# Client names come from the configuration; those removed by a reload are kept as well.
MAX_CLIENTS: Final = 1_000
_NANO_IN_MICRO: Final = 1_000


@dataclass(frozen=True, slots=True)
class ClientTotals:
    """One client since the start; savings are in micro-dollars, negative if writing cost more than reading saved."""

    name: str
    requests: int
    prompt_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    completion_tokens: int
    saved_micro_dollars: int


@dataclass(slots=True)
class _Counts:
    requests: int = 0
    prompt_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    completion_tokens: int = 0
    saved_nano_dollars: int = 0


class Totals:
    """One process's counts by client; if there are too many, the client with the oldest last request is dropped."""

    def __init__(self, max_clients: int = MAX_CLIENTS) -> None:
        self._max_clients = max_clients
        self._counts: OrderedDict[str, _Counts] = OrderedDict()

    def note(self, ended: Ended) -> None:
        """Count a request with all its attempts."""
        self.add(ended.caller, ended.record.entries)

    def add(self, client: str, attempts: Iterable[AttemptEntry]) -> None:
        """Count a request with these attempts."""
        counts = self._counts.setdefault(client, _Counts())
        self._counts.move_to_end(client)
        if len(self._counts) > self._max_clients:
            self._counts.popitem(last=False)
        counts.requests += 1
        for attempt in attempts:
            used = attempt.total
            counts.prompt_tokens += used.prompt_tokens
            counts.cache_read_tokens += used.cache_read_tokens
            counts.cache_write_tokens += used.cache_write_tokens
            counts.completion_tokens += used.output_tokens
            counts.saved_nano_dollars += attempt.charge.saved_nano_dollars

    def clients(self) -> list[ClientTotals]:
        """The totals by name."""
        return clients_of(self.tally())

    def tally(self) -> dict[str, dict[str, int]]:
        """The counts by name, in a form that can be added to those of other processes; `clients_of` reads it."""
        return {
            name: {
                "requests": counts.requests,
                "prompt_tokens": counts.prompt_tokens,
                "cache_read_tokens": counts.cache_read_tokens,
                "cache_write_tokens": counts.cache_write_tokens,
                "completion_tokens": counts.completion_tokens,
                "saved_micro_dollars": round(Fraction(counts.saved_nano_dollars, _NANO_IN_MICRO)),
            }
            for name, counts in self._counts.items()
        }


def clients_of(tally: Mapping[str, Mapping[str, int]]) -> list[ClientTotals]:
    """The totals by name."""
    return [ClientTotals(name, **counts) for name, counts in sorted(tally.items())]
