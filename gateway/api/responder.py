"""The answering side of one HTTP request: JSON or a stream, each with the headers that every answer carries."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
from starlette.types import Scope, Send

from gateway.api.shapes import OPENAI, ErrorShape
from gateway.server.request import ServedRequest
from translators.errors import Failure

_STREAM_HEADERS: Final = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    # nginx and its like would collect the events otherwise.
    "x-accel-buffering": "no",
}
_UNPRINTABLE: Final = bytes((*range(0x20), 0x7F))
# Set by the outermost layer, read by every endpoint.
_KEY: Final = "dragoman.responder"


class Responder:
    """Sends one answer; knows whether it has begun and ended, which decides how a failure can still be told.

    `shape` is the form of its failures, which the address decides before anything can fail.
    """

    def __init__(
        self, send: Send, request_id: str, shape: ErrorShape = OPENAI, served: ServedRequest | None = None
    ) -> None:
        self.request_id = request_id
        self.status = 0
        self.has_begun = False
        self.has_ended = False
        # What an endpoint has to say in the head, asked for at the moment when the head leaves.
        self.more_headers: Callable[[], Mapping[str, str]] = dict
        self._shape = shape
        self._send = send
        self._served = served
        self._is_sending = False

    @property
    def is_sending(self) -> bool:
        """Whether a piece is on its way and waits for a client that does not read."""
        return self._is_sending

    @property
    def is_full(self) -> bool:
        """Whether the client does not read, as far as the server tells."""
        return self._served is not None and self._served.connection.is_full

    async def drained(self) -> None:
        """Until the client reads again, or has gone."""
        if self._served is not None:
            await self._served.connection.drained()

    def wait_when_full(self, wanted: bool) -> None:
        """Whether a write waits while the client does not read; if not, its writer asks `is_full` before."""
        if self._served is not None:
            self._served.is_patient = wanted

    async def send_json(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """A whole answer in JSON."""
        await self.send_body(status, body, "application/json", headers)

    async def send_body(
        self, status: int, body: bytes, content_type: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """A whole answer of any type."""
        fixed = {"content-type": content_type, "content-length": str(len(body))}
        served = self._served
        if served is None or not served.takes_answer(self._send):
            await self._begin(status, fixed, headers)
            await self._body(body, more=False)
            return
        self.has_begun = self.has_ended = True
        self.status = status
        lines = [f"{name}: {value}\r\n" for name, value in self._headers(fixed, headers).items()]
        served.answer(status, "".join(lines).encode("ascii"), body)

    async def send_value(self, value: object) -> None:
        """A whole answer, 200, from a value."""
        await self.send_json(200, orjson.dumps(value))

    async def send_failure(self, failure: Failure, headers: Mapping[str, str] | None = None) -> None:
        """An error answer; `retry-after` and `x-should-retry` tell the SDKs what to do next."""
        answer = self._shape.answer(failure, self.request_id)
        more = {**(headers or {}), **answer.headers, **retry_headers(failure)}
        await self.send_json(answer.status, answer.body, more)

    async def begin_stream(self) -> None:
        """The head of an event stream."""
        await self._begin(200, _STREAM_HEADERS, None)

    async def write(self, data: bytes) -> None:
        """One piece of a stream; waits while the client does not read, unless `wait_when_full` says otherwise."""
        await self._body(data, more=True)

    @property
    def takes_pushes(self) -> bool:
        """Whether `push` may be used: the client keeps up, and nothing else is being sent."""
        return self._served is not None and not self._is_sending and self._served.takes_pushes

    def push(self, data: bytes) -> bool:
        """One piece of a stream, from a callback; whether another one may follow."""
        assert self._served is not None, "`takes_pushes` says so"
        self._served.push(data)
        return self._served.takes_pushes

    async def finish(self, data: bytes = b"") -> None:
        """The last piece of a stream."""
        await self._body(data, more=False)

    async def finish_failed(self, failure: Failure) -> None:
        """The end of a stream that has failed: one event that says so."""
        await self.finish(self._shape.event(failure, self.request_id))

    async def _begin(self, status: int, fixed: Mapping[str, str], headers: Mapping[str, str] | None) -> None:
        self.has_begun = True
        self.status = status
        fields = [(name.encode(), value.encode()) for name, value in self._headers(fixed, headers).items()]
        await self._send({"type": "http.response.start", "status": status, "headers": fields})

    def _headers(self, fixed: Mapping[str, str], headers: Mapping[str, str] | None) -> Mapping[str, str]:
        return _sendable({**fixed, "x-request-id": self.request_id, **self.more_headers(), **(headers or {})})

    async def _body(self, data: bytes, *, more: bool) -> None:
        if not more:
            self.has_ended = True
        self._is_sending = True
        try:
            await self._send({"type": "http.response.body", "body": data, "more_body": more})
        finally:
            self._is_sending = False


def attach(scope: Scope, responder: Responder) -> None:
    """Put the request's responder where the endpoints find it."""
    scope[_KEY] = responder


def detach(scope: Scope) -> None:
    """Take it away again."""
    scope.pop(_KEY, None)


def responder_of(scope: Mapping[str, Any]) -> Responder:
    """The request's responder."""
    responder: Responder = scope[_KEY]
    return responder


def retry_headers(failure: Failure) -> dict[str, str]:
    """What tells the SDKs whether to try again, and when."""
    headers: dict[str, str] = {}
    if failure.retry_after_seconds is not None:
        headers["retry-after"] = str(math.ceil(failure.retry_after_seconds))
        headers["retry-after-ms"] = str(math.ceil(failure.retry_after_seconds * 1000))
    if failure.rule.sdk_retry is not None:
        headers["x-should-retry"] = "true" if failure.rule.sdk_retry else "false"
    return headers


def _sendable(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers with values as a head may carry them, wherever they come from."""
    together = "".join(headers.values())
    if together.isascii() and together.isprintable():
        return headers
    printable = {name: value.encode("ascii", "ignore").translate(None, _UNPRINTABLE) for name, value in headers.items()}
    return {name: value.decode() for name, value in printable.items()}
