"""What was learned from upstream's 400s, each lesson for a day: corrections of a model's row, and refused schemas."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from translators.hosts import HostProfile
from translators.lessons import corrected, is_about_schema
from translators.models import ModelRow

LESSON_SECONDS: Final = 24 * 3600.0
# Callers choose the names of models, and write the schemas.
_MAX_PLACES: Final = 512
_MAX_SCHEMAS: Final = 256


@dataclass(slots=True)
class _Learned:
    """What is known of one model at one host: messages and schemas, each with the moment when it is forgotten."""

    messages: dict[str, float] = field(default_factory=dict)
    schemas: dict[str, float] = field(default_factory=dict)


class Lessons:
    """Lessons by host and model; after a day the table counts again, since models and hosts change."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._learned: dict[tuple[str, str], _Learned] = {}

    def row(self, host: HostProfile, model: str, row: ModelRow) -> ModelRow:
        """The row of a model at a host, as far as is known by now: each lesson corrects what else is known."""
        learned = self._learned.get((host.name, model)) if self._learned else None
        if learned is None:
            return row
        now = self._clock()
        for message, until in learned.messages.items():
            if until > now:
                row = corrected(row, message) or row
        return row

    def refused_schemas(self, host: HostProfile, model: str) -> frozenset[str]:
        """The schemas (by hash) that upstream has refused."""
        learned = self._learned.get((host.name, model)) if self._learned else None
        if learned is None:
            return frozenset()
        now = self._clock()
        return frozenset(schema for schema, until in learned.schemas.items() if until > now)

    def learn(self, host: HostProfile, model: str, row: ModelRow, message: str, schemas: Iterable[str] = ()) -> bool:
        """Take in a 400's message, with the schemas that the refused request held; whether it taught something new."""
        until = self._clock() + LESSON_SECONDS
        refused = set(schemas) if is_about_schema(message) else set()
        new_schemas = refused - self.refused_schemas(host, model)
        is_correction = corrected(self.row(host, model, row), message) is not None
        if not new_schemas and not is_correction:
            return False
        learned = self._place(host, model)
        if is_correction:
            # Put behind the others, even where an expired one stood already.
            learned.messages.pop(message, None)
            learned.messages[message] = until
        for schema in new_schemas:
            learned.schemas.pop(schema, None)
            learned.schemas[schema] = until
        while len(learned.schemas) > _MAX_SCHEMAS:
            del learned.schemas[next(iter(learned.schemas))]
        return True

    def _place(self, host: HostProfile, model: str) -> _Learned:
        place = (host.name, model)
        if place not in self._learned and len(self._learned) >= _MAX_PLACES:
            del self._learned[next(iter(self._learned))]
        return self._learned.setdefault(place, _Learned())
