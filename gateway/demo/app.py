"""The HTTP endpoints of the simulated upstream."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from functools import partial

import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.demo.catalogue import model_info, page_of_models
from gateway.demo.credentials import Account, account_for
from gateway.demo.errors import MessagesError, invalid
from gateway.demo.events import events, message
from gateway.demo.orders import ORDERS, read_orders
from gateway.demo.reading import Reader
from gateway.demo.received import KEPT_REQUESTS, Ending, ReceivedRequest
from gateway.demo.reply import reply_to
from gateway.demo.responses import answer, at_once, ordered_error, refusal, streamed
from gateway.demo.tokens import input_tokens

MAX_BODY_BYTES = 32 * 1024 * 1024
SLOW_SECONDS = 0.5

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class Upstream:
    """The endpoints, and the requests that they received."""

    def __init__(self, pace_seconds: float, reader: Reader) -> None:
        self.pace_seconds = pace_seconds
        self.received: deque[ReceivedRequest] = deque(maxlen=KEPT_REQUESTS)
        self._reader = reader

    async def about(self, request: Request) -> Response:
        """A text for people who open it in a browser."""
        about = {
            "name": "Dragoman's simulated upstream",
            "speaks": "Anthropic's Messages API; no model is behind it, any key will do",
            "endpoints": [f"{min(route.methods)} {route.path}" for route in self.routes() if route.methods],
            "orders": ORDERS,
        }
        return answer(about)

    async def create_message(self, request: Request) -> Response:
        """`POST /v1/messages`."""
        body, received, account = await self._receive(request)
        wanted, prompt = self._reader.message(body, request.headers, account)
        orders = read_orders(prompt.question)
        if orders.error_status and not (orders.mid_stream and wanted.stream):
            raise ordered_error(orders.error_status)
        reply = reply_to(wanted, prompt, orders, partial(self._reader.sign, account=account))
        received.answered(200, message(reply))
        self._reader.answered(body, request.headers, account, received.answer)
        pause = SLOW_SECONDS if orders.slow else self.pace_seconds
        if wanted.stream:
            return streamed(events(reply), orders, received, pause_seconds=pause)
        return at_once(msgspec.json.encode(received.answer), orders, received, lead_seconds=pause * len(events(reply)))

    async def count_tokens(self, request: Request) -> Response:
        """`POST /v1/messages/count_tokens`."""
        body, received, account = await self._receive(request)
        prompt = self._reader.count(body, request.headers, account)
        return answer({"input_tokens": input_tokens(prompt)}, received)

    async def list_models(self, request: Request) -> Response:
        """`GET /v1/models`."""
        _, received, _ = await self._receive(request)
        self._reader.check_headers(request.headers)
        query = request.query_params
        page = page_of_models(
            limit=query.get("limit"),
            after_id=query.get("after_id"),
            before_id=query.get("before_id"),
            lifecycles=query.getlist("lifecycle[]"),
        )
        return answer(page, received)

    async def get_model(self, request: Request) -> Response:
        """`GET /v1/models/{id}`."""
        _, received, _ = await self._receive(request)
        self._reader.check_headers(request.headers)
        return answer(model_info(request.path_params["model_id"]), received)

    async def unknown(self, request: Request) -> Response:
        """Every other path and method."""
        await self._receive(request)
        raise MessagesError(404, f"Not found: {request.method} {request.url.path}")

    def routes(self) -> list[Route]:
        return [
            Route("/", self.about),
            Route("/v1/messages", self.create_message, methods=["POST"]),
            Route("/v1/messages/count_tokens", self.count_tokens, methods=["POST"]),
            Route("/v1/models", self.list_models),
            Route("/v1/models/{model_id}", self.get_model),
        ]

    async def _receive(self, request: Request) -> tuple[bytes, ReceivedRequest, Account]:
        """The body of a request with a valid key; the request is recorded in any case."""
        received = ReceivedRequest(request.method, request.url.path, dict(request.headers))
        self.received.append(received)
        request.state.received = received
        body = await _body(request)
        with suppress(msgspec.DecodeError, RecursionError):
            received.body = msgspec.json.decode(body) if body else None
        received.account = account = account_for(request.headers)
        return body, received, account


def simulated_upstream(*, pace_seconds: float = 0.03, reader: Reader | None = None) -> Starlette:
    """The app; `app.state.received` has the latest requests."""
    upstream = Upstream(pace_seconds, reader or Reader())
    app = Starlette(
        routes=[*upstream.routes(), Route("/{path:path}", upstream.unknown, methods=_METHODS)],
        exception_handlers={MessagesError: _refuse, ClientDisconnect: _nobody_there},
    )
    app.state.received = upstream.received
    return app


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, MessagesError)
    return refusal(error, getattr(request.state, "received", None))


async def _nobody_there(request: Request, error: Exception) -> Response:
    """The client disconnected before its request was read; nobody gets this answer."""
    request.state.received.finish(Ending.ABANDONED)
    return Response(status_code=499)


async def _body(request: Request) -> bytes:
    """The whole body, read to its end even if it is too large: clients read no answer while they still send."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            chunks.append(chunk)
    if size > MAX_BODY_BYTES:
        raise MessagesError(413, "Request exceeds the maximum size")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise invalid("Unsupported content-encoding.", error_code="request_body_encoding_unsupported")
    return b"".join(chunks)
