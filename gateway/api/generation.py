"""What the endpoints that generate text share: callers, options, exchanges, one answer or a stream of it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from starlette.types import Receive, Scope

from gateway.api.auth import Authenticator, Caller
from gateway.api.betas import BETAS, betas_of
from gateway.api.interrupts import Interrupts
from gateway.api.keepalive import StreamClient
from gateway.api.notes import notes_of
from gateway.api.records import answer_headers, note_record
from gateway.api.requests import header
from gateway.api.responder import Responder, responder_of
from gateway.api.silence import Silence
from gateway.api.turns import in_turns
from gateway.api.writing import Writer
from gateway.proxy.chat import (
    Answered,
    ChatExchange,
    StreamMaker,
    fetch_choices,
    stream_chat,
    stream_choices,
    usage_of_choices,
)
from gateway.proxy.exchange import Exchange
from gateway.proxy.lessons import Circle, Lessons
from gateway.proxy.ports import Endpoint
from gateway.proxy.record import record_of
from gateway.proxy.routing import Aliases
from gateway.proxy.services import Candidate, Services
from gateway.proxy.sightings import Sightings
from gateway.proxy.totals import Totals
from gateway.secret import Secret
from translators.beginnings import beginnings_in_steps
from translators.chat.chunks import StreamFrame
from translators.chat.extensions import RESTRICTED
from translators.chat.reasoning import with_wishes
from translators.chat.request import MessagesRequest, Options
from translators.errors import FailedError, TranslationError
from translators.models import ModelTable
from translators.native.allowed import Allowed, passing_betas
from translators.prefixes import chat_prefix
from translators.reading import is_null
from translators.server_tools import EVERYTHING
from translators.steps import in_one_go
from translators.usage import Usage
from translators.wire.chat import ChatRequest

# What callers with a key of their own may use: it is their bill, and their workspace.
_OWNERS_FIELDS: Final = RESTRICTED | {"file_ids"}
_OWNERS_TOOLS: Final = frozenset({EVERYTHING})


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """What the operator decided about generated text."""

    options: Options
    max_body_bytes: int
    keepalive_seconds: float
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    betas: Allowed = field(default_factory=Allowed)


class Task(NamedTuple):
    """What one request asks for, in the terms of its endpoint: a chat request for each choice, and the answer's form.

    `makers` gives the streams for a frame, `body` the whole answer for answers, their usage and the time;
    `is_large` says that the request takes more than a turn of
    the loop, `param_names` what the endpoint calls fields that chat completions call otherwise.
    """

    chats: list[ChatRequest]
    makers: Callable[[StreamFrame], Sequence[StreamMaker]]
    body: Callable[[Sequence[Answered], Usage, int], bytes]
    id_prefix: str
    choices_per_prompt: int = 1
    reports: bool = False
    is_large: bool = False
    param_names: Mapping[str, str] = {}


class Generator:
    """The base of the endpoints that generate text."""

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        services: Services,
        own_endpoint: Callable[[Secret], Endpoint],
        aliases: Aliases,
        models: ModelTable,
        settings: GenerationSettings,
        interrupts: Interrupts,
        lessons: Lessons,
        sightings: Sightings,
        totals: Totals,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._authenticator = authenticator
        self._services = services
        self._own_endpoint = own_endpoint
        self._aliases = aliases
        self._models = models
        self._settings = settings
        self._interrupts = interrupts
        self._lessons = lessons
        self._sightings = sightings
        self._totals = totals
        self._clock = clock

    async def _answer(self, scope: Scope, receive: Receive, caller: Caller, task: Task) -> None:
        """Answer a task, streamed or whole."""
        responder = responder_of(scope)
        services = self._services_for(caller)
        asked = _asked(task.chats[0])
        writers = await self._writers(task, self._options(scope, caller), caller)
        prefixes = [chat_prefix(chat) for chat in task.chats]
        # From here on a request is held by those who may have to send it, and by nobody else.
        task.chats.clear()
        exchanges = [
            Exchange(services, _candidates(own, is_large=task.is_large), caller=caller.name, prefix=prefix)
            for own, prefix in zip(writers, prefixes, strict=True)
        ]
        for other in exchanges[1:]:
            other.belongs_to(exchanges[0])
        progress = [exchange.progress for exchange in exchanges]
        responder.more_headers = lambda: answer_headers(record_of(progress), names_key=caller.sees_key)
        try:
            async with self._interrupts.watch(scope, receive, responder):
                del writers
                if task.is_large:
                    for exchange in exchanges:
                        await exchange.prepare_in_turns()
                share_cache = _fills_cache(exchanges)
                if asked.is_stream:
                    await self._stream(task, asked, exchanges, responder, share_cache)
                else:
                    await self._complete(task, exchanges, responder, share_cache)
        except FailedError as error:
            failure = error.failure
            for exchange in exchanges:
                failure = await exchange.explained(failure)
            renamed = task.param_names.get((failure.param or "").partition("[")[0], failure.param)
            raise FailedError(replace(failure, param=renamed)) from error
        finally:
            record = record_of(progress)
            notes = notes_of(scope)
            note_record(notes, record, caller=caller, model=asked.model, is_stream=asked.is_stream)
            if asked.metadata is not None:
                notes.words["metadata"] = asked.metadata
            self._totals.note(caller.name, record.used)

    async def _stream(
        self,
        task: Task,
        asked: "_Asked",
        exchanges: Sequence[ChatExchange],
        responder: Responder,
        share_cache: bool,
    ) -> None:
        def is_asking() -> bool:
            return any(exchange.is_asking for exchange in exchanges)

        own_id = f"{task.id_prefix}-{responder.request_id}"
        frame = StreamFrame(int(self._clock()), asked.include_usage, choices=len(exchanges), reports=task.reports)
        if len(exchanges) > 1:
            # Several answers have several ids upstream; the caller's stream has one.
            frame.id = own_id
        progress = exchanges[0].progress
        silence = Silence(frame, task.makers(frame), own_id=own_id, model=lambda: progress.model)
        sign, interval = silence.sign_of_life, self._settings.keepalive_seconds
        with StreamClient(responder, interval, sign, is_asking=is_asking) as client:
            if len(exchanges) == 1:
                await stream_chat(exchanges[0], client, silence.makers[0])
                return
            await stream_choices(
                exchanges,
                client,
                silence.makers,
                choices_per_prompt=task.choices_per_prompt,
                share_cache=share_cache,
            )

    async def _complete(
        self, task: Task, exchanges: Sequence[ChatExchange], responder: Responder, share_cache: bool
    ) -> None:
        answers = await fetch_choices(exchanges, choices_per_prompt=task.choices_per_prompt, share_cache=share_cache)
        usage = usage_of_choices([answer.usage for answer, _ in answers], task.choices_per_prompt)
        await responder.send_json(200, task.body(answers, usage, int(self._clock())))

    def _services_for(self, caller: Caller) -> Services:
        if caller.own_key is None:
            return self._services
        return self._services.for_caller(self._own_endpoint(caller.own_key), caller.scope)

    async def _writers(self, task: Task, options: Options, caller: Caller) -> list[list[Writer]]:
        """Who writes each request for each model that may answer it; the choices of one prompt share theirs."""
        understood = self._aliases.resolve(task.chats[0].model)
        model = understood.id
        rows = {name: self._models.row(name) for name in (model, *self._settings.fallbacks.get(model, ()))}
        memory = self._services.memory
        scope = caller.scope
        # Whoever brings a key has limits of its account's own, and teaches nobody else.
        circle = Circle(scope, b"" if caller.own_key is None else scope)
        writers: dict[int, list[Writer]] = {}
        for asked in task.chats:
            if id(asked) not in writers:
                chat = with_wishes(asked, understood)
                past = await memory.recollect(chat, scope, rows, in_turns if task.is_large else None)
                own = await self._with_sharing(options, chat, model, caller, task)
                writers[id(asked)] = [
                    Writer(chat, name, row, own, self._lessons, memory, past.get(name), circle)
                    for name, row in rows.items()
                ]
        return [writers[id(chat)] for chat in task.chats]

    async def _with_sharing(
        self, options: Options, chat: ChatRequest, model: str, caller: Caller, task: Task
    ) -> Options:
        """The options for one prompt, with how much of it was seen lately where that decides about cache marks."""
        if options.caching != "auto":
            return options
        # Who brought a key has caches of their own. What is kept of the key is a hash in a hash.
        scope = (model, hash(caller.own_key.reveal()) if caller.own_key else 0)
        steps = beginnings_in_steps(chat, scope, self._models.row(model).cache_minimum)
        found = await in_turns(steps) if task.is_large else in_one_go(steps)
        if not found.fingerprints:
            return options
        seen = self._sightings.sight(found.fingerprints, self._services.dispatcher.clock())
        return replace(options, sharing=found.sharing(seen, is_asked_again=task.choices_per_prompt > 1))

    def _options(self, scope: Scope, caller: Caller) -> Options:
        """The operator's options with the caller's own wishes, which come as headers."""
        options = self._settings.options
        if caller.own_key is not None:
            options = replace(options, allowed_fields=_OWNERS_FIELDS, server_tools=_OWNERS_TOOLS)
        if header(scope, BETAS) is not None:
            asked = betas_of(scope)
            passing = asked if caller.own_key is not None else passing_betas(asked, self._settings.betas)[0]
            refused = tuple(beta for beta in asked if beta not in passing)
            options = replace(options, betas=passing, refused_betas=refused)
        if header(scope, b"x-gateway-thinking-blocks") == "1":
            options = replace(options, show_thinking_blocks=True)
        wish = header(scope, b"x-gateway-on-unsupported")
        if wish is None:
            return options
        if wish not in ("adjust", "reject"):
            raise TranslationError(
                "The header x-gateway-on-unsupported has to be 'adjust' or 'reject'.",
                param="x-gateway-on-unsupported",
                code="invalid_value",
            )
        return replace(options, reject_unsupported=wish == "reject")


def _candidates(writers: Sequence[Writer], *, is_large: bool) -> list[Candidate[MessagesRequest]]:
    return [
        Candidate(
            writer.model,
            writer,
            writer.learn,
            account=writer.recollection.account,
            write_in_turns=writer.write_in_turns if is_large else None,
            explain=writer.explain,
        )
        for writer in writers
    ]


def _fills_cache(exchanges: Sequence[ChatExchange]) -> bool:
    """Translate all, and say whether the first fills a cache that the others, once it has, can share."""
    written, *_ = [exchange.prepare() for exchange in exchanges]
    return written is not None and written.fills_cache


class _Asked(NamedTuple):
    """What is to be known of a request up to the end of its answer."""

    model: str
    is_stream: bool
    include_usage: bool
    metadata: str | None


def _asked(request: ChatRequest) -> _Asked:
    options = request.stream_options
    metadata = None if is_null(request.metadata) else bytes(request.metadata).decode()
    return _Asked(request.model, bool(request.stream), bool(options and options.include_usage), metadata)
