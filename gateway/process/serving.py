"""Runs the gateway on a socket: server, signals, and a shutdown that lets streams finish."""

import asyncio
import contextlib
import errno
import gc
import logging
import math
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from types import FrameType
from typing import Any, Final, NoReturn, TypeVar, cast

import uvicorn
from uvicorn.server import ServerState

from gateway.accounts.opening import has_stored_keys
from gateway.app import Gateway
from gateway.config import Certificate, Config, Pair, ServerConfig, is_loopback
from gateway.edge.addresses import Addresses
from gateway.edge.refusals import refuse
from gateway.http import allocator, descriptors
from gateway.http.limits import ServerLimits
from gateway.http.protocol import HttpProtocol
from gateway.http.refusals import NOT_ENCRYPTED
from gateway.http.tls import TlsConnection
from gateway.process.certificates import renewed, tell_expiry
from gateway.process.metrics_port import open_metrics_port
from gateway.telemetry.logs import announce, log_event
from gateway.workers.load import PULSE_SECONDS

# After a repeated stop signal, an event loop without an iteration for this long counts as stuck.
_STUCK_SECONDS: Final = 3.0
# The number of innermost calls in the log line.
_CALLS_SHOWN: Final = 5
# After the grace period, interrupted streams have this long to notify their clients before they are cut.
_FAREWELL_SECONDS: Final = 5
# The same after a second Ctrl-C.
_SHORT_FAREWELL_SECONDS: Final = 0.5
_BACKLOG: Final = 2048
_CLOSE: Final = (b"connection", b"close")
# A request allocates some hundred objects and hardly any cycles; with Python's default, 700, every request would
# trigger a collection.
_COLLECTOR_THRESHOLDS: Final = (20_000, 20, 20)
# The number of largest bodies that may be in memory at once; for bodies of usual size this is plenty.
_BODIES_IN_MEMORY: Final = 8

T = TypeVar("T")


class CannotListenError(Exception):
    """The address cannot be listened on; the text says why and what to do."""


def check_exposure(config: Config) -> None:
    """Without clients and stored keys anyone who reaches the port can use the pool: allow loopback addresses only."""
    host = config.server.host
    if config.clients or is_loopback(host) or has_stored_keys(config.accounts):
        return
    raise CannotListenError(
        f"server.host is {host}, which others can reach, but no clients are configured: anybody could use your keys.\n"
        "Either listen on 127.0.0.1, or make keys for callers (dragoman keys create), or say who may call:\n"
        "  clients:\n"
        "    - {name: my-app, api_key: ${MY_APP_KEY}}"
    )


