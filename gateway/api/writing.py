"""A caller's request in its Messages form, written once for each kind of host it goes to."""

import logging

from gateway.api.turns import in_turns
from gateway.proxy.lessons import Lessons
from gateway.telemetry.logs import log_event
from translators.chat.request import MessagesRequest, Options, Target, write_in_steps, write_request
from translators.hosts import HostProfile
from translators.models import ModelRow
from translators.wire.chat import ChatRequest


class Writer:
    """Writes one request for a host, once for each row that its model has there: a lesson makes another."""

    __slots__ = ("_chat", "_known", "_lessons", "_options", "_row", "model")

    def __init__(self, chat: ChatRequest, model: str, row: ModelRow, options: Options, lessons: Lessons) -> None:
        self._chat = chat
        self.model = model
        self._row = row
        self._options = options
        self._lessons = lessons
        # A handful at most, and mostly one; rows take longer to hash than to compare with themselves.
        self._known: list[tuple[Target, MessagesRequest]] = []

    def __call__(self, host: HostProfile) -> MessagesRequest:
        """The request for a host, in one go where it is not known yet."""
        target = self._target(host)
        for place, request in self._known:
            if place == target:
                return request
        request = write_request(self._chat, target, self._options)
        self._known.append((target, request))
        return request

    async def write_in_turns(self, host: HostProfile) -> None:
        """Write the request for a host, so that it is known when it is asked for; others have their turns meanwhile."""
        target = self._target(host)
        self._known.append((target, await in_turns(write_in_steps(self._chat, target, self._options))))

    def learn(self, host: HostProfile, message: str, sent: MessagesRequest) -> None:
        """Take in a 400 of the host's; what it teaches makes another request of the next call."""
        if self._lessons.learn(host, self.model, self._row, message, sent.schemas):
            said = "Upstream has corrected what is known of a model"
            log_event(logging.WARNING, said, model=self.model, said=message)

    def _target(self, host: HostProfile) -> Target:
        lessons = self._lessons
        row = lessons.row(host, self.model, self._row)
        return Target(self.model, row, host, lessons.refused_schemas(host, self.model))
