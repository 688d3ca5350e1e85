"""The listening socket: accepts connections and gives each to the worker with the least to do."""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Sequence
from typing import Final

from gateway.telemetry.logs import log_event
from gateway.workers.process import Phase, Worker

# Then reports and signals get their turn.
_CONNECTIONS_A_TURN: Final = 64
# After the system could not give us another connection, as when all file descriptors are taken.
_PAUSE_SECONDS: Final = 1.0


class Door:
    """Accepts while there is a worker who can take a connection; meanwhile new ones wait with the kernel."""

    def __init__(self, listener: socket.socket, workers: Sequence[Worker]) -> None:
        self._listener = listener
        self._workers = workers
        self._turns = 0
        self._is_open = False
        self._is_accepting = False
        # Accepted for a worker who died before it could be handed over.
        self._stranded: deque[socket.socket] = deque()

    def open(self) -> None:
        """Begin to accept."""
        self._is_open = True
        self.go_on()

    def close(self) -> None:
        """Accept no more; who comes now is refused."""
        self._is_open = False
        self._pause()
        self._listener.close()
        for connection in self._stranded:
            connection.close()

    def go_on(self) -> None:
        """Accept again if it was paused; to be called when a worker may have room."""
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
        """The workers who can take a connection, the least loaded first."""
        able = [worker for worker in self._workers if worker.phase is Phase.SERVING and worker.load.has_room]
        return sorted(able, key=lambda worker: worker.load.weight)