def set_limits(limits: ServerLimits, config: ServerConfig, open_files: int | None) -> None:
    """Set the client limits of a process that may open `open_files` files."""
    possible = descriptors.connections_for(open_files)
    wanted = config.max_connections or descriptors.default_connections(open_files)
    if wanted > possible:
        said = "The system allows fewer connections than server.max_connections"
        log_event(logging.WARNING, said, connections=possible, open_files=open_files)
    limits.max_connections = min(wanted, possible)
    limits.max_per_address = config.max_connections_per_address or max(1, limits.max_connections // 2)
    limits.allow_bodies(config.max_buffered_bytes or _BODIES_IN_MEMORY * config.max_body_bytes)
    limits.write_seconds = config.client_write_seconds
    # A proxy's address represents many clients.
    limits.is_exempt = Addresses(config.trusted_proxies).trusts


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises `CannotListenError`."""
    # With an explicit IPPROTO_TCP asyncio disables Nagle's algorithm, which would delay answers by 40 ms.
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotListenError(_cannot_listen(host, port, error)) from error
    listener.setblocking(False)
    return listener


def url_of(listener: socket.socket, *, is_secure: bool = False) -> str:
    """The URL for clients."""
    scheme = "https" if is_secure else "http"
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class Server(uvicorn.Server):
    """uvicorn, but the first Ctrl-C stops accepting, lets open streams finish, and exits with code 0."""

    # What to show instead of what is in the files of server.tls, which may have become wrong.
    pair: Pair | None = None

    def __init__(self, gateway: Gateway, on_ready: Callable[[], None] = lambda: None) -> None:
        self.limits = ServerLimits()
        self.refuse = gateway.observing.serving(self.limits, refuse)
        self._certificate: Certificate | None = None
        config = uvicorn.Config(
            gateway.app,
            interface="asgi3",
            http=cast(type[asyncio.Protocol], self._connection),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            # Nothing uses uvicorn's client address, and it would be one more layer around each request.
            proxy_headers=False,
            timeout_keep_alive=75,
        )
        super().__init__(config)
        self._gateway = gateway
        self._on_ready = on_ready
        self._beat_at = math.inf
        self._next_beat: asyncio.TimerHandle | None = None
        # When to stop accepting, once a signal has asked for the end.
        self._leave_at: float | None = None
        self._follow(gateway.config.server)

    def _protocol(self, config: uvicorn.Config) -> HttpProtocol:
        """A connection to the application of this configuration, within the limits for all of them."""
        state = self.lifespan.state
        return HttpProtocol(config, self.server_state, state, refuse=self.refuse, limits=self.limits)

    def _follow(self, config: ServerConfig) -> None:
        """Apply the client limits of the current configuration."""
        self._followed = config
        set_limits(self.limits, config, descriptors.limit())
        if config.tls is not None:
            self._certificate = renewed(self._certificate, config.tls, self.pair)

    def behind_tls(self, protocol: HttpProtocol) -> asyncio.Protocol:
        """The protocol of a new TCP connection, which is encrypted if there is a certificate."""
        if self._certificate is None:
            return protocol
        return TlsConnection(protocol, self._certificate.context, partial(self.refuse, NOT_ENCRYPTED, b"", ()))

    def _connection(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> asyncio.Protocol:
        return self.behind_tls(
            HttpProtocol(config, server_state, app_state, _loop, refuse=self.refuse, limits=self.limits)
        )

    async def on_tick(self, counter: int) -> bool:
        """uvicorn calls this ten times a second; also apply a changed configuration."""
        if self._gateway.config.server is not self._followed:
            self._follow(self._gateway.config.server)
        if counter == 0 and self._certificate is not None:
            # At the start, then once a day: uvicorn's counter begins anew.
            tell_expiry(self._certificate, time.time())
        if self._leave_at is not None and time.monotonic() >= self._leave_at:
            self.should_exit = True
        return await super().on_tick(counter)

    def drain(self) -> None:
        """Say at /readyz that requests should go elsewhere, and close connections after their next answers."""
        self._gateway.readiness.drain()
        self.close_after_answers()

    def close_after_answers(self) -> None:
        """Let each connection end by itself: after its next answer, or when it has been idle for too long.

        Closing idle connections now would break requests that clients are about to send.
        """
        self.config.encoded_headers.append(_CLOSE)
        self.server_state.default_headers = [*self.server_state.default_headers, _CLOSE]

    @property
    def _drain_seconds(self) -> float:
        return self._gateway.config.server.drain_seconds

    @property
    def _grace_seconds(self) -> float:
        return self._gateway.config.server.shutdown_grace_seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.servers += await open_metrics_port(self._gateway.config, self._gateway.app, self._protocol)
            # Exclude the objects that exist now from future collections.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*_COLLECTOR_THRESHOLDS)
            self.beat()
            self._on_ready()

    @property
    def is_stuck(self) -> bool:
        """Whether the event loop has been stuck for some seconds; called by signal handlers, which run regardless."""
        return time.monotonic() - self._beat_at > _STUCK_SECONDS

    def beat(self) -> None:
        """Record that the event loop is running, repeatedly until the server has ended."""
        self._beat_at = time.monotonic()
        self._next_beat = asyncio.get_running_loop().call_later(PULSE_SECONDS, self.beat)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Wait for open streams; those that outlast the grace period end with an error that says why."""
        self._gateway.readiness.drain()
        self.config.timeout_graceful_shutdown = math.ceil(self._grace_seconds) + _FAREWELL_SECONDS
        timer = asyncio.get_running_loop().call_later(self._grace_seconds, self._gateway.interrupts.shut_down)
        try:
            await super().shutdown(sockets)
        finally:
            timer.cancel()
        if self.force_exit:
            await self._hurry()
        if self._next_beat is not None:
            self._next_beat.cancel()

    async def _hurry(self) -> None:
        """On a second Ctrl-C: end open requests with an error, and the application without a traceback."""
        self._gateway.interrupts.shut_down()
        if tasks := tuple(self.server_state.tasks):
            await asyncio.wait(tasks, timeout=_SHORT_FAREWELL_SECONDS)
        await self.lifespan.shutdown()

    def _begin_to_drain(self) -> bool:
        """Serve on for the configured time before stopping; False if that has begun already."""
        if self._leave_at is not None:
            return False
        seconds = self._drain_seconds
        self._leave_at = time.monotonic() + seconds
        self.drain()
        log_event(logging.INFO, "Draining: requests are still served, /readyz refuses", seconds=seconds)
        return True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Unlike uvicorn, do not raise the signal again at the end: a clean stop would look like a failure."""
        handlers = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Log what is being waited for; a second signal ends a process whose event loop is stuck.

        Python runs signal handlers between two bytecode instructions, so this also works inside an endless loop.
        """
        # Update the state before printing: the next signal may interrupt the printing.
        is_repeated = self.should_exit
        if drains := sig == signal.SIGTERM and not is_repeated and self._drain_seconds > 0:
            is_repeated = not self._begin_to_drain()
        else:
            super().handle_exit(sig, frame)
        if is_repeated and self.is_stuck:
            give_up(frame)
        if drains:
            return
        if count := len(self._gateway.interrupts):
            patience = "Ctrl-C again stops at once" if sig == signal.SIGINT else f"at most {self._grace_seconds:g} s"
            said = f"Stopping: {count} open requests may finish ({patience})."
            if is_repeated and sig == signal.SIGINT:
                said = f"Stopping at once: {count} open requests are cut off."
            announce(logging.INFO, said, f"\n{said}", open_requests=count)


def give_up(frame: FrameType | None) -> NoReturn:
    """End the process without its stuck event loop; `frame` is what it is executing."""
    try:
        calls = traceback.extract_stack(frame)[-_CALLS_SHOWN:]
        where = " > ".join(f"{os.path.basename(call.filename)}:{call.lineno} {call.name}" for call in calls)
        log_event(logging.ERROR, "The event loop is stuck, so the process ends without it", where=where)
    finally:
        # Cleanup at process exit would wait for the stuck loop forever.
        os._exit(1)


async def serve(gateway: Gateway, listener: socket.socket, on_ready: Callable[[], None] = lambda: None) -> bool:
    """Serve until a signal arrives; returns whether the shutdown was orderly."""
    server = Server(gateway, on_ready)
    await server.serve(sockets=[listener])
    return server.started and not server.force_exit


def run(main: Coroutine[object, object, T]) -> T:
    """Run a coroutine, on uvloop if the platform has it, with the maximum number of file descriptors."""
    descriptors.raise_limit()
    allocator.give_back_what_is_free()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    if sys.platform == "win32":
        return asyncio.new_event_loop
    import uvloop

    return uvloop.new_event_loop


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    why = error.strerror or str(error)
    # Only for these errors another port helps; for the others the address is wrong.
    option = "port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "host"
    what = "port" if option == "port" else "address"
    return f"Cannot listen on {address}: {why[:1].lower()}{why[1:]}. Choose another {what} with --{option}."
