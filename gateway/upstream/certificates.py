"""When the certificate of a host expires."""

import asyncio
import ssl
from typing import Final
from urllib.parse import urlsplit

from gateway.upstream.dialing import DialledProtocol, connect, tls_context

_HTTPS_PORT: Final = 443


class _Visit(DialledProtocol):
    """A connection that is only looked at."""

    transport: asyncio.BaseTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport


async def certificate_end(base_url: str, ca_file: str | None, *, limit_seconds: float) -> float | None:
    """When a host's certificate expires, in Unix seconds; None if the URL has none.

    Raises `FailedError`, also for a certificate that is not valid, which upstream's clients refuse.
    """
    url = urlsplit(base_url)
    if url.scheme != "https" or url.hostname is None:
        return None
    visit = await connect(
        _Visit, url.hostname, url.port or _HTTPS_PORT, lambda: tls_context(ca_file), limit_seconds=limit_seconds
    )
    try:
        end = (visit.transport.get_extra_info("peercert") or {}).get("notAfter")
    finally:
        visit.transport.close()
    return None if end is None else float(ssl.cert_time_to_seconds(end))
