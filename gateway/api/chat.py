"""`POST /v1/chat/completions`."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from starlette.types import Receive, Scope, Send

from gateway.api.auth import Authenticator, Caller
from gateway.api.interrupts import Interrupts
from gateway.api.keepalive import StreamClient
from gateway.api.middleware import notes_of
from gateway.api.requests import header, read_body
from gateway.api.responder import Responder, responder_of
from gateway.proxy.chat import ChatExchange, fetch_choices, stream_chat, stream_choices, usage_of_choices
from gateway.proxy.exchange import Exchange, Record, Services
from gateway.proxy.ports import Endpoint
from gateway.proxy.routing import Aliases
from gateway.secret import Secret
from translators.adjustments import HEADER as ADJUSTED_HEADER
from translators.chat.extensions import RESTRICTED
from translators.chat.request import MessagesRequest, Options, Target, read_request, write_request
from translators.chat.response import completion
from translators.chat.stream import StreamFrame
from translators.errors import TranslationError
from translators.hosts import HostProfile
from translators.models import ModelTable
from translators.wire.chat import ChatRequest

# What callers with a key of their own may use: it is their bill, and their workspace.
_OWNERS_FIELDS = RESTRICTED | {"file_ids"}


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """What the operator decided about chat completions."""

    options: Options
    max_body_bytes: int
    keepalive_seconds: float


class ChatCompletions:
    """The endpoint: reads the request, hands it to an exchange, sends what comes back."""

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        services: Services,
        own_endpoint: Callable[[Secret], Endpoint],
        aliases: Aliases,
        models: ModelTable,
        settings: ChatSettings,
        interrupts: Interrupts,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._authenticator = authenticator
        self._services = services
        self._own_endpoint = own_endpoint
        self._aliases = aliases
        self._models = models
        self._settings = settings
        self._interrupts = interrupts
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        responder = responder_of(scope)
        caller = self._authenticator.caller(scope)
        request = read_request(await read_body(scope, receive, self._settings.max_body_bytes))
        exchanges = self._exchanges(request, caller, self._options(scope, caller))
        responder.more_headers = lambda: _headers(exchanges[0].record)
        try:
            written = exchanges[0].prepare()
            async with self._interrupts.watch(receive, responder):
                # What has to be read before it can be shared: the others begin when the first has written the cache.
                shares_cache = written is not None and written.has_cache_marks
                if request.stream:
                    await self._stream(request, exchanges, responder, shares_cache)
                else:
                    await self._complete(exchanges, responder, shares_cache)
        finally:
            _note(notes_of(scope), request, caller, [exchange.record for exchange in exchanges])

    async def _stream(
        self, request: ChatRequest, exchanges: Sequence[ChatExchange], responder: Responder, shares_cache: bool
    ) -> None:
        include_usage = bool(request.stream_options and request.stream_options.include_usage)
        frame = StreamFrame(int(self._clock()), include_usage)
        with StreamClient(responder, self._settings.keepalive_seconds) as client:
            if len(exchanges) == 1:
                await stream_chat(exchanges[0], client, frame)
                return
            # Several answers have several ids upstream; the caller's stream has one.
            shared = replace(frame, id=f"chatcmpl-{responder.request_id}", choices=len(exchanges))
            await stream_choices(exchanges, client, shared, share_cache=shares_cache)

    async def _complete(self, exchanges: Sequence[ChatExchange], responder: Responder, shares_cache: bool) -> None:
        answers = await fetch_choices(exchanges, share_cache=shares_cache)
        usage = usage_of_choices([answer.usage for answer, _ in answers])
        await responder.send_json(200, completion(answers, usage, created=int(self._clock())))

    def _exchanges(self, request: ChatRequest, caller: Caller, options: Options) -> list[ChatExchange]:
        """One exchange a choice; the Messages form is written once for each kind of host."""
        model = self._aliases.resolve(request.model)
        row = self._models.row(model)
        services = self._services
        if caller.own_key is not None:
            services = services.for_caller(self._own_endpoint(caller.own_key))

        @cache
        def write(host: HostProfile) -> MessagesRequest:
            return write_request(request, Target(model, row, host), options)

        count = request.n if request.n is not None and 1 < request.n <= options.max_choices else 1
        return [Exchange(services, model, write) for _ in range(count)]

    def _options(self, scope: Scope, caller: Caller) -> Options:
        """The operator's options with the caller's own wishes, which come as headers."""
        options = self._settings.options
        if caller.own_key is not None:
            options = replace(options, allowed_fields=_OWNERS_FIELDS)
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


def _headers(record: Record) -> dict[str, str]:
    headers = {}
    if record.adjusted is not None:
        headers[ADJUSTED_HEADER] = record.adjusted
    if record.upstream_request_id is not None:
        headers["x-upstream-request-id"] = record.upstream_request_id
    return headers


def _note(notes: dict[str, object], request: ChatRequest, caller: Caller, records: Sequence[Record]) -> None:
    first = records[0]
    notes.update(
        caller=caller.name,
        model=request.model if request.model == first.model else f"{request.model}->{first.model}",
        stream=bool(request.stream),
        key=first.key,
        attempts=sum(record.attempts for record in records),
        prompt_tokens=sum(record.usage.prompt_tokens for record in records),
        completion_tokens=sum(record.usage.output_tokens for record in records),
        adjusted=first.adjusted,
        upstream_request_id=first.upstream_request_id,
    )
    if failures := [failure for record in records for failure in record.failures]:
        notes["failures"] = " | ".join(failures)
    if (metadata := bytes(request.metadata)) != b"null":
        notes["metadata"] = metadata.decode()
