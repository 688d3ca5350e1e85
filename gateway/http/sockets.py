"""What the system knows of a client's socket, and asyncio does not tell."""

import asyncio
import contextlib
import socket
import struct
import sys
from typing import Final

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


def unsent_bytes(transport: asyncio.Transport) -> int:
    """How much was written and has not reached the client: with us, and, where the system tells, in its own buffers.

    With ours alone a slow client would look like one that takes nothing: the system asks for more only after a third
    of its buffer, which can be megabytes, is free.
    """
    return transport.get_write_buffer_size() + _unsent_by_system(transport)


def was_reset(transport: asyncio.Transport) -> bool:
    """Whether the other side has refused what was sent; where the reading has ended, nobody else hears of that."""
    sock: socket.socket | None = transport.get_extra_info("socket")
    try:
        return sock is not None and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
    except OSError:
        return True


def cut(transport: asyncio.Transport) -> None:
    """End a connection at once, and have the system forget what it still holds for it."""
    sock: socket.socket | None = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()


if sys.platform == "win32":

    def _unsent_by_system(transport: asyncio.Transport) -> int:
        return 0

else:
    import fcntl
    import termios

    def _unsent_by_system(transport: asyncio.Transport) -> int:
        sock: socket.socket | None = transport.get_extra_info("socket")
        if sock is None:
            return 0
        try:
            answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
        except OSError:
            return 0
        return int.from_bytes(answer, sys.byteorder)
