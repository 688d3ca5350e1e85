"""The port for metrics, if they have one of their own: `/metrics` and whether the process is well, nothing else."""

import asyncio
import logging
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.config import Config
from gateway.pages.metrics import ON_OWN_PORT
from gateway.telemetry.logs import log_event

_OFFERED: Final = frozenset(("/metrics", "/health", "/livez", "/readyz"))
_NOT_FOUND: Final = b'{"error":{"message":"This port has /metrics only.","type":"invalid_request_error"}}'
_HEAD: Final[Mapping[str, object]] = {
    "type": "http.response.start",
    "status": 404,
    "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(_NOT_FOUND)).encode())],
}
_BACKLOG: Final = 128


class OnlyMetrics:
    """The gateway's application, of which this port has only these paths."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http" and scope["path"] not in _OFFERED:
            return _refuse(send)
        scope[ON_OWN_PORT] = True
        return self._app(scope, receive, send)


async def _refuse(send: Send) -> None:
    await send({**_HEAD})
    await send({"type": "http.response.body", "body": _NOT_FOUND})


async def open_metrics_port(
    config: Config, app: ASGIApp, protocol: Callable[[uvicorn.Config], asyncio.Protocol]
) -> list[asyncio.Server]:
    """Listen, if the configuration says so; a port that is taken is no reason not to serve callers.

    Each worker listens on the same port: whoever is asked answers for all.
    """
    host, port = config.metrics.host, config.metrics.port
    if port is None or not config.metrics.enabled:
        return []
    only_metrics = OnlyMetrics(app)
    served = uvicorn.Config(
        only_metrics, interface="asgi3", ws="none", lifespan="off", log_config=None, proxy_headers=False
    )
    served.load()
    try:
        listener = _listen(host, port, is_shared=config.server.workers > 1)
    except OSError as error:
        why = error.strerror or str(error)
        log_event(logging.ERROR, "The port for metrics cannot be listened on", host=host, port=port, why=why)
        return []
    return [await asyncio.get_running_loop().create_server(lambda: protocol(served), sock=listener)]


def _listen(host: str, port: int, *, is_shared: bool) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if is_shared:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener
