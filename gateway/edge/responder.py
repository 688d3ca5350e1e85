"""Sends the response to one HTTP request: JSON or a stream, with the headers that every response carries."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
from starlette.types import Scope, Send

from gateway.edge.shapes import OPENAI, ErrorShape
from gateway.http.request import ServedRequest
from translators.errors import Failure

# For what is about one caller, or about now.
NEVER_KEPT: Final = {"cache-control": "no-store"}
_STREAM_HEADERS: Final = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    # Otherwise nginx and similar proxies would buffer the events.
    "x-accel-buffering": "no",
}
_UNPRINTABLE: Final = bytes((*range(0x20), 0x7F))
# Set by the outermost layer, read by the endpoints.
_KEY: Final = "dragoman.responder"


class Responder:
    """Sends one response, and knows whether it has begun and ended: that decides how a failure can be reported.

    `shape` is the format of errors. It depends only on the path, so it is known before anything can fail.
    """

    def __init__(
        self, send: Send, request_id: str, shape: ErrorShape = OPENAI, served: ServedRequest | None = None
    ) -> None:
        self.request_id = request_id
        self.status = 0
        self.has_begun = False
        self.has_ended = False
        # The endpoint's headers, computed at the moment the head is sent.
        self.more_headers: Callable[[], Mapping[str, str]] = dict
        # The last event of a stream that has failed, where the endpoint has one of its own.
        self.failure_event: Callable[[Failure], bytes] | None = None
        # Hears the bodies of answers, for clients whose requests may be kept with their content.
        self.heard: Callable[[bytes], None] | None = None
        self._shape = shape
        self._send = send
        self._served = served
        self._is_sending = False

    @property
    def is_sending(self) -> bool:
        """Whether a piece is being sent and is waiting for a client that does not read."""
        return self._is_sending

    @property
    def is_full(self) -> bool:
        """Whether the client has stopped reading, as far as the server knows."""
        return self._served is not None and self._served.connection.is_full

    async def drained(self) -> None:
        """Wait until the client reads again, or has disconnected."""
        if self._served is not None:
            await self._served.connection.drained()

    def wait_when_full(self, wanted: bool) -> None:
        """Whether a write waits while the client does not read; if not, the writer has to check `is_full` first."""
        if self._served is not None:
            self._served.is_patient = wanted

    async def send_json(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        await self.send_body(status, body, "application/json", headers)

    async def send_body(
        self, status: int, body: bytes, content_type: str, headers: Mapping[str, str] | None = None
    ) -> None:
        fixed = {"content-type": content_type, "content-length": str(len(body))}
        served = self._served
        if served is None or not served.takes_answer(self._send):
            await self._begin(status, fixed, headers)
            await self._body(body, more=False)
            return
        self.has_begun = self.has_ended = True
        self.status = status
        lines = [f"{name}: {value}\r\n" for name, value in self._headers(fixed, headers).items()]
        if self.heard is not None:
            self.heard(body)
        served.answer(status, "".join(lines).encode("ascii"), body)

    async def send_value(self, value: object) -> None:
        """Send a value as JSON, with status 200."""
        await self.send_json(200, orjson.dumps(value))

    async def send_failure(self, failure: Failure, headers: Mapping[str, str] | None = None) -> None:
        """Send an error; `retry-after` and `x-should-retry` tell the SDKs whether to retry."""
        answer = self._shape.answer(failure, self.request_id)
        more = {**(headers or {}), **answer.headers, **retry_headers(failure)}
        await self.send_json(answer.status, answer.body, more)

    async def begin_stream(self) -> None:
        """Send the head of an event stream."""
        await self._begin(200, _STREAM_HEADERS, None)

    async def write(self, data: bytes) -> None:
        """Send one piece of a stream; waits while the client does not read, unless `wait_when_full` says otherwise."""
        await self._body(data, more=True)

    @property
    def takes_pushes(self) -> bool:
        """Whether `push` may be used: the client keeps up, and nothing else is being sent."""
        return self._served is not None and not self._is_sending and self._served.takes_pushes

    def push(self, data: bytes) -> bool:
        """Send one piece of a stream from a callback; returns whether another one may follow."""
        assert self._served is not None, "`takes_pushes` says so"
        if self.heard is not None:
            self.heard(data)
        self._served.push(data)
        return self._served.takes_pushes

    async def finish(self, data: bytes = b"") -> None:
        """Send the last piece of a stream."""
        await self._body(data, more=False)

    async def finish_failed(self, failure: Failure) -> None:
        """End a stream that has failed with an error event."""
        own = self.failure_event
        await self.finish(own(failure) if own is not None else self._shape.event(failure, self.request_id))

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
        if self.heard is not None:
            self.heard(data)
        self._is_sending = True
        try:
            await self._send({"type": "http.response.body", "body": data, "more_body": more})
        finally:
            self._is_sending = False


def attach(scope: Scope, responder: Responder) -> None:
    scope[_KEY] = responder


def detach(scope: Scope) -> None:
    scope.pop(_KEY, None)


def responder_of(scope: Mapping[str, Any]) -> Responder:
    responder: Responder = scope[_KEY]
    return responder


def retry_headers(failure: Failure) -> dict[str, str]:
    """The headers that tell the SDKs whether to retry, and when."""
    headers: dict[str, str] = {}
    seconds = failure.wait_seconds
    if seconds is not None:
        headers["retry-after"] = str(math.ceil(seconds))
        headers["retry-after-ms"] = str(math.ceil(seconds * 1000))
    if failure.rule.sdk_retry is not None:
        headers["x-should-retry"] = "true" if failure.rule.sdk_retry else "false"
    return headers


def _sendable(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers, with characters that a head cannot carry removed from their values."""
    together = "".join(headers.values())
    if together.isascii() and together.isprintable():
        return headers
    printable = {name: value.encode("ascii", "ignore").translate(None, _UNPRINTABLE) for name, value in headers.items()}
    return {name: value.decode() for name, value in printable.items()}
