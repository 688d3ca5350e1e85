"""Usage totals per client since the start, and the savings of prompt caches; counted when answers end."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.service.observers import Ended
from translators.message_usage import MessageUsage
from translators.models import ModelTable, Price, model_table

# Client names come from the configuration; those removed by a reload are kept as well.
MAX_CLIENTS: Final = 1_000
# Prices are in micro-dollars per million tokens.
_TOKENS_A_PRICE: Final = 1_000_000


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
    # In millionths of a micro-dollar, so that rounding loses nothing.
    saved: int = 0


class Totals:
    """One process's counts by client; if there are too many, the client with the oldest last request is dropped."""

    def __init__(self, max_clients: int = MAX_CLIENTS, models: ModelTable | None = None) -> None:
        self._max_clients = max_clients
        # Prices belong to the built-in rows, which no configuration changes.
        self._models = models or model_table()
        self._counts: OrderedDict[str, _Counts] = OrderedDict()

    def note(self, ended: Ended) -> None:
        """Count a request with all its attempts."""
        self.add(ended.caller, ended.record.used)

    def add(self, client: str, used: Iterable[tuple[str | None, MessageUsage]]) -> None:
        """Count a request: the model and usage of each message that upstream wrote for it."""
        counts = self._counts.setdefault(client, _Counts())
        self._counts.move_to_end(client)
        if len(self._counts) > self._max_clients:
            self._counts.popitem(last=False)
        counts.requests += 1
        for model, usage in used:
            counts.prompt_tokens += usage.prompt_tokens
            counts.cache_read_tokens += usage.cache_read_tokens
            counts.cache_write_tokens += usage.cache_write_tokens
            counts.completion_tokens += usage.output_tokens
            if usage.cache_read_tokens or usage.cache_write_tokens:
                counts.saved += self._saved(model, usage)

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
                "saved_micro_dollars": round(counts.saved / _TOKENS_A_PRICE),
            }
            for name, counts in self._counts.items()
        }

    def _saved(self, model: str | None, usage: MessageUsage) -> int:
        """How much more a message would have cost without a cache; 0 if its price is not known."""
        known = self._models.provenance(model) if model else None
        price = _price(known.prices, usage.prompt_tokens) if known else None
        if price is None:
            return 0
        # Usage does not say how long a cache entry lives; the gateway's own marks ask for five minutes.
        surcharge = price.cache_write_5m - price.input
        return usage.cache_read_tokens * (price.input - price.cache_read) - usage.cache_write_tokens * surcharge


def clients_of(tally: Mapping[str, Mapping[str, int]]) -> list[ClientTotals]:
    """The totals by name."""
    return [ClientTotals(name, **counts) for name, counts in sorted(tally.items())]


def _price(prices: Iterable[Price], prompt_tokens: int) -> Price | None:
    """The price of a prompt of that length."""
    for price in prices:
        if price.up_to_prompt_tokens is None or prompt_tokens <= price.up_to_prompt_tokens:
            return price
    return None
