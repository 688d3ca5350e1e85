"""A worker: the gateway's server, on connections that its parent accepts; only the parent starts it."""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Container, Iterator
from types import FrameType
from typing import Final

from gateway.app import Gateway
from gateway.http.protocol import HttpProtocol
from gateway.keypool import PoolView
from gateway.pages.overviews import POOL
from gateway.process.serving import Server, give_up, run
from gateway.telemetry.logs import log_event, set_up_logging
from gateway.workers.assignment import Assignment
from gateway.workers.channel import DRAIN, RELOAD, RETIRE, STOP, STOP_NOW, Message, WorkersEnd
from gateway.workers.gathering import Showing
from gateway.workers.load import MOST_ON_THE_WAY, Report
from gateway.workers.process import restore_environment
from gateway.workers.quotas.leases import QuotaLeases
from gateway.workers.talk import Talk

# Report after this many connections, even early: the parent pauses at `MOST_ON_THE_WAY`.
_CONNECTIONS_A_REPORT: Final = MOST_ON_THE_WAY // 4


class WorkerServer(Server):
    """The gateway's server, with connections and commands from the parent, to which it reports its load."""

    def __init__(self, assignment: Assignment, channel: WorkersEnd, talk: socket.socket | None = None) -> None:
        # Without a talk, each worker counts alone.
        self._leases = None if talk is None else QuotaLeases()
        gateway = Gateway(
            assignment.config,
            callers_base_url=assignment.callers_base_url,
            key_sources=assignment.key_sources,
            worker=assignment.number,
            authority=self._leases,
        )
        self.pair = assignment.pair
        super().__init__(gateway)
        self._channel = channel
        self._talk_socket = talk
        self._showing = Showing(gateway.views)
        self._taken = 0
        self._connecting: set[asyncio.Task[None]] = set()
        # Connections without a request so far; on most of them one is about to arrive.
        self._new: set[HttpProtocol] = set()
        self._is_retiring = False
        self._wants_to_be_replaced = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, tell the parent, and take connections."""
        if self._talk_socket is not None and self._leases is not None:
            talk = await Talk.over(self._talk_socket, {**self._showing.answerers, **self._leases.answerers})
            self._showing.begin(talk)
            self._leases.begin(talk)
        await super().startup(sockets)
        await self._take_out_the_same()
        self._report()
        asyncio.get_running_loop().add_reader(self._channel, self._receive)

    async def _take_out_the_same(self) -> None:
        """Take out the keys that operators have taken out in the workers that are there already."""
        pool = (await self._gateway.views.see(POOL)).fields[POOL]
        assert isinstance(pool, PoolView), "the view's own merge has made it"
        for key in pool.keys:
            if key.standing.state == "taken_out":
                self._gateway.services.dispatcher.carry_out("take_out", key.name)

    def beat(self) -> None:
        """Send the parent a pulse as well."""
        super().beat()
        self._showing.pulse()
        if self._leases is not None:
            self._leases.pulse()
        self._report(is_pulse=True)

    async def on_tick(self, counter: int) -> bool:
        """Uvicorn's tick, ten times a second, and a report."""
        self._report()
        if self._is_retiring and not (self.server_state.connections or self._connecting or self._gateway.background):
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Report what is still open, and stop, including connections that were just being taken."""
        if self._connecting:
            await asyncio.wait(self._connecting)
        self._report()
        await super().shutdown(sockets)
        if self._leases is not None:
            self._leases.close()
        await self._showing.say_goodbye()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Keep signals captured to the end: only the parent ends a worker."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.handle_exit)
        # The parent sends SIGQUIT to a worker without a pulse before it kills it.
        signal.signal(signal.SIGQUIT, lambda _, frame: give_up(frame))
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Ask the parent for a replacement, with the next report."""
        self._wants_to_be_replaced = True

    def _receive(self) -> None:
        try:
            message = self._channel.receive()
        except EOFError:
            log_event(logging.WARNING, "The parent process has died, this worker stops")
            asyncio.get_running_loop().remove_reader(self._channel)
            message = Message(STOP)
        for connection in message.connections:
            self._take(connection)
        if message.command == RELOAD:
            self._reload(Assignment.decode(message.assignment))
        elif message.command == RETIRE:
            self._retire()
        elif message.command == DRAIN:
            self.drain()
        elif message.command in (STOP, STOP_NOW):
            self.should_exit = True
            self.force_exit = message.command == STOP_NOW

    def _reload(self, assignment: Assignment) -> None:
        set_up_logging(assignment.config.log.level, assignment.config.log.format, worker=assignment.number)
        self.pair = assignment.pair
        self._gateway.reload(assignment.config, assignment.key_sources)
        log_event(logging.INFO, "This worker uses the new configuration")

    def _take(self, connection: socket.socket) -> None:
        task = asyncio.create_task(self._connect(connection))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, connection: socket.socket) -> None:
        """Serve a connection as uvicorn does with connections that it accepted itself."""
        protocol = self._protocol(self.config)
        self._new.add(protocol)
        self._taken += 1
        if self._taken % _CONNECTIONS_A_REPORT == 0:
            self._report()
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: self.behind_tls(protocol), connection)
        except OSError:  # the client has left already
            self._new.discard(protocol)
            connection.close()

    def _retire(self) -> None:
        self._is_retiring = True
        for server in self.servers:
            server.close()
        self.close_after_answers()

    def _report(self, *, is_pulse: bool = False) -> None:
        state = self.server_state
        self._new = {protocol for protocol in self._new if self._is_new(protocol)}
        requests = len(state.tasks) + len(self._new) + len(self._gateway.background)
        report = Report(self._taken, requests, len(state.connections), self._wants_to_be_replaced)
        if self._channel.report(report, is_pulse=is_pulse):
            self._wants_to_be_replaced = False

    def _is_new(self, protocol: HttpProtocol) -> bool:
        """Whether a connection is open, or being opened, and has had no request."""
        connections: Container[object] = self.server_state.connections
        is_gone = protocol.transport is not None and protocol not in connections
        return protocol.is_new and not is_gone


def main() -> int:
    """Serve what the parent sends until it says stop; returns the exit code."""
    restore_environment()
    # The first argument is only there for people who read the list of processes.
    with sys.stdin.buffer as order:
        data = order.read()
    if not data:  # the parent has gone
        return 1
    assignment = Assignment.decode(data)
    config = assignment.config
    set_up_logging(config.log.level, config.log.format, worker=assignment.number)
    channel = WorkersEnd(socket.socket(fileno=int(sys.argv[2])))
    # A parent of an older version has no second socket.
    talk = socket.socket(fileno=int(sys.argv[3])) if len(sys.argv) > 3 else None
    server = WorkerServer(assignment, channel, talk)
    run(server.serve(sockets=[]))
    return 0 if server.started and not server.force_exit else 1


if __name__ == "__main__":
    sys.exit(main())
