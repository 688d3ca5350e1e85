"""`POST /v1/responses`: reads a request with its earlier items, renders its response, and keeps it."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

from msgspec import Raw, Struct
from msgspec.structs import replace
from starlette.types import Scope

from gateway.accounts.auth import Caller
from gateway.accounts.visits import Visit
from gateway.doors.background import BackgroundJob, BackgroundParts
from gateway.doors.door import Job
from gateway.doors.generation import GenerationJob, Task, TextEndpoint
from gateway.doors.records import RequestSummary
from gateway.doors.rendering import Opening, RenderedStream
from gateway.doors.wishes import NO_TEXT, size_of
from gateway.edge.slices import LARGE_BYTES, in_slices
from gateway.service.answers import Answered, AnswerStream, Choice, StreamedChoice, WholeChoice
from gateway.service.one_at_a_time import one_at_a_time
from gateway.service.ports import Seal, Seals
from gateway.service.responses import Chain, StoredResponse, answered, new_response_id
from gateway.service.routing import Aliases
from gateway.service.services import Services
from gateway.telemetry.logs import log_event
from translators.answers.answer import AnswerFold
from translators.answers.shape import AnswerShape
from translators.errors import ErrorKind, FailedError, Failure
from translators.intent import Intent
from translators.reading import is_null
from translators.responses.answer import ResponsesAnswer, ResponsesReader
from translators.responses.events import failure_events, keepalive_event
from translators.responses.frame import ResponsesFrame
from translators.responses.read import ReadBody, read_body, read_body_in_steps
from translators.responses.request import ResponsesRequest, read_request, read_request_in_steps
from translators.responses.settings import ENCRYPTED_REASONING
from translators.responses.stream import ResponsesStream
from translators.text_size import TextSize
from translators.usage import Usage

SEARCH_SOURCES: Final = "web_search_call.action.sources"
CODE_OUTPUTS: Final = "code_interpreter_call.outputs"
_NO_SETTINGS: Final[Mapping[str, Raw]] = {}
_NOTHING_BEFORE: Final = Chain()
_READING: Final = b"reading\0"
NOTHING_ASKED: Final = Intent([])
_NOTHING_REFERRED: Final[Mapping[str, bytes]] = {}
_FALSE: Final = Raw(b"false")
_TOO_LARGE: Final = "The answer is too large to be kept, as answers in the background have to be."
R = TypeVar("R", ResponsesStream, ResponsesAnswer)


class Responses(TextEndpoint):
    """Reads a Responses request together with the items before it, and chooses how its response is rendered."""

    async def _task(self, scope: Scope, body: bytes, caller: Caller) -> Task:
        is_large = len(body) > LARGE_BYTES
        read = await in_slices(read_body_in_steps(body)) if is_large else read_body(body)
        before, stored = _NOTHING_BEFORE, NO_TEXT
        if read.continues or read.references or read.unsealed:
            reading = self._with_state(read, caller, is_large=is_large)
            request, before, is_large, stored = await answered(one_at_a_time(_READING + caller.scope, reading))
        elif is_large:
            request = await in_slices(read_request_in_steps(read, self._seal(read, caller)))
        else:
            request = read_request(read, self._seal(read, caller))
        metadata = None if is_null(read.body.metadata) else bytes(read.body.metadata).decode()
        # What is made in the background is always made event by event.
        is_stream, intent = request.stream or request.background, request.intent
        if request.background:
            intent = replace(intent, streams=True)
        asked = RequestSummary(request.model, is_stream, metadata=metadata)
        # What is asked is no longer needed once upstream answers.
        request.intent = NOTHING_ASKED
        rendering = ResponseRendering(request, Keeper(self._services, caller.scope, before), self.now)
        return Task(asked, [intent], rendering, is_large, stored)

    async def _with_state(
        self, read: ReadBody, caller: Caller, *, is_large: bool
    ) -> tuple[ResponsesRequest, Chain, bool, TextSize]:
        """The request with what is stored of its conversation, whether all of it is large, and the stored text."""
        before = await _before(self._services, caller.scope, read)
        referred = await _referred(self._services, caller.scope, read)
        is_large = is_large or sum(map(len, before.items)) + sum(map(len, referred.values())) > LARGE_BYTES
        stored = NO_TEXT
        for item in (*before.items, *referred.values()):
            stored = stored.with_more(await size_of(item))
        # What stands before is no longer needed once it is read.
        rest, seal = replace(before, items=()), self._seal(read, caller)
        if is_large:
            request = await in_slices(read_request_in_steps(read, seal, before.items, referred))
        else:
            request = read_request(read, seal, before.items, referred)
        return request, rest, is_large, stored

    def _seal(self, read: ReadBody, caller: Caller) -> "LateSeal":
        return LateSeal(self._services.seals, caller.scope, read.body.model, self._aliases)

    def _is_live(self, task: Task) -> bool:
        rendering = task.rendering
        return task.asked.is_stream and not (isinstance(rendering, ResponseRendering) and rendering.request.background)

    def _answering(self, job: GenerationJob, visit: Visit) -> Job:
        rendering = job.rendering
        if not isinstance(rendering, ResponseRendering) or not rendering.request.background:
            return job
        self._services.background.check(visit.caller.scope)
        request, frame = rendering.request, rendering.begin(self.now(), job.progress[0].model)
        record = partial(rendering.keeper.record, request, frame)
        parts = BackgroundParts(self._services, self._interrupts, self._ending, self.keepalive_seconds)
        return BackgroundJob(job, frame, record, parts, visit, shows_events=request.stream)


async def _before(services: Services, whose: bytes, read: ReadBody) -> Chain:
    """The items that stand before those of a request."""
    if (previous := read.previous_response_id) is not None:
        return await services.responses.items_before(whose, previous)
    if (conversation := read.conversation) is not None:
        return Chain(tuple(await services.conversations.items(whose, conversation)))
    return _NOTHING_BEFORE


async def _referred(services: Services, whose: bytes, read: ReadBody) -> Mapping[str, bytes]:
    """The stored items that a request refers to or whose seal it lacks, as far as they are found."""
    if not (read.references or read.unsealed):
        return _NOTHING_REFERRED
    try:
        return await services.responses.items(whose, read.references, read.unsealed)
    except FailedError:
        if read.references:
            raise
        # Answer the request without that thinking.
        return _NOTHING_REFERRED


class LateSeal(Struct):
    """The seal of the model that a caller names, made when there is something to open: most requests have nothing."""

    seals: Seals
    scope: bytes
    model: str
    aliases: Aliases
    _made: Seal | None = None

    def open(self, text: str) -> Sequence[bytes] | None:
        """The blocks of a text, as `Seal.open` gives them."""
        return self._seal().open(text)

    @property
    def summaries(self) -> Seal:
        """The seal of the same caller for what every model may read."""
        return self._seal().summaries

    def _seal(self) -> Seal:
        if self._made is None:
            self._made = self.seals.for_caller(self.scope, self.aliases.resolve(self.model).id)
        return self._made


class Keeper(Struct, frozen=True):
    """Keeps the response of one request in the store, and appends its items to its conversation.

    The items of `before` are not needed.
    """

    services: Services
    scope: bytes
    before: Chain

    @property
    def is_on(self) -> bool:
        """Whether anything is kept at all."""
        return self.services.responses.is_on

    async def keep(self, request: ResponsesRequest, frame: ResponsesFrame, answer: ResponsesReader) -> None:
        """Keep a complete response; when this returns, a request that continues it finds it.

        Raises `FailedError` if it cannot be appended to its conversation.
        """
        output = tuple(answer.sealed_items())
        record = self.record(request, frame, answer.response(), output=output)
        responses = self.services.responses
        if request.background:
            if not await responses.finish(self.scope, record) and await responses.find(self.scope, record.id):
                raise FailedError(Failure(ErrorKind.TOO_LARGE, _TOO_LARGE))
        elif request.store and not await responses.keep(self.scope, record) and self.is_on:
            log_event(logging.WARNING, "A response was not kept: it, or what it continues, is too long", id=frame.id)
        if request.conversation is not None:
            items = (*record.input_items, *output)
            await self.services.conversations.append(self.scope, request.conversation, items)

    def record(
        self,
        request: ResponsesRequest,
        frame: ResponsesFrame,
        response: bytes,
        unfinished: str = "",
        output: tuple[bytes, ...] = (),
    ) -> StoredResponse:
        """The response as it is stored; `unfinished` and `output` are as in `StoredResponse`."""
        return StoredResponse(
            id=frame.id,
            created_at=frame.created_at,
            model=frame.model,
            response=response,
            input_items=tuple(map(bytes, request.input_items)),
            output_items=output,
            ancestors=self.before.ancestors,
            bytes_before=self.before.bytes_before,
            held_before=self.before.held_before,
            is_background=request.background,
            unfinished=unfinished,
        )


class ResponseRendering(Struct):
    """Renders one response, as events or whole, and keeps it before its end is sent."""

    request: ResponsesRequest
    keeper: Keeper
    now: Callable[[], int]
    choices_per_prompt: int = 1
    _frame: ResponsesFrame | None = None

    def stream(self, opening: Opening, choices: int) -> RenderedStream:
        """The events."""
        frame = self._begun(opening)
        choice: StreamedChoice = Choice(partial(self._made, ResponsesStream, frame, opening), self._keeping())
        # In the background no client waits for a sign of life.
        sign = _nothing if self.request.background else partial(keepalive_event, frame)
        return RenderedStream([choice], sign, failure=partial(failure_events, frame))

    def folds(self, opening: Opening, choices: int) -> Sequence[WholeChoice]:
        """What collects a whole response."""
        frame = self._begun(opening)
        return [Choice(partial(self._made, ResponsesAnswer, frame, opening), self._keeping())]

    def body(self, answers: Sequence[Answered], usage: Usage, opening: Opening) -> bytes:
        """The whole response."""
        return reader_of(answers[0][0]).response()

    def _made(self, kind: type[R], frame: ResponsesFrame, opening: Opening, shape: AnswerShape) -> R:
        # For each attempt, since a fallback model may answer.
        frame.sealer = self.keeper.services.seals.for_caller(self.keeper.scope, opening.model())
        return kind(frame, shape)

    def _keeping(self) -> "Callable[[AnswerStream | AnswerFold], Awaitable[None]] | None":
        """What keeps the response, where anybody wants that."""
        request = self.request
        return self._keep if request.store or request.conversation is not None else None

    async def _keep(self, answer: AnswerStream | AnswerFold) -> None:
        if self._frame is not None:
            await self.keeper.keep(self.request, self._frame, reader_of(answer))

    def _begun(self, opening: Opening) -> ResponsesFrame:
        return self._frame or self.begin(opening.created, opening.model())

    def begin(self, created: int, model: str) -> ResponsesFrame:
        """Begin the response; `created` is Unix seconds, `model` the one that is being asked."""
        request, include = self.request, self.request.include
        settings, stores = request.settings, request.store and self.keeper.is_on
        if not stores and request.store:
            # Tell the client, also if the operator has switched storing off.
            settings = {**settings, "store": _FALSE}
        self._frame = ResponsesFrame(
            new_response_id(),
            created,
            model,
            self.now,
            settings=settings,
            kinds=request.kinds,
            shows_seals=ENCRYPTED_REASONING in include or not stores,
            summarizes=request.compacts_now,
            shows_sources=SEARCH_SOURCES in include,
            shows_outputs=CODE_OUTPUTS in include,
        )
        # The frame has them.
        self.request = replace(request, settings=_NO_SETTINGS)
        return self._frame


def _nothing() -> bytes:
    return b""


def reader_of(answer: AnswerStream | AnswerFold) -> ResponsesReader:
    """The answer as the reader that collects its items."""
    assert isinstance(answer, ResponsesReader), "the rendering makes nothing else"
    return answer
