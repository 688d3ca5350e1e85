"""Writes a caller's request in its Messages form, once for each kind of host."""

import logging
from dataclasses import replace

from gateway.edge.slices import in_slices
from gateway.service.kept import KeptTurns, Recollection
from gateway.service.lessons import EVERYBODY, Lessons, LessonScope
from gateway.telemetry.logs import log_event
from translators.errors import Failure
from translators.hosts import HostProfile
from translators.intent import Intent
from translators.kept.turns import Past, refuses_thinking
from translators.messages.messages_request import MessagesRequest
from translators.messages.options import Options, Target
from translators.messages.places import located, names_places
from translators.messages.request import places_in_steps, write_in_steps, write_request
from translators.models import ModelRow

# Prefix of upstream's 400 messages that concern the conversation, into which the gateway may have put kept turns.
_ABOUT_MESSAGES = "messages"


class Writer:
    """Writes one request for a host, once per model row: a lesson changes the row, and so the request.

    Kept turns of the conversation are sent only to keys of the account that signed them.
    """

    __slots__ = (
        "_circle",
        "_intent",
        "_known",
        "_lessons",
        "_memory",
        "_options",
        "_refused",
        "_row",
        "model",
        "recollection",
    )

    def __init__(
        self,
        intent: Intent,
        model: str,
        row: ModelRow,
        options: Options,
        lessons: Lessons,
        memory: KeptTurns,
        recollection: Recollection | None = None,
        circle: LessonScope = EVERYBODY,
    ) -> None:
        self._intent = intent
        self.model = model
        self._row = row
        self._options = options
        self._lessons = lessons
        self._memory = memory
        self._circle = circle
        # Hashes of schemas that upstream rejects when they are combined as in this request.
        self._refused: frozenset[str] = frozenset()
        self.recollection = recollection or Recollection()
        # A list, not a dictionary: it has one entry or a few, and hashing a row takes longer than comparing it.
        self._known: list[tuple[Target, Past, MessagesRequest]] = []

    def __call__(self, host: HostProfile, is_home: bool) -> MessagesRequest:
        """The request for a host, written if it is not cached; `is_home`: the key's account signed the history."""
        target, past = self._target(host), self.recollection.past_for(is_home=is_home)
        request = self._find(target, past)
        if request is None:
            request = write_request(self._intent, target, self._options, past)
            self._known.append((target, past, request))
            if self._is_refused(host, request):
                return self(host, is_home)
        return request

    async def write_in_slices(self, host: HostProfile, is_home: bool) -> None:
        """Write the request for a host in turns, so that a later call finds it cached."""
        target, past = self._target(host), self.recollection.past_for(is_home=is_home)
        if self._find(target, past) is None:
            request = await in_slices(write_in_steps(self._intent, target, self._options, past))
            self._known.append((target, past, request))
            if self._is_refused(host, request):
                await self.write_in_slices(host, is_home)

    async def explain(self, failure: Failure, sent: MessagesRequest) -> Failure:
        """The failure in terms of the caller's own body, where upstream has named parts of the request sent."""
        if failure.param == _ABOUT_MESSAGES:
            # The whole conversation, as with a context that is too long.
            failure = replace(failure, param=self._intent.name_of(_ABOUT_MESSAGES))
        if not names_places(failure):
            return failure
        for target, past, request in self._known:
            if request is sent:
                return located(failure, await in_slices(places_in_steps(self._intent, target, self._options, past)))
        return failure

    def _find(self, target: Target, past: Past) -> MessagesRequest | None:
        for known_target, known_past, request in self._known:
            if known_past is past and known_target == target:
                return request
        return None

    def learn(self, host: HostProfile, message: str, sent: MessagesRequest) -> None:
        """Take in a 400 from a host; what it teaches changes the request that the next call writes."""
        if self._lessons.learn(host, self.model, self._row, message, self._circle):
            log_event(logging.WARNING, "An upstream error has corrected a model's abilities", model=self.model)
            # The message may quote the request.
            log_event(logging.DEBUG, "The message that corrected a model's abilities", model=self.model, said=message)
        elif sent.has_thinking and refuses_thinking(message):
            log_event(logging.WARNING, "Upstream refuses thinking that was sent back to it", model=self.model)
            self._memory.refuse(self.recollection, self._intent.messages)
        elif refused := self._lessons.learn_schemas(host, self.model, message, sent.schemas, self._circle):
            self._refused |= refused
            log_event(logging.WARNING, "Upstream has refused schemas", model=self.model, schemas=len(refused))
        elif self.recollection.past.contents and message.startswith(_ABOUT_MESSAGES):
            self._memory.set_aside(self.recollection)

    def _target(self, host: HostProfile) -> Target:
        lessons = self._lessons
        row = lessons.row(host, self.model, self._row, self._circle)
        return Target(self.model, row, host, self._refused | lessons.refused_schemas(host, self.model, self._circle))

    def _is_refused(self, host: HostProfile, request: MessagesRequest) -> bool:
        """Whether upstream is known to reject this combination of schemas; if so, write the request without them."""
        if not request.schemas:
            return False
        schemas = frozenset(request.schemas.values())
        if not self._lessons.refuses_together(host, self.model, schemas, self._circle):
            return False
        self._refused |= schemas
        return True
