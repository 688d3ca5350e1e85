"""The upstream client on httpx2, for hosts behind a proxy. One connection pool per host."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpx2

from gateway.service.ports import Call, Endpoint, HttpCall, UpstreamAnswer
from gateway.upstream.failures import (
    cut_off,
    in_words,
    too_slow,
    unanswered,
    unconnected,
    undecodable,
    unreachable_in_time,
    unread,
    unsendable_key,
)
from gateway.upstream.limits import TimeLimits
from translators.errors import FailedError, Failure

# httpx2's defaults (100 connections, 20 kept) would queue streams and keep closing connections.
_LIMITS: Final = httpx2.Limits(max_connections=None, max_keepalive_connections=256, keepalive_expiry=55.0)


class Httpx2Upstream:
    """An `Upstream` on httpx2, which obeys `HTTPS_PROXY` and similar variables."""

    def __init__(self, limits: TimeLimits, tls: Callable[[], ssl.SSLContext]) -> None:
        self._limits = limits
        self._tls = tls
        self._clients: dict[str, httpx2.AsyncClient] = {}
        self._calls = 0
        self._is_retired = False
        self._closing: asyncio.Task[None] | None = None

    def open(self, endpoint: Endpoint, call: Call) -> AbstractAsyncContextManager[UpstreamAnswer]:
        """Send a call; every failure on the way is a `FailedError` with its kind."""
        return self._open(endpoint, endpoint.prepare(call))

    def retire(self) -> None:
        """Close all connections once none is in use; later calls open new ones."""
        self._is_retired = True
        self._close_unused()

    async def close(self) -> None:
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.aclose()

    def _close_unused(self) -> None:
        # httpx2 can only close all connections of a client together.
        if self._is_retired and not self._calls and self._clients:
            # In a task of its own: the last caller may be about to be cancelled.
            self._closing = asyncio.create_task(self.close())

    @asynccontextmanager
    async def _open(self, endpoint: Endpoint, call: HttpCall) -> AsyncIterator[UpstreamAnswer]:
        client = self._client_for(call.base_url)
        total = _Total(self._limits.total_seconds, call.spent_seconds)
        self._calls += 1
        try:
            async with total.limit():
                response = await self._send(client, call)
            answer = _Httpx2Answer(response, self._limits.idle_seconds, total)
            try:
                yield answer
            finally:
                await answer.close()
        except FailedError as error:
            # Hosts quote the key that they refuse, and libraries the header that they cannot send.
            raise FailedError(error.failure.redacted(endpoint.redact)) from error
        finally:
            self._calls -= 1
            self._close_unused()

    async def _send(self, client: httpx2.AsyncClient, call: HttpCall) -> httpx2.Response:
        try:
            request = client.build_request(
                call.method,
                call.base_url + call.path,
                content=call.body or None,
                headers=call.headers,
                timeout=httpx2.Timeout(
                    self._limits.idle_seconds,
                    connect=self._limits.connect_seconds,
                    # Applies to the wait for the head; `_Httpx2Answer` changes it after that.
                    read=self._limits.first_byte_seconds,
                ),
            )
            return await client.send(request, stream=True)
        except httpx2.HTTPError as error:
            raise FailedError(_failure(error, has_head=False)) from error
        except UnicodeEncodeError as error:
            # Without the error's text, which quotes the key.
            raise FailedError(unsendable_key()) from error

    def _client_for(self, base_url: str) -> httpx2.AsyncClient:
        if base_url not in self._clients:
            # Cookies that one key received must not be sent with another.
            no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
            self._clients[base_url] = httpx2.AsyncClient(
                verify=self._tls(), limits=_LIMITS, follow_redirects=False, cookies=no_cookies
            )
        return self._clients[base_url]


class _Total:
    """The time limit for a whole call, of which `spent_seconds` are over."""

    def __init__(self, seconds: float, spent_seconds: float) -> None:
        self._seconds = seconds
        self._ends_at = asyncio.get_running_loop().time() + seconds - spent_seconds

    @asynccontextmanager
    async def limit(self) -> AsyncIterator[None]:
        """Limit a block to the remaining time; raises `FailedError`."""
        try:
            async with asyncio.timeout_at(self._ends_at):
                yield
        except TimeoutError as error:
            raise FailedError(too_slow(self._detail)) from error

    async def reached(self) -> Failure:
        """Wait until the limit is reached while nobody reads, and return the failure for that."""
        await asyncio.sleep(self._ends_at - asyncio.get_running_loop().time())
        return unread(self._detail)

    @property
    def _detail(self) -> str:
        return f"not complete after {self._seconds:g} s"


class _Httpx2Answer:
    def __init__(self, response: httpx2.Response, idle_seconds: float, total: _Total) -> None:
        self._response = response
        self._pieces = response.aiter_bytes()
        self._total = total
        self._failure: Failure | None = None
        # The head has arrived; from here on the limit for pauses within the body applies.
        response.request.extensions["timeout"]["read"] = idle_seconds

    @property
    def status(self) -> int:
        return self._response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    @property
    def is_complete(self) -> bool:
        return self._response.is_closed

    async def ended(self) -> None:
        # httpx2 does not read ahead, so only the time limit can end it.
        self._failure = await self._total.reached()

    async def receive(self) -> bytes:
        if self._failure is not None:
            raise FailedError(self._failure)
        try:
            async with self._total.limit():
                async for piece in self._pieces:
                    if piece:
                        return piece
            return b""
        except httpx2.HTTPError as error:
            raise FailedError(_failure(error, has_head=True)) from error

    async def push(self, sink: Callable[[bytes], bool]) -> None:
        while (piece := await self.receive()) and sink(piece):
            pass

    async def read(self, limit: int) -> bytes:
        # A list of pieces of one byte each would take forty times the memory.
        body = bytearray()
        while len(body) < limit and (piece := await self.receive()):
            body += piece
        return bytes(memoryview(body)[:limit])

    async def close(self) -> None:
        await self._response.aclose()


def _failure(error: httpx2.HTTPError, *, has_head: bool) -> Failure:
    detail = in_words(error)
    if isinstance(error, httpx2.ConnectTimeout):
        return unreachable_in_time(detail)
    if isinstance(error, httpx2.TimeoutException):
        return too_slow(detail)
    if isinstance(error, httpx2.ConnectError):
        return unconnected(error)
    if isinstance(error, httpx2.DecodingError):
        return undecodable(detail)
    return cut_off(detail) if has_head else unanswered(detail)
