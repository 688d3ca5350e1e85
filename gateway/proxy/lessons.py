"""What was learned from upstream's 400s, each lesson for a day: corrections of a model's row, and refused schemas.

A lesson holds for those who could have caused it. What a model's fields may be is upstream's to say, and the gateway
wrote them: all callers share that. Schemas are the callers' own words: each caller learns of them by itself.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias, TypeVar

from msgspec import Struct

from translators.hosts import HostProfile
from translators.lessons import corrected, refused_places
from translators.models import ModelRow

LESSON_SECONDS: Final = 24 * 3600.0
# Callers choose the names of models, and write the schemas: 3 MB at most are known of either.
_MAX_PLACES: Final = 512
_MAX_MESSAGES: Final = 16
_MAX_MESSAGE_LENGTH: Final = 300
_MAX_CALLERS: Final = 256
_MAX_SCHEMAS: Final = 32

K = TypeVar("K")
V = TypeVar("V")

# Until when a lesson holds.
_Until: TypeAlias = float
_Schemas: TypeAlias = dict[tuple[str, str, str], _Until]


class Circle(Struct, frozen=True):
    """Who shares what: `caller` learns of schemas; `owner` of models, which is everybody who uses the pool's keys."""

    caller: bytes = b""
    owner: bytes = b""


@dataclass(slots=True)
class _Learned:
    """What is known of one model at one host: messages, each with the moment when it is forgotten."""

    messages: dict[str, _Until] = field(default_factory=dict)


EVERYBODY: Final = Circle()


class Lessons:
    """Lessons by host and model; after a day the table counts again, since models and hosts change."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._learned: dict[tuple[str, str, bytes], _Learned] = {}
        # By caller: hosts, models, and the hashes of schemas, or of several together.
        self._schemas: dict[bytes, _Schemas] = {}

    def row(self, host: HostProfile, model: str, row: ModelRow, circle: Circle = EVERYBODY) -> ModelRow:
        """The row of a model at a host, as far as is known by now: each lesson corrects what else is known."""
        learned = self._learned.get((host.name, model, circle.owner)) if self._learned else None
        if learned is None:
            return row
        now = self._clock()
        for message, until in learned.messages.items():
            if until > now:
                row = corrected(row, message) or row
        return row

    def refused_schemas(self, host: HostProfile, model: str, circle: Circle) -> frozenset[str]:
        """The schemas (by hash) that upstream has refused, as far as a caller has learned of it."""
        known = self._schemas.get(circle.caller) if self._schemas else None
        if known is None:
            return frozenset()
        now, place = self._clock(), (host.name, model)
        return frozenset(schema for (*where, schema), until in known.items() if until > now and (*where,) == place)

    def refuses_together(self, host: HostProfile, model: str, schemas: Iterable[str], circle: Circle) -> bool:
        """Whether just these schemas (hashes) were refused together, without a word on which of them."""
        known = self._schemas.get(circle.caller) if self._schemas else None
        return known is not None and known.get((host.name, model, _together(schemas)), 0.0) > self._clock()

    def learn(self, host: HostProfile, model: str, row: ModelRow, message: str, circle: Circle = EVERYBODY) -> bool:
        """Take in what a 400's message says of a model; whether it is news."""
        message = message[:_MAX_MESSAGE_LENGTH]
        if corrected(self.row(host, model, row, circle), message) is None:
            return False
        messages = _room(self._learned, (host.name, model, circle.owner), _Learned, _MAX_PLACES).messages
        _note(messages, message, self._clock() + LESSON_SECONDS, _MAX_MESSAGES)
        return True

    def learn_schemas(
        self, host: HostProfile, model: str, message: str, schemas: Mapping[str, str], circle: Circle
    ) -> frozenset[str]:
        """Take in what a 400's message says of a request's `schemas` (hashes by place); those that are refused by it.

        Where it names the place of one, that one is. Where it names none, they are refused together, and nothing is
        held against each of them.
        """
        places = refused_places(message, schemas)
        refused = frozenset(schemas[place] for place in places)
        if refused:
            what = next(iter(refused)) if len(refused) == 1 else _together(refused)
            known = _room(self._schemas, circle.caller, dict, _MAX_CALLERS)
            _note(known, (host.name, model, what), self._clock() + LESSON_SECONDS, _MAX_SCHEMAS)
        return refused


def _together(schemas: Iterable[str]) -> str:
    """What several schemas are remembered by."""
    return hashlib.sha256(",".join(sorted(set(schemas))).encode()).hexdigest()


def _room(table: dict[K, V], key: K, new: Callable[[], V], most: int) -> V:
    """What stands under a key, anew if need be; of too many the oldest goes."""
    if key not in table and len(table) >= most:
        del table[next(iter(table))]
    return table.setdefault(key, new())


def _note(notes: dict[K, _Until], note: K, until: _Until, most: int) -> None:
    """Put a note behind the others, even where an expired one stood already; of too many the oldest goes."""
    notes.pop(note, None)
    notes[note] = until
    if len(notes) > most:
        del notes[next(iter(notes))]
