"""Running the gateway on a socket: the server, its signals, and a shutdown that lets streams finish."""

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
from typing import Final, NoReturn, TypeVar, cast

import uvicorn

from gateway.api.addresses import Addresses
from gateway.api.refusals import refuse
from gateway.app import Gateway
from gateway.config import Config, ServerConfig, is_loopback
from gateway.server import allocator, descriptors
from gateway.server.limits import ServerLimits
from gateway.server.protocol import HttpProtocol
from gateway.telemetry.logs import announce, log_event
from gateway.workers.load import PULSE_SECONDS

# An event loop that has not turned for so long is stuck, for whoever has asked it to stop and asks again.
_STUCK_SECONDS: Final = 3.0
# So many of the innermost calls say where.
_CALLS_SHOWN: Final = 5
# After the grace, interrupted streams have this long to tell their clients before the server cuts them.
_FAREWELL_SECONDS: Final = 5
# The same, where a second Ctrl-C ends everything.
_SHORT_FAREWELL_SECONDS: Final = 0.5
_BACKLOG: Final = 2048
# A request makes some hundred objects and hardly a cycle; at Python's default, 700, the collector runs for each one.
_COLLECTOR_THRESHOLDS: Final = (20_000, 20, 20)
# Of the largest size, on their way in; of the usual size that is far more.
_BODIES_IN_MEMORY: Final = 8

T = TypeVar("T")


class CannotListenError(Exception):
    """The address cannot be listened on; the text says why and what to do."""


def check_exposure(config: Config) -> None:
    """Without clients anybody who reaches the port can spend the keys, so only this machine may."""
    host = config.server.host
    if config.clients or is_loopback(host):
        return
    raise CannotListenError(
        f"server.host is {host}, which others can reach, but no clients are configured: anybody could use your keys.\n"
        "Either listen on 127.0.0.1, or say who may call:\n"
        "  clients:\n"
        "    - {name: my-app, api_key: ${MY_APP_KEY}}"
    )


def set_limits(limits: ServerLimits, config: ServerConfig, open_files: int | None) -> None:
    """Set the limits for clients of a process that may have so many files open."""
    possible = descriptors.connections_for(open_files)
    wanted = config.max_connections or descriptors.default_connections(open_files)
    if wanted > possible:
        said = "The system allows fewer connections than server.max_connections"
        log_event(logging.WARNING, said, connections=possible, open_files=open_files)
    limits.max_connections = min(wanted, possible)
    limits.max_per_address = config.max_connections_per_address or max(1, limits.max_connections // 2)
    limits.allow_bodies(config.max_buffered_bytes or _BODIES_IN_MEMORY * config.max_body_bytes)
    limits.write_seconds = config.client_write_seconds
    # A proxy's address stands for many clients.
    limits.is_exempt = Addresses(config.trusted_proxies).trusts


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises `CannotListenError`."""
    # Named as TCP, or asyncio leaves Nagle's algorithm on, which costs 40 ms an answer.
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


def url_of(listener: socket.socket) -> str:
    """The address that clients use."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """uvicorn, except that the first Ctrl-C ends well: no new connections, open streams get their time, exit code 0."""

    def __init__(self, gateway: Gateway, on_ready: Callable[[], None] = lambda: None) -> None:
        limits = ServerLimits()
        config = uvicorn.Config(
            gateway.app,
            interface="asgi3",
            http=cast(type[asyncio.Protocol], partial(HttpProtocol, refuse=refuse, limits=limits)),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            # Nobody here asks for the client's address, and it would be one more layer around each request.
            proxy_headers=False,
            timeout_keep_alive=75,
        )
        super().__init__(config)
        self.limits = limits
        self._gateway = gateway
        self._on_ready = on_ready
        self._beat_at = math.inf
        self._next_beat: asyncio.TimerHandle | None = None
        self._follow(gateway.config.server)

    def _follow(self, config: ServerConfig) -> None:
        """Take the limits for clients from the configuration that holds now."""
        self._followed = config
        set_limits(self.limits, config, descriptors.limit())

    async def on_tick(self, counter: int) -> bool:
        """What uvicorn does ten times a second, and a look whether there is a new configuration."""
        if self._gateway.config.server is not self._followed:
            self._follow(self._gateway.config.server)
        return await super().on_tick(counter)

    @property
    def _grace_seconds(self) -> float:
        return self._gateway.config.server.shutdown_grace_seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        if self.started:
            # What is there now stays: the collector need not look at it again with every few hundred objects.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*_COLLECTOR_THRESHOLDS)
            self.beat()
            self._on_ready()

    @property
    def is_stuck(self) -> bool:
        """Whether the event loop has not turned for some seconds; asked by signal handlers, which run all the same."""
        return time.monotonic() - self._beat_at > _STUCK_SECONDS

    def beat(self) -> None:
        """Show that the event loop turns, from now on until the server has ended."""
        self._beat_at = time.monotonic()
        self._next_beat = asyncio.get_running_loop().call_later(PULSE_SECONDS, self.beat)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Wait for open streams; those that outlive the grace end with an error that says why."""
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
        """A second Ctrl-C: whoever still waits is told, and the application ends as it began, without a traceback."""
        self._gateway.interrupts.shut_down()
        if tasks := tuple(self.server_state.tasks):
            await asyncio.wait(tasks, timeout=_SHORT_FAREWELL_SECONDS)
        await self.lifespan.shutdown()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn raises the signal again at the end, which would turn a clean stop into a failure."""
        handlers = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Say what is being waited for; a second signal ends a process whose event loop is stuck.

        Python calls this between two instructions of whatever runs, so it is also called in a loop that never ends.
        """
        # Taken in before anything is printed: the next signal may interrupt the printing.
        is_repeated = self.should_exit
        super().handle_exit(sig, frame)
        if is_repeated and self.is_stuck:
            give_up(frame)
        if count := len(self._gateway.interrupts):
            patience = "Ctrl-C again stops at once" if sig == signal.SIGINT else f"at most {self._grace_seconds:g} s"
            said = f"Stopping: {count} open requests may finish ({patience})."
            if is_repeated and sig == signal.SIGINT:
                said = f"Stopping at once: {count} open requests are cut off."
            announce(logging.INFO, said, f"\n{said}", open_requests=count)


def give_up(frame: FrameType | None) -> NoReturn:
    """End the process without its event loop, which would never come to it; `frame` is what it is doing."""
    try:
        calls = traceback.extract_stack(frame)[-_CALLS_SHOWN:]
        where = " > ".join(f"{os.path.basename(call.filename)}:{call.lineno} {call.name}" for call in calls)
        log_event(logging.ERROR, "The event loop is stuck, so the process ends without it", where=where)
    finally:
        # What waits for the loop would wait for ever, at the end of the process as well.
        os._exit(1)


async def serve(gateway: Gateway, listener: socket.socket, on_ready: Callable[[], None] = lambda: None) -> bool:
    """Serve until a signal comes; whether the end was orderly."""
    server = Server(gateway, on_ready)
    await server.serve(sockets=[listener])
    return server.started and not server.force_exit


def run(main: Coroutine[object, object, T]) -> T:
    """Run a coroutine on uvloop, where the platform has it, with all the file descriptors that it allows."""
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
    # Only for these another port would help; for what is left the address is wrong.
    option = "port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "host"
    what = "port" if option == "port" else "address"
    return f"Cannot listen on {address}: {why[:1].lower()}{why[1:]}. Choose another {what} with --{option}."
