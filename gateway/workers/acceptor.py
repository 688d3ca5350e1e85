"""The listening socket: accepts connections and passes each to the least loaded worker."""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Sequence
from typing import Final

from gateway.telemetry.logs import log_event
from gateway.workers.process import Phase, Worker

# After this many, reports and signals are handled.
_CONNECTIONS_A_TURN: Final = 64
# The pause after a failed accept, for example when file descriptors have run out.
_PAUSE_SECONDS: Final = 1.0


class Acceptor:
    """Accepts while a worker can take a connection; otherwise new connections wait in the kernel's backlog."""

    def __init__(self, listener: socket.socket, workers: Sequence[Worker]) -> None:
        self._listener = listener
        self._workers = workers
        self._turns = 0
        self._is_open = False
        self._is_accepting = False
        # Connections whose worker died before they could be passed on.
        self._stranded: deque[socket.socket] = deque()

    def open(self) -> None:
        self._is_open = True
        self.go_on()

    def close(self) -> None:
        """Stop accepting; new connections are refused."""
        self._is_open = False
        self._pause()
        self._listener.close()
        for connection in self._stranded:
            connection.close()

    def go_on(self) -> None:
        """Resume accepting if paused; call this when a worker may have room again."""
        if self._is_open and not self._is_accepting:
            self._is_accepting = True
            asyncio.get_running_loop().add_reader(self._listener, self._accept)
        while self._stranded and self._hand(self._stranded[0]):
            self._stranded.popleft()

    def _pause(self) -> None:
        if self._is_accepting:
            self._is_accepting = False
            asyncio.get_running_loop().remove_reader(self._listener)

    def _accept(self) -> None:
        for _ in range(_CONNECTIONS_A_TURN):
            if not self._takers():
                self._pause()
                return
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log_event(logging.ERROR, "A connection could not be accepted", why=error.strerror)
                self._pause()
                asyncio.get_running_loop().call_later(_PAUSE_SECONDS, self.go_on)
                return
            if not self._hand(connection):
                self._stranded.append(connection)

    def _hand(self, connection: socket.socket) -> bool:
        for worker in self._takers():
            if worker.channel.hand(connection):
                self._turns += 1
                worker.load.hand(self._turns)
                return True
        return False

    def _takers(self) -> list[Worker]:
        """The workers that can take a connection, the least loaded first."""
        able = [worker for worker in self._workers if worker.phase is Phase.SERVING and worker.load.has_room]
        return sorted(able, key=lambda worker: worker.load.weight)
