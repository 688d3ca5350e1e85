"""`POST /v1/chat/completions`."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from gateway.api.auth import Authenticator, Caller
from gateway.api.interrupts import Interrupts
from gateway.api.keepalive import StreamClient
from gateway.api.middleware import notes_of
from gateway.api.requests import header, read_body
from gateway.api.responder import Responder, responder_of
from gateway.proxy.exchange import Exchange, Record, Services
from gateway.proxy.ports import Endpoint
from gateway.proxy.routing import Aliases
from gateway.secret import Secret
from translators.adjustments import HEADER as ADJUSTED_HEADER
from translators.chat.request import Options, Target, read_request, write_request
from translators.chat.response import completion
from translators.errors import TranslationError
from translators.models import ModelTable
from translators.wire.chat import ChatRequest


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
        exchange = self._exchange(request, caller, header(scope, b"x-gateway-on-unsupported"))
        responder.more_headers = lambda: _headers(exchange.record)
        try:
            exchange.prepare()
            async with self._interrupts.watch(receive, responder):
                if request.stream:
                    await self._stream(request, exchange, responder)
                else:
                    await self._complete(exchange, responder)
        finally:
            _note(notes_of(scope), request, caller, exchange.record)

    async def _stream(self, request: ChatRequest, exchange: Exchange, responder: Responder) -> None:
        include_usage = bool(request.stream_options and request.stream_options.include_usage)
        with StreamClient(responder, self._settings.keepalive_seconds) as client:
            await exchange.stream(client, created=int(self._clock()), include_usage=include_usage)

    async def _complete(self, exchange: Exchange, responder: Responder) -> None:
        answer, tool_names = await exchange.fetch()
        body = completion(answer, created=int(self._clock()), tool_names=tool_names)
        await responder.send_json(200, body)

    def _exchange(self, request: ChatRequest, caller: Caller, on_unsupported: str | None) -> Exchange:
        model = self._aliases.resolve(request.model)
        row = self._models.row(model)
        options = _with_wish(self._settings.options, on_unsupported)
        services = self._services
        if caller.own_key is not None:
            services = services.for_caller(self._own_endpoint(caller.own_key))
        return Exchange(services, model, lambda host: write_request(request, Target(model, row, host), options))


def _with_wish(options: Options, on_unsupported: str | None) -> Options:
    """The operator's options with the caller's own wish about what cannot be honoured."""
    if on_unsupported is None:
        return options
    if on_unsupported not in ("adjust", "reject"):
        raise TranslationError(
            "The header x-gateway-on-unsupported has to be 'adjust' or 'reject'.",
            param="x-gateway-on-unsupported",
            code="invalid_value",
        )
    return Options(options.max_output_tokens, options.always_show_reasoning, on_unsupported == "reject")


def _headers(record: Record) -> dict[str, str]:
    headers = {}
    if record.adjusted is not None:
        headers[ADJUSTED_HEADER] = record.adjusted
    if record.upstream_request_id is not None:
        headers["x-upstream-request-id"] = record.upstream_request_id
    return headers


def _note(notes: dict[str, object], request: ChatRequest, caller: Caller, record: Record) -> None:
    notes.update(
        caller=caller.name,
        model=request.model if request.model == record.model else f"{request.model}->{record.model}",
        stream=bool(request.stream),
        key=record.key,
        attempts=record.attempts,
        prompt_tokens=record.usage.prompt_tokens,
        completion_tokens=record.usage.output_tokens,
        adjusted=record.adjusted,
        upstream_request_id=record.upstream_request_id,
    )
    if record.failures:
        notes["failures"] = " | ".join(record.failures)
