"""The upstream client on httpx2, for what the direct one leaves out: proxies. One connection pool a host."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final, cast

import httpx2

from gateway.proxy.ports import Call, Endpoint, UpstreamAnswer
from gateway.upstream.failures import (
    cut_off,
    too_slow,
    unanswered,
    unconnected,
    undecodable,
    unreachable_in_time,
    unread,
    unsendable_key,
)
from gateway.upstream.hosts import HostEndpoint
from gateway.upstream.limits import TimeLimits
from translators.errors import FailedError, Failure

# httpx2's own defaults (100, 20 kept) would queue streams and close connections all the time.
_LIMITS: Final = httpx2.Limits(max_connections=None, max_keepalive_connections=256, keepalive_expiry=55.0)


class Httpx2Upstream:
    """The `Upstream` of the proxy, by httpx2; follows `HTTPS_PROXY` and its like."""

    def __init__(self, limits: TimeLimits, tls: Callable[[], ssl.SSLContext]) -> None:
        self._limits = limits
        self._tls = tls
        self._clients: dict[str, httpx2.AsyncClient] = {}
        self._calls = 0
        self._is_retired = False
        self._closing: asyncio.Task[None] | None = None

    def open(self, endpoint: Endpoint, call: Call) -> AbstractAsyncContextManager[UpstreamAnswer]:
        """Send a call; every trouble on the way is a `FailedError` with its kind."""
        return self._open(cast(HostEndpoint, endpoint), call)

    def retire(self) -> None:
        """Close all connections once nobody uses any; who still calls after that gets new ones."""
        self._is_retired = True
        self._close_unused()

    async def close(self) -> None:
        """Close all connections."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.aclose()

    def _close_unused(self) -> None:
        # One connection of many cannot be closed from outside, only all of them together.
        if self._is_retired and not self._calls and self._clients:
            # In a task: the caller that was the last may be about to be cancelled.
            self._closing = asyncio.create_task(self.close())

    @asynccontextmanager
    async def _open(self, endpoint: HostEndpoint, call: Call) -> AsyncIterator[UpstreamAnswer]:
        client = self._client_for(endpoint.base_url)
        total = _Total(self._limits.total_seconds, call.spent_seconds)
        self._calls += 1
        try:
            async with total.limit():
                response = await self._send(client, endpoint, call)
            answer = _Httpx2Answer(response, self._limits.idle_seconds, total)
            try:
                yield answer
            finally:
                await answer.close()
        except FailedError as error:
            # Hosts repeat the key they refuse, and libraries the header they cannot send.
            raise FailedError(error.failure.redacted(endpoint.redact)) from error
        finally:
            self._calls -= 1
            self._close_unused()

    async def _send(self, client: httpx2.AsyncClient, endpoint: HostEndpoint, call: Call) -> httpx2.Response:
        try:
            request = client.build_request(
                call.method,
                endpoint.base_url + call.path,
                content=call.body or None,
                headers=endpoint.headers_for(call),
                timeout=httpx2.Timeout(
                    self._limits.idle_seconds,
                    connect=self._limits.connect_seconds,
                    # The wait for the head is a read like any other, until the head is there.
                    read=self._limits.first_byte_seconds,
                ),
            )
            return await client.send(request, stream=True)
        except httpx2.HTTPError as error:
            raise FailedError(_failure(error, has_head=False)) from error
        except UnicodeEncodeError as error:
            # Not from the error itself: it quotes what it could not encode.
            raise FailedError(unsendable_key()) from error

    def _client_for(self, base_url: str) -> httpx2.AsyncClient:
        if base_url not in self._clients:
            # What one key was told in a cookie is not for the next one.
            no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
            self._clients[base_url] = httpx2.AsyncClient(
                verify=self._tls(), limits=_LIMITS, follow_redirects=False, cookies=no_cookies
            )
        return self._clients[base_url]


class _Total:
    """The limit for the whole of a call, of which so much is over."""

    def __init__(self, seconds: float, spent_seconds: float) -> None:
        self._seconds = seconds
        self._ends_at = asyncio.get_running_loop().time() + seconds - spent_seconds

    @asynccontextmanager
    async def limit(self) -> AsyncIterator[None]:
        """A block that ends in time; raises `FailedError`."""
        try:
            async with asyncio.timeout_at(self._ends_at):
                yield
        except TimeoutError as error:
            raise FailedError(too_slow(self._detail)) from error

    async def reached(self) -> Failure:
        """Until it is reached while nobody has read; what to say of that."""
        await asyncio.sleep(self._ends_at - asyncio.get_running_loop().time())
        return unread(self._detail)

    @property
    def _detail(self) -> str:
        return f"not complete after {self._seconds:g} s"


class _Httpx2Answer:
    """An answer that httpx2 is receiving."""

    def __init__(self, response: httpx2.Response, idle_seconds: float, total: _Total) -> None:
        self._response = response
        self._pieces = response.aiter_bytes()
        self._total = total
        self._failure: Failure | None = None
        # The head is there: from now on only the pauses inside the body count.
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
        # Nothing is read ahead here: what ends by itself is only the time.
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
        # Pieces may be of one byte each, and would take forty times that.
        body = bytearray()
        while len(body) < limit and (piece := await self.receive()):
            body += piece
        return bytes(memoryview(body)[:limit])

    async def close(self) -> None:
        await self._response.aclose()


def _failure(error: httpx2.HTTPError, *, has_head: bool) -> Failure:
    detail = f"{type(error).__name__}: {error}"
    if isinstance(error, httpx2.ConnectTimeout):
        return unreachable_in_time(detail)
    if isinstance(error, httpx2.TimeoutException):
        return too_slow(detail)
    if isinstance(error, httpx2.ConnectError):
        return unconnected(error, detail)
    if isinstance(error, httpx2.DecodingError):
        return undecodable(detail)
    return cut_off(detail) if has_head else unanswered(detail)
