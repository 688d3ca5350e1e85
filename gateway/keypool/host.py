"""What keys with the same address share: the network path, and failures of a class of models."""

from dataclasses import dataclass, field
from typing import Final, TypeVar

from gateway.keypool.breaker import Breaker

# Callers choose model names, so the number of entries per model is bounded.
MAX_NOTED_MODELS: Final = 256
# If no stream begins for this long, others are preferred; thinking models send the head of their answer at once too.
SILENCE_SECONDS: Final = 5.0

T = TypeVar("T")


def forget_oldest(notes: dict[str, T]) -> None:
    """Make room for one more entry under a name that a caller may have chosen."""
    if len(notes) >= MAX_NOTED_MODELS:
        del notes[next(iter(notes))]


@dataclass(slots=True)
class Host:
    """The state of one address: its network (`breaker`), and its failures by class of models (`classes`)."""

    breaker: Breaker = field(default_factory=Breaker)
    classes: dict[str, Breaker] = field(default_factory=dict)
    # The number of streams whose head has not arrived, and since when none has.
    awaited: int = 0
    silent_since: float = 0.0
    is_probed: bool = False

    def is_well(self, limit_class: str) -> bool:
        """Whether no breaker is open for a class of models."""
        breaker = self.classes.get(limit_class)
        return self.breaker.is_closed and (breaker is None or breaker.is_closed)

    def breaker_for(self, limit_class: str) -> Breaker:
        if (found := self.classes.get(limit_class)) is None:
            forget_oldest(self.classes)
            found = self.classes[limit_class] = Breaker()
        return found

    def is_silent(self, now: float) -> bool:
        """Whether none of its streams begins: a request here may wait for a very long time."""
        return self.awaited > 0 and now - self.silent_since > SILENCE_SECONDS

    def is_suspect(self, limit_class: str, now: float) -> bool:
        """Whether another host should be preferred."""
        if self.is_silent(now):
            return True
        if self.breaker.suspect_until > now:
            return True
        return limit_class in self.classes and self.classes[limit_class].suspect_until > now
