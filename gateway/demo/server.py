"""Running the simulated upstream on a real socket, in the current event loop."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.demo.app import simulated_upstream
from gateway.demo.playing import DROPPED_ON_PURPOSE
from gateway.demo.reading import Reader
from gateway.demo.received import ReceivedRequest

_logger = logging.getLogger("gateway.demo")
_logger.addFilter(lambda record: record.getMessage() != DROPPED_ON_PURPOSE)


@dataclass(frozen=True, slots=True)
class RunningUpstream:
    """A running simulated upstream; `received` has the latest requests, newest last."""

    base_url: str
    received: deque[ReceivedRequest]


@asynccontextmanager
async def run_simulated_upstream(
    *, host: str = "127.0.0.1", port: int = 0, pace_seconds: float = 0.03, reader: Reader | None = None
) -> AsyncIterator[RunningUpstream]:
    """Serve until the block ends; port 0 uses a free one. Answers that are still being sent are cut off."""
    app = simulated_upstream(pace_seconds=pace_seconds, reader=reader)
    with _listener(host, port) as listener:
        server = await _started(app, listener)
        try:
            address = f"[{host}]" if listener.family == socket.AF_INET6 else host
            yield RunningUpstream(f"http://{address}:{listener.getsockname()[1]}", app.state.received)
        finally:
            await _stop(server)


class _QuietProtocol(HttpToolsProtocol):
    """uvicorn's protocol without its logs, since a gateway may run in the same process."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _logger
        self.access_log = False


def _listener(host: str, port: int) -> socket.socket:
    # asyncio sets TCP_NODELAY only on sockets that name their protocol; those of `socket.create_server` do not.
    # Without it, every answer on a reused connection waits 40 ms for the client's delayed ACK.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


async def _started(app: Any, listener: socket.socket) -> uvicorn.Server:
    """A server that accepts connections.

    Not with `Server.serve`, which installs signal handlers, logs, and polls for its end.
    """
    config = uvicorn.Config(
        app,
        http=_QuietProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        date_header=False,
        server_header=False,
        timeout_keep_alive=60,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    return server


async def _stop(server: uvicorn.Server) -> None:
    """Stop listening and close all connections; the app sees its clients disconnect, and ends by itself."""
    for listening in server.servers:
        listening.close()
    for connection in [*server.server_state.connections]:
        connection.transport.abort()
    await asyncio.gather(*server.server_state.tasks, return_exceptions=True)
    for listening in server.servers:
        await listening.wait_closed()
