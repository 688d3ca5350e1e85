"""What a simulation counts."""

from dataclasses import dataclass, field, replace
from typing import Final

from benchmarks.pool.caches import Usage
from benchmarks.pool.workloads import LOUDEST
from translators.models import model_table

_MODELS: Final = model_table()


@dataclass(slots=True)
class Tally:
    """Counts of what happened between two moments; a request is counted when it comes, an answer when it ends."""

    begins_at: float
    ends_at: float
    requests: int = 0
    answers: int = 0
    attempts: int = 0
    limited_upstream: int = 0
    limited_callers: int = 0
    failed_callers: int = 0
    later_turns: int = 0
    later_turns_at_home: int = 0
    read_tokens: int = 0
    written_tokens: int = 0
    input_tokens: int = 0
    cost: float = 0.0
    input_cost: float = 0.0
    waits: list[float] = field(default_factory=list)
    quiet_requests: int = 0
    quiet_limited: int = 0

    def counts(self, now: float) -> bool:
        """Whether what happens now is counted."""
        return self.begins_at <= now < self.ends_at

    @property
    def minutes(self) -> float:
        """How long it counts."""
        return (self.ends_at - self.begins_at) / 60

    def asked(self, caller: str) -> None:
        """A request has come."""
        self.requests += 1
        self.quiet_requests += caller != LOUDEST

    def limited(self, caller: str) -> None:
        """A caller was answered with 429."""
        self.limited_callers += 1
        self.quiet_limited += caller != LOUDEST

    def answered(self, model: str, usage: Usage) -> None:
        """An answer is complete."""
        self.answers += 1
        self.read_tokens += usage.cache_read_tokens
        self.input_tokens += usage.uncached_tokens + usage.cache_read_tokens
        self.written_tokens += usage.cache_write_tokens
        self.cost += dollars(model, usage)
        self.input_cost += dollars(model, replace(usage, output_tokens=0))


def dollars(model: str, usage: Usage) -> float:
    """What an answer costs, by the table of models."""
    provenance = _MODELS.provenance(model)
    assert provenance is not None
    tokens = usage.uncached_tokens + usage.cache_read_tokens
    price = next(
        price for price in provenance.prices if price.up_to_prompt_tokens is None or tokens <= price.up_to_prompt_tokens
    )
    return (
        usage.input_tokens * price.input
        + usage.cache_write_tokens * price.cache_write_5m
        + usage.cache_read_tokens * price.cache_read
        + usage.output_tokens * price.output
    ) / 1e12


def quantile(values: list[float], share: float) -> float:
    """The value that a share of the others does not exceed; 0 where there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
