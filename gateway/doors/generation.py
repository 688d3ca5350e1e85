"""The base of the endpoints that translate (chat, completions, responses): options, candidates, exchanges, delivery."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from msgspec import Struct
from starlette.types import Scope

from gateway.accounts.auth import Caller
from gateway.accounts.visits import Visit
from gateway.doors.betas import BETAS, betas_of
from gateway.doors.door import Door, DoorParts, Job
from gateway.doors.fronts import RenderedFront, Waits
from gateway.doors.records import RequestSummary, answer_headers
from gateway.doors.rendering import Opening, Rendering
from gateway.doors.wishes import (
    NO_TEXT,
    ON_UNSUPPORTED,
    Admitted,
    as_admitted,
    asked_size,
    named,
    options_for,
    stand_ins,
    wish_of,
    within,
)
from gateway.doors.writing import Writer
from gateway.edge.requests import headers_of
from gateway.edge.responder import Responder, responder_of
from gateway.edge.slices import in_slices
from gateway.service.answers import TextExchange, stream_answer
from gateway.service.choices import fetch_choices, stream_choices, usage_of_choices
from gateway.service.exchange import Exchange
from gateway.service.lessons import Lessons, LessonScope
from gateway.service.record import Progress, Record
from gateway.service.services import Candidate
from gateway.service.sightings import Sightings
from translators.beginnings import beginnings_in_steps
from translators.errors import Failure, TranslationError
from translators.intent import Intent
from translators.messages.extensions import RESTRICTED
from translators.messages.messages_request import MessagesRequest
from translators.messages.options import Options
from translators.messages.reasoning import with_wishes
from translators.model_names import Spelling
from translators.models import ModelTable
from translators.native.allowed import Allowed, passing_betas
from translators.prefixes import conversation_prefix
from translators.server_tools import EVERYTHING
from translators.steps import in_one_go
from translators.text_size import TextSize

# What callers with their own key may use: they pay for it, in their own workspace.
_OWNERS_FIELDS: Final = RESTRICTED | {"file_ids"}
_OWNERS_TOOLS: Final = frozenset({EVERYTHING})
_THINKING_BLOCKS: Final = b"x-gateway-thinking-blocks"


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """The operator's settings for translated requests."""

    options: Options
    betas: Allowed = field(default_factory=Allowed)


class Task(Struct, frozen=True):
    """What one request asks for: an intent per choice, of the model that `asked` names, and how answers are rendered.

    `is_large` says that translating it takes longer than one turn of the event loop. `stored` is the size of the texts
    that the body only refers to.
    """

    asked: RequestSummary
    intents: Sequence[Intent]
    rendering: Rendering
    is_large: bool = False
    stored: TextSize = NO_TEXT


