"""Messages between parent and worker over a pair of Unix sockets; neither end ever waits for the other.

The parent sends commands, single bytes: `CONNECTION` with an accepted socket, `RELOAD` with a file that holds an
assignment. The worker sends reports.
"""

import contextlib
import socket
import struct
from typing import Final, NamedTuple

from gateway.workers.load import Report

CONNECTION: Final = b"c"
RELOAD: Final = b"l"
"""Serve by another configuration from now on."""
RETIRE: Final = b"r"
"""No more connections will come: serve those that there are to their end, however long, then leave."""
DRAIN: Final = b"d"
"""A stop will follow: serve on, but say at /readyz that requests should go elsewhere."""
STOP: Final = b"s"
"""Stop within the grace, as after a first Ctrl-C."""
STOP_NOW: Final = b"n"
"""Stop at once, as after a second."""

_REPORT: Final = struct.Struct("<QII?")
_READ_BYTES: Final = 4096
# A message carries one socket; if a system merges several messages, no socket may be lost.
_MOST_SOCKETS: Final = 16


class ParentsEnd:
    """The end that sends commands and reads reports."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self._unread = b""

    def fileno(self) -> int:
        return self._end.fileno()

    def close(self) -> None:
        """Close it, which tells a living worker to stop."""
        self._end.close()

    def hand(self, connection: socket.socket) -> bool:
        """Pass a connection on; False if the worker cannot take it, and then it still belongs to the caller."""
        if not self._send(CONNECTION, connection.fileno()):
            return False
        connection.close()
        return True

    def reload(self, assignment: int) -> bool:
        """Send the worker its new assignment; False if it cannot take it."""
        return self._send(RELOAD, assignment)

    def command(self, command: bytes) -> None:
        """Send a command; does nothing if the worker is gone."""
        with contextlib.suppress(OSError):
            self._end.send(command)

    def _send(self, command: bytes, descriptor: int) -> bool:
        try:
            socket.send_fds(self._end, [command], [descriptor])
        except OSError:
            return False
        return True

    def receive(self) -> list[Report]:
        """The reports that have arrived; raises `EOFError` if the worker is gone."""
        try:
            data = self._end.recv(_READ_BYTES)
        except BlockingIOError:
            return []
        except OSError as error:
            raise EOFError from error
        if not data:
            raise EOFError
        self._unread += data
        whole = len(self._unread) // _REPORT.size * _REPORT.size
        reports, self._unread = self._unread[:whole], self._unread[whole:]
        return [Report(*values) for values in _REPORT.iter_unpack(reports)]


class Message(NamedTuple):
    """A command for a worker, with the socket or file that came with it."""

    command: bytes
    connections: tuple[socket.socket, ...] = ()
    assignment: bytes = b""


class WorkersEnd:
    """The end that takes connections and sends reports."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self._last_report: Report | None = None

    def fileno(self) -> int:
        return self._end.fileno()

    def receive(self) -> Message:
        """The next command, empty if there is none; raises `EOFError` if the parent is gone."""
        try:
            command, descriptors, _, _ = socket.recv_fds(self._end, 1, _MOST_SOCKETS)
        except BlockingIOError:
            return Message(b"")
        except OSError as error:
            raise EOFError from error
        if not command:
            raise EOFError
        if command == RELOAD:
            return Message(command, assignment=b"".join(map(_content, descriptors)))
        # Not all systems report the protocol of a socket, and asyncio sets TCP_NODELAY only if it is TCP.
        sockets = [socket.socket(proto=socket.IPPROTO_TCP, fileno=found) for found in descriptors]
        return Message(command, tuple(sockets))

    def report(self, report: Report, *, is_pulse: bool = False) -> bool:
        """Send a report, unless the parent has it already; False if its buffer is full, or it is gone.

        A pulse is sent even if nothing has changed.
        """
        if is_pulse or report != self._last_report:
            try:
                self._end.send(_REPORT.pack(*report))
            except OSError:
                return False
            self._last_report = report
        return True


def _content(descriptor: int) -> bytes:
    with open(descriptor, "rb") as file:
        return file.read()
