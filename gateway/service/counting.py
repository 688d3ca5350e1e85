"""Counting the tokens of a translated request, with a key of the pool but not at the expense of its messages."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from gateway.service.answers import TextExchange
from gateway.service.exchange import NoAnswerError
from gateway.service.ports import Call, Endpoint, Upstream, UpstreamAnswer
from gateway.service.services import Candidate, Services
from translators.errors import Failure
from translators.hosts import HostProfile
from translators.messages.counting import counted_tokens, for_counting
from translators.messages.messages_request import MessagesRequest

PATH: Final = "/v1/messages/count_tokens"
_MAX_ANSWER_BYTES: Final = 64 * 1024


def limits_of(model: str) -> str:
    """The name of a model's limits for counting: they are its own, and not every host offers it."""
    return f"{model} (count_tokens)"


def counting_services(services: Services) -> Services:
    """The services for calls to the token counter."""
    return replace(services, upstream=_Counter(services.upstream))


def counting(candidate: Candidate[MessagesRequest]) -> Candidate[MessagesRequest]:
    """The candidate whose requests are counted instead of answered."""
    counted = _Counted(candidate)
    return msgspec.structs.replace(
        candidate, write=counted, learn=counted.learn, explain=counted.explain, limits=limits_of(candidate.model)
    )


async def count_tokens(exchange: TextExchange) -> int:
    """How many tokens upstream counts; raises `FailedError`."""
    async for attempt in exchange:
        async with attempt:
            answer = await attempt.open()
            return counted_tokens(await answer.read(_MAX_ANSWER_BYTES))
    raise NoAnswerError


@dataclass(frozen=True, slots=True)
class _Counter:
    """The network, with another path."""

    inner: Upstream

    def open(self, endpoint: Endpoint, call: Call) -> AbstractAsyncContextManager[UpstreamAnswer]:
        return self.inner.open(endpoint, msgspec.structs.replace(call, path=PATH))


class _Counted:
    """Writes a candidate's requests for the counter; what is learned or explained is about those that it wrote."""

    def __init__(self, candidate: Candidate[MessagesRequest]) -> None:
        self._candidate = candidate
        # What was written, and the same for the counter.
        self._known: list[tuple[MessagesRequest, MessagesRequest]] = []

    def __call__(self, host: HostProfile, is_home: bool) -> MessagesRequest:
        written = self._candidate.write(host, is_home)
        for known, counted in self._known:
            if known is written:
                return counted
        counted = for_counting(written)
        self._known.append((written, counted))
        return counted

    def learn(self, host: HostProfile, message: str, sent: MessagesRequest) -> None:
        self._candidate.learn(host, message, self._written(sent))

    async def explain(self, failure: Failure, sent: MessagesRequest) -> Failure:
        explain = self._candidate.explain
        return failure if explain is None else await explain(failure, self._written(sent))

    def _written(self, sent: MessagesRequest) -> MessagesRequest:
        return next(written for written, counted in self._known if counted is sent)