class TextEndpoint(Door):
    """The base of the translating endpoints; a subclass reads a body into a `Task`."""

    def __init__(
        self,
        shared: DoorParts,
        *,
        models: ModelTable,
        generation: GenerationSettings,
        lessons: Lessons,
        sightings: Sightings,
        now: Callable[[], float],
    ) -> None:
        super().__init__(shared)
        self._models = models
        self._generation = generation
        self._lessons = lessons
        self._sightings = sightings
        self._now = now

    async def _task(self, scope: Scope, body: bytes, caller: Caller) -> Task:
        raise NotImplementedError

    async def _read(self, scope: Scope, body: bytes, visit: Visit) -> Job:
        caller = visit.caller
        task = await self._task(scope, body, caller)
        size = await asked_size(body, visit, task.stored)
        waits = self._waits(task, responder_of(scope), visit) if visit.is_ruled and self._is_live(task) else None
        admitted, options = await self._admitted(task, self._options(scope, caller), visit, size)
        services = self._services_for(caller)
        exchanges: list[TextExchange] = []
        previous: Intent | None = None
        for intent in task.intents:
            if intent is not previous:
                # The choices of one prompt share their candidates.
                candidates = await self._candidates(intent, task, options, admitted.understood, visit)
                prefix, previous = conversation_prefix(task.asked.model, intent), intent
            exchange = Exchange(services, candidates, caller=caller.name, prefix=prefix, may_go_on=visit.may_go_on)
            admitted.note(exchange.progress)
            if exchanges:
                exchange.belongs_to(exchanges[0])
            exchanges.append(exchange)
        front = waits.front if waits is not None else None
        job = GenerationJob(task.asked, task.rendering, exchanges, self, caller, is_large=task.is_large, front=front)
        return self._answering(job, visit)

    def _is_live(self, task: Task) -> bool:
        """Whether the caller gets the answer as it is made."""
        return task.asked.is_stream

    def _waits(self, task: Task, responder: Responder, visit: Visit) -> Waits[RenderedFront]:
        """Keep the stream alive if it has to wait for a rule."""
        model = named(task.asked.model, self._aliases).understood.id
        choices = len(task.intents)
        visit.waits = waits = Waits(
            visit.waits, lambda: self.front(responder, task.asked, task.rendering, choices=choices, model=model)
        )
        return waits

    def front(
        self, responder: Responder, asked: RequestSummary, rendering: Rendering, *, choices: int, model: str
    ) -> RenderedFront:
        """What keeps a stream alive."""
        return RenderedFront(
            responder,
            self._settings.keepalive_seconds,
            rendering,
            choices=choices,
            created=self.now(),
            include_usage=asked.include_usage,
            model=model,
        )

    async def _admitted(
        self, task: Task, options: Options, visit: Visit, size: TextSize, *, generates: bool = True
    ) -> tuple[Admitted, Options]:
        """The request as the accounts admit it; raises `FailedError` if they do not."""
        model = named(task.asked.model, self._aliases)
        admission = await visit.admit(wish_of(model, task.intents, size, generates=generates))
        result = as_admitted(model.understood, admission, rejects=options.reject_unsupported)
        if (most := admission.max_tokens) is not None:
            options = within(most, task.intents, options)
        return result, options

    def _answering(self, job: "GenerationJob", visit: Visit) -> Job:
        """The job that answers the request; a subclass may put another one around this."""
        return job

    async def _candidates(
        self, asked: Intent, task: Task, options: Options, understood: Spelling, visit: Visit
    ) -> list[Candidate[MessagesRequest]]:
        """One candidate for each model that may answer the prompt."""
        caller, model = visit.caller, understood.id
        others = stand_ins(caller, self._settings.fallbacks.get(model, ()))
        rows = {name: self._models.row(name) for name in (model, *others)}
        intent = with_wishes(asked, understood)
        scope = caller.scope
        memory = self._services.kept_turns
        past = await memory.recollect(intent, scope, rows, in_slices if task.is_large else None)
        if visit.is_strict:
            visit.put_back(max((found.size for found in past.values()), default=0))
        if options.caching == "auto":
            options = await self._with_sharing(options, intent, rows[model].cache_minimum, (model, caller), task)
        # A caller with its own key has its own account's limits, and its lessons apply to nobody else.
        circle = LessonScope(scope, b"" if caller.own_key is None else scope)
        writers = [
            Writer(intent, name, row, options, self._lessons, memory, past.get(name), circle)
            for name, row in rows.items()
        ]
        return [_candidate(writer, is_large=task.is_large) for writer in writers]

    async def _with_sharing(
        self, options: Options, intent: Intent, minimum_tokens: int, whose: tuple[str, Caller], task: Task
    ) -> Options:
        """The options for one prompt, with how much of it other requests shared lately: this places the cache marks."""
        model, caller = whose
        # Callers with their own key have their own caches. Of the key only a hash is stored.
        scope = (model, hash(caller.own_key.reveal()) if caller.own_key else 0)
        steps = beginnings_in_steps(intent, scope, minimum_tokens)
        found = await in_slices(steps) if task.is_large else in_one_go(steps)
        if not found.fingerprints:
            return options
        seen = self._sightings.sight(found.fingerprints, self._services.dispatcher.clock())
        return replace(options, sharing=found.sharing(seen, is_asked_again=task.rendering.choices_per_prompt > 1))

    def _options(self, scope: Scope, caller: Caller) -> Options:
        """The operator's options, changed by the caller's headers."""
        options = options_for(caller, self._generation.options)
        headers = headers_of(scope)
        if caller.own_key is not None:
            options = replace(options, allowed_fields=_OWNERS_FIELDS, server_tools=_OWNERS_TOOLS)
        if BETAS in headers:
            asked = betas_of(scope)
            passing = asked if caller.own_key is not None else passing_betas(asked, self._generation.betas)[0]
            refused = tuple(beta for beta in asked if beta not in passing)
            options = replace(options, betas=passing, refused_betas=refused)
        if headers.get(_THINKING_BLOCKS) == b"1":
            options = replace(options, show_thinking_blocks=True)
        wish = headers.get(ON_UNSUPPORTED)
        if wish is None:
            return options
        if wish not in (b"adjust", b"reject"):
            raise TranslationError(
                "The header x-gateway-on-unsupported has to be 'adjust' or 'reject'.",
                param="x-gateway-on-unsupported",
                code="invalid_value",
            )
        return replace(options, reject_unsupported=wish == b"reject")

    @property
    def keepalive_seconds(self) -> float:
        """The longest that a stream stays silent."""
        return self._settings.keepalive_seconds

    def now(self) -> int:
        """The creation time for answers, in Unix seconds."""
        return int(self._now())


