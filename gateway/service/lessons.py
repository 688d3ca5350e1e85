"""Lessons from upstream's 400s, each kept for a day: corrections of a model's row, and refused schemas.

A lesson applies to those who could have caused it. The fields of a model are determined by upstream and written by the
gateway: these lessons are shared by all callers. Schemas are the callers' own: each caller learns separately.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias, TypeVar

from msgspec import Struct

from translators.hosts import HostProfile
from translators.lessons import corrected, refused_places
from translators.models import ModelRow, ModelTable

LESSON_SECONDS: Final = 24 * 3600.0
# Callers choose model names and schemas, so both are bounded: to about 3 MB each.
_MAX_PLACES: Final = 512
_MAX_MESSAGES: Final = 16
_MAX_MESSAGE_LENGTH: Final = 300
_MAX_CALLERS: Final = 256
_MAX_SCHEMAS: Final = 32

K = TypeVar("K")
V = TypeVar("V")

# When a lesson expires.
_Until: TypeAlias = float
_Schemas: TypeAlias = dict[tuple[str, str, str], _Until]


class LessonScope(Struct, frozen=True):
    """Who shares lessons: `caller` those about schemas; `owner` those about models (empty for the pool's keys)."""

    caller: bytes = b""
    owner: bytes = b""


@dataclass(slots=True)
class _Learned:
    """The lessons about one model at one host: messages, each with its expiry."""

    messages: dict[str, _Until] = field(default_factory=dict)


EVERYBODY: Final = LessonScope()


class Lessons:
    """Lessons by host and model; they expire after a day, since models and hosts change."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._learned: dict[tuple[str, str, bytes], _Learned] = {}
        # By caller: hosts, models, and hashes of schemas or of sets of schemas.
        self._schemas: dict[bytes, _Schemas] = {}

    def row(self, host: HostProfile, model: str, row: ModelRow, circle: LessonScope = EVERYBODY) -> ModelRow:
        """A model's row at a host with all lessons applied; each lesson corrects the result of those before."""
        learned = self._learned.get((host.name, model, circle.owner)) if self._learned else None
        if learned is None:
            return row
        now = self._clock()
        for message, until in learned.messages.items():
            if until > now:
                row = corrected(row, message) or row
        return row

    def told(self, models: ModelTable) -> list[tuple[str, str, str]]:
        """What the pool's models can and cannot do besides the table: host, model, and the corrected abilities.

        Not upstream's words, which may quote a request.
        """
        now = self._clock()
        told: list[tuple[str, str, str]] = []
        for (host, model, owner), learned in self._learned.items():
            if owner:
                continue
            row = before = models.row(model)
            for message, until in learned.messages.items():
                row = (corrected(row, message) or row) if until > now else row
            names = [name for name in row.__struct_fields__ if getattr(row, name) != getattr(before, name)]
            told += [(host, model, f"{name}: {getattr(row, name)}") for name in names]
        return told

    def refused_schemas(self, host: HostProfile, model: str, circle: LessonScope) -> frozenset[str]:
        """The hashes of schemas that upstream has refused, as far as this caller has learned."""
        known = self._schemas.get(circle.caller) if self._schemas else None
        if known is None:
            return frozenset()
        now, place = self._clock(), (host.name, model)
        return frozenset(schema for (*where, schema), until in known.items() if until > now and (*where,) == place)

    def refuses_together(self, host: HostProfile, model: str, schemas: Iterable[str], circle: LessonScope) -> bool:
        """Whether exactly this set of schemas (hashes) was refused, without naming one of them."""
        known = self._schemas.get(circle.caller) if self._schemas else None
        return known is not None and known.get((host.name, model, _together(schemas)), 0.0) > self._clock()

    def learn(
        self, host: HostProfile, model: str, row: ModelRow, message: str, circle: LessonScope = EVERYBODY
    ) -> bool:
        """Take in what a 400's message says about a model; returns whether it is new."""
        message = message[:_MAX_MESSAGE_LENGTH]
        if corrected(self.row(host, model, row, circle), message) is None:
            return False
        messages = _wait_for_room(self._learned, (host.name, model, circle.owner), _Learned, _MAX_PLACES).messages
        _note(messages, message, self._clock() + LESSON_SECONDS, _MAX_MESSAGES)
        return True

    def learn_schemas(
        self, host: HostProfile, model: str, message: str, schemas: Mapping[str, str], circle: LessonScope
    ) -> frozenset[str]:
        """Take in a 400's message about `schemas` (hashes by place); returns the refused ones.

        If the message names places, their schemas are refused. If it names none, the set as a whole is refused, and
        none of its members.
        """
        places = refused_places(message, schemas)
        refused = frozenset(schemas[place] for place in places)
        if refused:
            what = next(iter(refused)) if len(refused) == 1 else _together(refused)
            known = _wait_for_room(self._schemas, circle.caller, dict, _MAX_CALLERS)
            _note(known, (host.name, model, what), self._clock() + LESSON_SECONDS, _MAX_SCHEMAS)
        return refused


def _together(schemas: Iterable[str]) -> str:
    """The key for a set of schemas."""
    return hashlib.sha256(",".join(sorted(set(schemas))).encode()).hexdigest()


def _wait_for_room(table: dict[K, V], key: K, new: Callable[[], V], most: int) -> V:
    """The value for a key, created if missing; if there are too many, the oldest is dropped."""
    if key not in table and len(table) >= most:
        del table[next(iter(table))]
    return table.setdefault(key, new())


def _note(notes: dict[K, _Until], note: K, until: _Until, most: int) -> None:
    """Append an entry, moving it to the end if it exists; if there are too many, the oldest is dropped."""
    notes.pop(note, None)
    notes[note] = until
    if len(notes) > most:
        del notes[next(iter(notes))]
