"""The upstream client on httpx2: one client and one connection pool a host, one TLS context for all."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final, cast

import httpx2

from gateway.proxy.ports import Call, Endpoint, UpstreamAnswer
from gateway.upstream.hosts import HostEndpoint
from translators.errors import ErrorKind, FailedError, Failure

# httpx2's own defaults (100, 20 kept) would queue streams and close connections all the time.
_LIMITS: Final = httpx2.Limits(max_connections=None, max_keepalive_connections=256, keepalive_expiry=55.0)


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long to wait, in seconds: for a connection, for an answer's head, between two pieces of its body."""

    connect_seconds: float = 10.0
    first_byte_seconds: float = 600.0
    idle_seconds: float = 600.0


class Httpx2Upstream:
    """The `Upstream` of the proxy, by httpx2; follows `HTTPS_PROXY` and its like."""

    def __init__(self, limits: TimeLimits) -> None:
        self._limits = limits
        self._tls: ssl.SSLContext | None = None
        self._clients: dict[str, httpx2.AsyncClient] = {}

    def open(self, endpoint: Endpoint, call: Call) -> AbstractAsyncContextManager[UpstreamAnswer]:
        """Send a call; every trouble on the way is a `FailedError` with its kind."""
        return self._open(cast(HostEndpoint, endpoint), call)

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.aclose()

    @asynccontextmanager
    async def _open(self, endpoint: HostEndpoint, call: Call) -> AsyncIterator[UpstreamAnswer]:
        client = self._client_for(endpoint.base_url)
        try:
            response = await self._send(client, endpoint, call)
            answer = _Httpx2Answer(response, self._limits.idle_seconds)
            try:
                yield answer
            finally:
                await answer.close()
        except FailedError as error:
            # Hosts repeat the key they refuse, and libraries the header they cannot send.
            raise FailedError(error.failure.redacted(endpoint.redact)) from error

    async def _send(self, client: httpx2.AsyncClient, endpoint: HostEndpoint, call: Call) -> httpx2.Response:
        try:
            request = client.build_request(
                call.method,
                endpoint.base_url + call.path,
                content=call.body or None,
                headers=_headers(endpoint, call),
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
            detail = "the key has characters that no header can carry"
            raise FailedError(
                Failure(ErrorKind.KEY_REJECTED, "The gateway's key cannot be sent.", detail=detail)
            ) from error

    def _client_for(self, base_url: str) -> httpx2.AsyncClient:
        if base_url not in self._clients:
            if self._tls is None:
                # Loading the system's trust store takes long and much memory: once for all hosts.
                self._tls = ssl.create_default_context()
            # What one key was told in a cookie is not for the next one.
            no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
            self._clients[base_url] = httpx2.AsyncClient(
                verify=self._tls, limits=_LIMITS, follow_redirects=False, cookies=no_cookies
            )
        return self._clients[base_url]


def _headers(endpoint: HostEndpoint, call: Call) -> list[tuple[str, str]]:
    headers = [*endpoint.headers, ("anthropic-version", call.version), *call.headers]
    if betas := (*endpoint.betas, *call.betas):
        headers.append(("anthropic-beta", ",".join(dict.fromkeys(betas))))
    return headers


class _Httpx2Answer:
    """An answer that httpx2 is receiving."""

    def __init__(self, response: httpx2.Response, idle_seconds: float) -> None:
        self._response = response
        self._pieces = response.aiter_bytes()
        # The head is there: from now on only the pauses inside the body count.
        response.request.extensions["timeout"]["read"] = idle_seconds

    @property
    def status(self) -> int:
        return self._response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    async def receive(self) -> bytes:
        try:
            async for piece in self._pieces:
                if piece:
                    return piece
            return b""
        except httpx2.HTTPError as error:
            raise FailedError(_failure(error, has_head=True)) from error

    async def read(self, limit: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while size < limit and (piece := await self.receive()):
            pieces.append(piece)
            size += len(piece)
        return b"".join(pieces)[:limit]

    async def close(self) -> None:
        await self._response.aclose()


def _failure(error: httpx2.HTTPError, *, has_head: bool) -> Failure:
    detail = f"{type(error).__name__}: {error}"
    if isinstance(error, httpx2.ConnectTimeout):
        return Failure(ErrorKind.UNREACHABLE, "Upstream could not be reached in time.", detail=detail)
    if isinstance(error, httpx2.TimeoutException):
        return Failure(ErrorKind.UPSTREAM_TIMEOUT, "Upstream did not answer in time.", detail=detail)
    if isinstance(error, httpx2.ConnectError):
        return Failure(ErrorKind.UNREACHABLE, "Upstream could not be reached.", detail=detail)
    if isinstance(error, httpx2.DecodingError):
        return Failure(ErrorKind.PROTOCOL_ERROR, "Upstream's answer could not be decoded.", detail=detail)
    if has_head:
        return Failure(ErrorKind.CUT_OFF, "Upstream's connection broke before the answer was complete.", detail=detail)
    return Failure(ErrorKind.UNREACHABLE, "Upstream closed the connection without an answer.", detail=detail)
