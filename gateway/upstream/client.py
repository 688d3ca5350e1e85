"""Which client is used for a host: the direct one, unless there is a proxy."""

import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import cache, partial
from typing import Final, Literal, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from gateway.service.ports import Call, Endpoint, Upstream, UpstreamAnswer
from gateway.upstream.dialing import tls_context
from gateway.upstream.direct import DirectUpstream
from gateway.upstream.httpx2_client import Httpx2Upstream
from gateway.upstream.limits import TimeLimits

ClientName = Literal["auto", "direct", "httpx2"]


class UpstreamClient(Upstream, Protocol):
    """An `Upstream` whose connections must be closed at the end."""

    def retire(self) -> None:
        """Close idle connections now, and each of the others when its answer has ended."""
        ...

    async def close(self) -> None: ...


_CLIENTS: Final[dict[str, Callable[[TimeLimits, Callable[[], ssl.SSLContext]], UpstreamClient]]] = {
    "direct": DirectUpstream,
    "httpx2": Httpx2Upstream,
}


def upstream_client(
    limits: TimeLimits,
    name: ClientName = "auto",
    ca_file: str | None = None,
    make_tls: Callable[[str | None], ssl.SSLContext] = tls_context,
) -> UpstreamClient:
    """The client of that name; `ca_file` holds the certificates to trust instead of the system's."""
    tls = cache(partial(make_tls, ca_file))
    if name == "auto":
        return _AutoUpstream({name: make(limits, tls) for name, make in _CLIENTS.items()})
    return _CLIENTS[name](limits, tls)


def has_proxy(base_url: str) -> bool:
    """Whether the environment (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, ...) puts a proxy before a host."""
    url = urlsplit(base_url)
    proxies = getproxies()
    if url.scheme not in proxies and "all" not in proxies:
        return False
    return not proxy_bypass(url.hostname or "")


class _AutoUpstream:
    """Chooses between the clients for each host."""

    def __init__(self, clients: dict[str, UpstreamClient]) -> None:
        self._clients = clients
        self._chosen: dict[str, UpstreamClient] = {}

    def open(self, endpoint: Endpoint, call: Call) -> AbstractAsyncContextManager[UpstreamAnswer]:
        base_url = endpoint.base_url
        client = self._chosen.get(base_url)
        if client is None:
            client = self._chosen[base_url] = self._clients["httpx2" if has_proxy(base_url) else "direct"]
        return client.open(endpoint, call)

    def retire(self) -> None:
        for client in self._clients.values():
            client.retire()

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()