class GenerationJob:
    """One request of a translating endpoint: its choices, each with its exchange."""

    def __init__(
        self,
        asked: RequestSummary,
        rendering: Rendering,
        exchanges: Sequence[TextExchange],
        door: TextEndpoint,
        caller: Caller,
        *,
        is_large: bool,
        front: RenderedFront | None = None,
    ) -> None:
        self.asked = asked
        self.progress: Sequence[Progress] = [exchange.progress for exchange in exchanges]
        self.rendering = rendering
        self._exchanges = exchanges
        self._door = door
        self._names_key = caller.sees_key
        self._is_large = is_large
        self._front = front

    def headers(self, record: Record) -> Mapping[str, str]:
        """How the answer was obtained, and the rate limits of the key that gave it."""
        return answer_headers(record, names_key=self._names_key)

    async def prepare(self) -> bool:
        """Translate all requests, which finds mistakes in them; returns whether the first fills a cache for others."""
        if self._is_large:
            for exchange in self._exchanges:
                await exchange.forms.prepare_in_slices()
        return _fills_cache(self._exchanges)

    async def deliver(self, responder: Responder) -> None:
        share_cache = await self.prepare()
        if self.asked.is_stream:
            await self._stream(responder, share_cache=share_cache)
        else:
            await self._complete(responder, share_cache=share_cache)

    async def explained(self, failure: Failure) -> Failure:
        """The failure with the paths of the caller's own body."""
        for exchange in self._exchanges:
            failure = await exchange.forms.explained(failure)
        return failure

    async def _stream(self, responder: Responder, *, share_cache: bool) -> None:
        exchanges, rendering = self._exchanges, self.rendering
        model = self.progress[0].model
        front = self._front or self._door.front(responder, self.asked, rendering, choices=len(exchanges), model=model)
        front.follow(self.progress)
        rendered = front.rendered
        with front.client as client:
            if len(exchanges) == 1:
                await stream_answer(exchanges[0], client, rendered.choices[0])
                return
            per_prompt = rendering.choices_per_prompt
            streams = await stream_choices(
                exchanges, client, rendered.choices, choices_per_prompt=per_prompt, share_cache=share_cache
            )
            usage = usage_of_choices([stream.usage for stream in streams], per_prompt)
            await client.finish(rendered.closing(streams, usage))

    async def _complete(self, responder: Responder, *, share_cache: bool) -> None:
        rendering, opening = self.rendering, self._opening(responder)
        per_prompt = rendering.choices_per_prompt
        folds = rendering.folds(opening, len(self._exchanges))
        answers = await fetch_choices(self._exchanges, folds, choices_per_prompt=per_prompt, share_cache=share_cache)
        usage = usage_of_choices([answer.usage for answer, _ in answers], per_prompt)
        await responder.send_json(200, rendering.body(answers, usage, opening))

    def _opening(self, responder: Responder) -> Opening:
        progress = self.progress[0]
        return Opening(responder.request_id, self._door.now(), self.asked.include_usage, lambda: progress.model)


def _fills_cache(exchanges: Sequence[TextExchange]) -> bool:
    """Translate all requests, which finds mistakes in them; returns whether the first fills a cache for the others."""
    written = [exchange.forms.prepare() for exchange in exchanges]
    return written[0] is not None and written[0].fills_cache


def _candidate(writer: Writer, *, is_large: bool) -> Candidate[MessagesRequest]:
    return Candidate(
        writer.model,
        writer,
        writer.learn,
        account=writer.recollection.account,
        write_in_slices=writer.write_in_slices if is_large else None,
        explain=writer.explain,
    )
