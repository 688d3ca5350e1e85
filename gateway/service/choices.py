"""Several choices in one response: when each may start, and how their streams are joined to one."""

import asyncio
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import TypeVar

from gateway.service.answers import (
    Answered,
    AnswerStream,
    StreamedChoice,
    TextExchange,
    WholeChoice,
    fetch_answer,
    stream_answer,
)
from gateway.service.ports import Client
from translators.errors import FailedError
from translators.usage import Usage

T = TypeVar("T")


async def stream_choices(
    exchanges: Sequence[TextExchange],
    client: Client,
    choices: Sequence[StreamedChoice],
    *,
    choices_per_prompt: int,
    share_cache: bool,
) -> list[AnswerStream]:
    """Stream several choices in one response, but not its end; one failure fails all.

    With `share_cache` the first choice fills the prompt cache for the others: they start after its first event.
    """
    order = _OpeningOrder(client, len(exchanges))
    start_order = _StartOrder(len(exchanges), choices_per_prompt, share_cache)

    async def run(index: int, exchange: TextExchange) -> AnswerStream:
        await start_order.wait(index, exchange)
        return await stream_answer(exchange, order.client(index), choices[index], partial(start_order.begin, index))

    return await _all([run(index, exchange) for index, exchange in enumerate(exchanges)])


async def fetch_choices(
    exchanges: Sequence[TextExchange], choices: Sequence[WholeChoice], *, choices_per_prompt: int, share_cache: bool
) -> list[Answered]:
    """The whole choices, in order; one failure fails all."""
    if len(exchanges) == 1:
        return [await fetch_answer(exchanges[0], choices[0])]
    start_order = _StartOrder(len(exchanges), choices_per_prompt, share_cache)

    async def run(index: int, exchange: TextExchange) -> Answered:
        await start_order.wait(index, exchange)
        return await fetch_answer(exchange, choices[index], partial(start_order.begin, index))

    return await _all([run(index, exchange) for index, exchange in enumerate(exchanges)])


def usage_of_choices(usages: Sequence[Usage], choices_per_prompt: int) -> Usage:
    """The usage for the caller: each prompt once, the outputs added up."""
    if len(usages) == 1:
        return usages[0]
    total = Usage()
    for index, usage in enumerate(usages):
        if index % choices_per_prompt == 0:
            total.add(usage)
        else:
            total.add_choice(usage)
    return total


class _StartOrder:
    """When a choice may start: with a shared cache, after the first choice of its prompt has begun."""

    def __init__(self, choices: int, choices_per_prompt: int, share_cache: bool) -> None:
        self._per_prompt = choices_per_prompt
        self._begun = [asyncio.Event() for _ in range(0, choices, choices_per_prompt)] if share_cache else []

    async def wait(self, index: int, exchange: TextExchange) -> None:
        """Wait until a choice may start, which is some time after its request was prepared."""
        if self._begun and index % self._per_prompt:
            await self._begun[index // self._per_prompt].wait()
        exchange.forms.expect_changes()

    def begin(self, index: int) -> None:
        """Upstream has begun to answer a choice, so its prompt is in the cache."""
        if self._begun:
            self._begun[index // self._per_prompt].set()


class _OpeningOrder:
    """Lets choices open in the order of their indices, as api.openai.com does; the Python SDK relies on this."""

    def __init__(self, client: Client, count: int) -> None:
        self._client = client
        self._held: list[list[bytes]] = [[] for _ in range(count)]
        self._next = 0

    def client(self, index: int) -> "_ChoiceClient":
        """The caller's side for one choice."""
        return _ChoiceClient(self, self._client, index)

    def has_opened(self, index: int) -> bool:
        """Whether the first piece of a choice was sent."""
        return index < self._next

    async def write(self, index: int, data: bytes) -> None:
        """Send a piece of a choice, or hold it until the choices before it have opened."""
        self._held[index].append(data)
        if index > self._next:
            return
        while index <= self._next < len(self._held) and self._held[self._next]:
            self._next += 1
        ready, self._held[index] = self._held[index], []
        for later in range(index + 1, self._next):
            ready += self._held[later]
            self._held[later] = []
        await self._client.write(b"".join(ready))


class _ChoiceClient:
    """The caller's side for one choice: finishing a choice does not finish the stream."""

    def __init__(self, order: _OpeningOrder, client: Client, index: int) -> None:
        self._order = order
        self._client = client
        self._index = index

    async def begin(self) -> None:
        await self._client.begin()

    async def write(self, data: bytes) -> None:
        await self._order.write(self._index, data)

    async def finish(self, data: bytes) -> None:
        await self._order.write(self._index, data)

    @property
    def is_full(self) -> bool:
        return self._client.is_full

    async def drained(self) -> None:
        await self._client.drained()

    @property
    def takes_pushes(self) -> bool:
        # Once it has opened, a choice does not wait for others.
        return self._order.has_opened(self._index) and self._client.takes_pushes

    def push(self, data: bytes) -> bool:
        return self._client.push(data)


async def _all(choices: Sequence[Coroutine[object, object, T]]) -> list[T]:
    """All results; the first failure cancels the others and is raised unwrapped."""
    try:
        return await _grouped(choices)
    except asyncio.CancelledError as error:
        # The group's frame refers to it, as its traceback to the frame: a circle keeps the request in memory.
        raise error.with_traceback(None) from None


async def _grouped(choices: Sequence[Coroutine[object, object, T]]) -> list[T]:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(choice) for choice in choices]
    except* FailedError as failures:
        first = failures.exceptions[0]
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        failed = first
    else:
        return [task.result() for task in tasks]
    raise failed
