"""Delivers upstream's answers as chat completions: streamed or whole, with one choice or several."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Final, TypeAlias, TypeVar

from gateway.service.attempt import Attempt
from gateway.service.exchange import Exchange, NoAnswerError
from gateway.service.failures import drain
from gateway.service.ports import Client, UpstreamAnswer
from gateway.service.relay import pass_on, relay
from translators.answers.answer import AnswerFold
from translators.answers.answer_types import State
from translators.answers.shape import AnswerShape
from translators.chat.chunks import ChunkStream
from translators.errors import FailedError
from translators.kept.turns import Origin
from translators.messages.messages_request import MessagesRequest
from translators.usage import Usage

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
# A server tool's loop pauses after ten rounds; the maximum number of times that it is continued.
MAX_PAUSES: Final = 10

ChatExchange: TypeAlias = Exchange[MessagesRequest]
ChatAttempt: TypeAlias = Attempt[MessagesRequest]
Answered: TypeAlias = tuple[AnswerFold, AnswerShape]
# Creates the stream of one choice, in the format of the endpoint.
StreamMaker: TypeAlias = Callable[[AnswerShape], ChunkStream]
T = TypeVar("T")


class _Delivery:
    """Delivers a stream, and keeps its turn before the caller can see the end and send the next request."""

    __slots__ = ("_attempt", "_on_begin", "_origin", "stream")

    def __init__(
        self, attempt: ChatAttempt, stream: ChunkStream, on_begin: Callable[[], None], origin: Origin | None
    ) -> None:
        self._attempt = attempt
        self.stream = stream
        self._on_begin = on_begin
        self._origin = origin

    @property
    def is_done(self) -> bool:
        return self.stream.state is State.DONE

    @property
    def is_silent(self) -> bool:
        return self.stream.has_started_block and self.stream.failure is None

    def before_content(self) -> None:
        return

    async def before_end(self) -> None:
        if self._origin is not None:
            await self._attempt.kept_turns.keep(self._origin, self.stream, self._attempt.account)

    def after_piece(self) -> None:
        self._on_begin()


async def stream_chat(
    exchange: ChatExchange, client: Client, make: StreamMaker, on_begin: Callable[[], None] = lambda: None
) -> ChunkStream:
    """Stream one choice; raises `FailedError` if the caller received nothing, or only a part."""
    async for attempt in exchange:
        async with attempt:
            return await _stream(attempt, client, make, on_begin)
    raise NoAnswerError


async def _stream(attempt: ChatAttempt, client: Client, make: StreamMaker, on_begin: Callable[[], None]) -> ChunkStream:
    """Pass one answer on, continuing it after pauses."""
    answer = await attempt.open()
    request = attempt.request
    stream = make(request.shape)
    attempt.record.usage = stream.usage
    delivery = _Delivery(attempt, stream, on_begin, request.origin)
    # Keep the request only if it may have to be sent again.
    paused = request if request.shape.continues_pauses else None
    del request
    try:
        await relay(attempt, answer, delivery, client)
        for _ in range(MAX_PAUSES):
            if paused is None or stream.state is not State.PAUSED:
                return stream
            paused = paused.continued(stream.pause())
            async with attempt.again(paused) as more:
                await relay(attempt, more, delivery, client)
        if stream.state is State.PAUSED:
            # The maximum was reached: what has arrived is the answer.
            await pass_on(attempt, delivery, stream.give_up(), client)
        return stream
    finally:
        # The log tells it of a stream that has failed or was cut, too.
        attempt.progress.stop_reason = stream.stop_reason


async def fetch_chat(exchange: ChatExchange, on_begin: Callable[[], None] = lambda: None) -> Answered:
    """One whole answer, and the shape that the caller wants it in; raises `FailedError`."""
    async for attempt in exchange:
        async with attempt:
            return await _fetch(attempt, on_begin)
    raise NoAnswerError


async def _fetch(attempt: ChatAttempt, on_begin: Callable[[], None]) -> Answered:
    """One whole answer. If the model was told in words to call a tool and did not, it is asked once more."""
    answer = await attempt.open()
    on_begin()
    request = attempt.request
    fold = await _collect(attempt, answer, request)
    if request.expects_call and not fold.calls:
        fold = await _ask_again(attempt, request, fold)
    if request.origin is not None:
        await attempt.kept_turns.keep(request.origin, fold, attempt.account)
    attempt.progress.stop_reason = fold.stop_reason
    return fold, request.shape


async def _ask_again(attempt: ChatAttempt, request: MessagesRequest, first: AnswerFold) -> AnswerFold:
    """The answer to the same request once more; if that fails, the first one, which is paid for.

    The answer and the record include the usage of both, also if the caller disconnects meanwhile.
    """
    try:
        async with attempt.again(request) as answer:
            return await _collect(attempt, answer, request, first.usage)
    except FailedError:
        return first


async def _collect(
    attempt: ChatAttempt, answer: UpstreamAnswer, request: MessagesRequest, used: Usage | None = None
) -> AnswerFold:
    """One whole answer, continued after pauses; its usage is added to what was `used` before."""
    fold = AnswerFold(request.shape)
    if used is not None:
        used.begin_another()
        fold.usage = used
    # Recorded from the first event on, whatever happens to the rest.
    attempt.record.usage = fold.usage
    if not request.streams:
        fold.read_whole(await answer.read(MAX_ANSWER_BYTES))
        return fold
    await _fold(answer, fold)
    for _ in range(MAX_PAUSES):
        if fold.state is not State.PAUSED:
            return fold
        request = request.continued(fold.pause())
        async with attempt.again(request) as more:
            await _fold(more, fold)
    if fold.state is State.PAUSED:
        fold.give_up()
    return fold


async def _fold(answer: UpstreamAnswer, fold: AnswerFold) -> None:
    while data := await answer.receive():
        fold.feed(data)
        if fold.is_over:
            if not fold.is_cut:
                await drain(answer)
            return
    fold.end()


async def stream_choices(
    exchanges: Sequence[ChatExchange],
    client: Client,
    makers: Sequence[StreamMaker],
    *,
    choices_per_prompt: int,
    share_cache: bool,
) -> None:
    """Stream several choices in one response, each with its maker; one failure fails all.

    With `share_cache` the first choice fills the prompt cache for the others: they start after its first event.
    """
    order = _OpeningOrder(client, len(exchanges))
    start_order = _StartOrder(len(exchanges), choices_per_prompt, share_cache)

    async def run(index: int, exchange: ChatExchange) -> ChunkStream:
        await start_order.wait(index, exchange)
        return await stream_chat(exchange, order.client(index), makers[index], partial(start_order.begin, index))

    streams = await _all([run(index, exchange) for index, exchange in enumerate(exchanges)])
    usage = usage_of_choices([stream.usage for stream in streams], choices_per_prompt)
    await client.finish(streams[-1].closing(usage))


async def fetch_choices(
    exchanges: Sequence[ChatExchange], *, choices_per_prompt: int, share_cache: bool
) -> list[Answered]:
    """The whole choices, in order; one failure fails all."""
    if len(exchanges) == 1:
        return [await fetch_chat(exchanges[0])]
    start_order = _StartOrder(len(exchanges), choices_per_prompt, share_cache)

    async def run(index: int, exchange: ChatExchange) -> Answered:
        await start_order.wait(index, exchange)
        return await fetch_chat(exchange, partial(start_order.begin, index))

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

    async def wait(self, index: int, exchange: ChatExchange) -> None:
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
