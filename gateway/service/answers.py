"""Delivers one answer of upstream in the format of an endpoint, streamed or whole."""

from collections.abc import Awaitable, Callable
from typing import Final, Generic, Protocol, TypeAlias, TypeVar

from msgspec import Struct

from gateway.service.attempt import Attempt
from gateway.service.exchange import Exchange, NoAnswerError
from gateway.service.failures import drain
from gateway.service.kept import Answer
from gateway.service.ports import Client, UpstreamAnswer
from gateway.service.relay import Stream, pass_on, relay
from translators.answers.answer import AnswerFold
from translators.answers.answer_types import State
from translators.answers.recorder import Block
from translators.answers.shape import AnswerShape
from translators.errors import FailedError
from translators.kept.turns import Origin
from translators.messages.messages_request import MessagesRequest
from translators.usage import Usage

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
# A server tool's loop pauses after ten rounds; the maximum number of times that it is continued.
MAX_PAUSES: Final = 10

TextExchange: TypeAlias = Exchange[MessagesRequest]
TextAttempt: TypeAlias = Attempt[MessagesRequest]
Answered: TypeAlias = tuple[AnswerFold, AnswerShape]
A = TypeVar("A")


class AnswerStream(Stream, Answer, Protocol):
    """Translates one upstream stream into the format of an endpoint."""

    usage: Usage

    @property
    def seen_bytes(self) -> int: ...

    @property
    def state(self) -> State: ...

    @property
    def has_started_block(self) -> bool: ...

    def pause(self) -> list[Block]:
        """The content of a paused turn, to be sent back; what upstream says next continues the answer."""
        ...

    def give_up(self) -> bytes:
        """The end of a turn that has paused too often."""
        ...


class Choice(Struct, Generic[A], frozen=True):
    """How one choice of a response is made: `make` creates its stream, or what collects the whole answer.

    `before_end` is awaited before the end of a stream is sent, or any part of a whole answer.
    """

    make: Callable[[AnswerShape], A]
    before_end: Callable[[A], Awaitable[None]] | None = None


StreamedChoice: TypeAlias = Choice[AnswerStream]
WholeChoice: TypeAlias = Choice[AnswerFold]


class _Delivery:
    """Delivers a stream, and keeps its turn before the caller can see the end and send the next request."""

    __slots__ = ("_attempt", "_before_end", "_on_begin", "_origin", "stream")

    def __init__(
        self,
        attempt: TextAttempt,
        stream: AnswerStream,
        choice: StreamedChoice,
        on_begin: Callable[[], None],
        origin: Origin | None,
    ) -> None:
        self._attempt = attempt
        self.stream = stream
        self._before_end = choice.before_end
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
        if self._before_end is not None:
            await self._before_end(self.stream)

    def after_piece(self) -> None:
        self._on_begin()


async def stream_answer(
    exchange: TextExchange, client: Client, choice: StreamedChoice, on_begin: Callable[[], None] = lambda: None
) -> AnswerStream:
    """Stream one choice; raises `FailedError` if the caller received nothing, or only a part."""
    async for attempt in exchange:
        async with attempt:
            return await _stream(attempt, client, choice, on_begin)
    raise NoAnswerError


async def _stream(
    attempt: TextAttempt, client: Client, choice: StreamedChoice, on_begin: Callable[[], None]
) -> AnswerStream:
    """Pass one answer on, continuing it after pauses."""
    answer = await attempt.open()
    request = attempt.request
    stream = choice.make(request.shape)
    attempt.watch(stream)
    delivery = _Delivery(attempt, stream, choice, on_begin, request.origin)
    # Keep the request only if it may have to be sent again.
    paused = request if request.shape.continues_pauses else None
    del request
    try:
        await relay(attempt, answer, delivery, client)
        for _ in range(MAX_PAUSES):
            if paused is None or stream.state is not State.PAUSED:
                return stream
            if not attempt.may_go_on():
                break
            paused = paused.continued(stream.pause())
            async with attempt.again(paused) as more:
                await relay(attempt, more, delivery, client)
        if stream.state is State.PAUSED:
            # The maximum was reached, or what may be spent: what has arrived is the answer.
            await pass_on(attempt, delivery, stream.give_up(), client)
        return stream
    finally:
        # In `finally`, so that the log also has it for streams that failed.
        attempt.stopped_for(stream.stop_reason)


async def fetch_answer(
    exchange: TextExchange, choice: WholeChoice, on_begin: Callable[[], None] = lambda: None
) -> Answered:
    """One whole answer, and the shape that the caller wants it in; raises `FailedError`."""
    async for attempt in exchange:
        async with attempt:
            return await _fetch(attempt, choice, on_begin)
    raise NoAnswerError


async def _fetch(attempt: TextAttempt, choice: WholeChoice, on_begin: Callable[[], None]) -> Answered:
    """One whole answer. If the model was told in words to call a tool and did not, it is asked once more."""
    answer = await attempt.open()
    on_begin()
    request = attempt.request
    fold = await _collect(attempt, answer, request, choice.make(request.shape))
    if request.expects_call and not fold.calls and attempt.may_go_on():
        fold = await _ask_again(attempt, request, fold, choice)
    if request.origin is not None:
        await attempt.kept_turns.keep(request.origin, fold, attempt.account)
    if choice.before_end is not None:
        await choice.before_end(fold)
    attempt.stopped_for(fold.stop_reason)
    return fold, request.shape


async def _ask_again(
    attempt: TextAttempt, request: MessagesRequest, first: AnswerFold, choice: WholeChoice
) -> AnswerFold:
    """The answer to the same request once more; if that fails, the first one, which is paid for.

    The answer and the record include the usage of both, also if the caller disconnects meanwhile.
    """
    try:
        async with attempt.again(request) as answer:
            return await _collect(attempt, answer, request, choice.make(request.shape), first.usage)
    except FailedError:
        return first


async def _collect(
    attempt: TextAttempt,
    answer: UpstreamAnswer,
    request: MessagesRequest,
    fold: AnswerFold,
    used: Usage | None = None,
) -> AnswerFold:
    """Collect one whole answer in `fold`, continued after pauses; its usage is added to what was `used` before."""
    if used is not None:
        used.begin_another()
        fold.usage = used
    # Recorded from the first event on, whatever happens to the rest.
    attempt.watch(fold)
    if not request.streams:
        fold.read_whole(await answer.read(MAX_ANSWER_BYTES))
        return fold
    await _fold(answer, fold)
    for _ in range(MAX_PAUSES):
        if fold.state is not State.PAUSED:
            return fold
        if not attempt.may_go_on():
            break
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
