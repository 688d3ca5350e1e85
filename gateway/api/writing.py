"""A caller's request in its Messages form, written once for each kind of host it goes to."""

import logging

from gateway.api.turns import in_turns
from gateway.proxy.lessons import EVERYBODY, Circle, Lessons
from gateway.proxy.memory import Recollection, TurnMemory
from gateway.telemetry.logs import log_event
from translators.chat.places import located, names_places
from translators.chat.request import MessagesRequest, Options, Target, places_in_steps, write_in_steps, write_request
from translators.chat.turns import Past, refuses_thinking
from translators.errors import Failure
from translators.hosts import HostProfile
from translators.models import ModelRow
from translators.wire.chat import ChatRequest

# How upstream's words for a 400 begin that is about the conversation, parts of which the gateway may have put in.
_ABOUT_MESSAGES = "messages"


class Writer:
    """Writes one request for a host, once for each row that its model has there: a lesson makes another.

    What is recalled of the conversation goes with it to keys of the account that has signed it, and to no others.
    """

    __slots__ = (
        "_chat",
        "_circle",
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
        chat: ChatRequest,
        model: str,
        row: ModelRow,
        options: Options,
        lessons: Lessons,
        memory: TurnMemory,
        recollection: Recollection | None = None,
        circle: Circle = EVERYBODY,
    ) -> None:
        self._chat = chat
        self.model = model
        self._row = row
        self._options = options
        self._lessons = lessons
        self._memory = memory
        self._circle = circle
        # Schemas (hashes) that upstream refuses where they come together, as they do here.
        self._refused: frozenset[str] = frozenset()
        self.recollection = recollection or Recollection()
        # A handful at most, and mostly one; rows take longer to hash than to compare with themselves.
        self._known: list[tuple[Target, Past, MessagesRequest]] = []

    def __call__(self, host: HostProfile, is_home: bool) -> MessagesRequest:
        """The request for a host, in one go where it is not known yet; `is_home`: a key of the account that signed."""
        target, past = self._target(host), self.recollection.past_for(is_home=is_home)
        request = self._find(target, past)
        if request is None:
            request = write_request(self._chat, target, self._options, past)
            self._known.append((target, past, request))
            if self._is_refused(host, request):
                return self(host, is_home)
        return request

    async def write_in_turns(self, host: HostProfile, is_home: bool) -> None:
        """Write the request for a host, so that it is known when it is asked for; others have their turns meanwhile."""
        target, past = self._target(host), self.recollection.past_for(is_home=is_home)
        if self._find(target, past) is None:
            request = await in_turns(write_in_steps(self._chat, target, self._options, past))
            self._known.append((target, past, request))
            if self._is_refused(host, request):
                await self.write_in_turns(host, is_home)

    async def explain(self, failure: Failure, sent: MessagesRequest) -> Failure:
        """A failure with the places of the caller's own body, where upstream has named those of what was sent."""
        if not names_places(failure):
            return failure
        for target, past, request in self._known:
            if request is sent:
                return located(failure, await in_turns(places_in_steps(self._chat, target, self._options, past)))
        return failure

    def _find(self, target: Target, past: Past) -> MessagesRequest | None:
        for known_target, known_past, request in self._known:
            if known_past is past and known_target == target:
                return request
        return None

    def learn(self, host: HostProfile, message: str, sent: MessagesRequest) -> None:
        """Take in a 400 of the host's; what it teaches makes another request of the next call."""
        if self._lessons.learn(host, self.model, self._row, message, self._circle):
            said = "Upstream has corrected what is known of a model"
            log_event(logging.WARNING, said, model=self.model)
            # It may quote the request.
            log_event(logging.DEBUG, "What taught it", model=self.model, said=message)
        elif sent.has_thinking and refuses_thinking(message):
            log_event(logging.WARNING, "Upstream refuses thinking that was sent back to it", model=self.model)
            self._memory.refuse(self.recollection, self._chat.messages)
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
        """Whether upstream is known to refuse the schemas of a request together; then it is to be written without."""
        if not request.schemas:
            return False
        schemas = frozenset(request.schemas.values())
        if not self._lessons.refuses_together(host, self.model, schemas, self._circle):
            return False
        self._refused |= schemas
        return True
