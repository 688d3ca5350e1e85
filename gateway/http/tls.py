"""TLS in front of a connection: decrypts for the protocol behind it, and encrypts what that writes.

Not asyncio's own: here the connection counts, and its time runs, from the first moment and not from the end of the
handshake; it holds only what has come, where asyncio reserves 256 KB; and a client that speaks plain HTTP is told so.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable
from typing import Any, Final, cast

# The type of the record that every handshake begins with (RFC 8446, section 5.1).
_HANDSHAKE: Final = 22
# What clients send in a handshake is some hundred bytes, and with large keys some thousand.
MAX_HANDSHAKE_BYTES: Final = 64 * 1024
# What is sent because of something received, apart from answers: tickets, and answers to key updates.
MAX_REACTION_BYTES: Final = 64 * 1024
_READ_BYTES: Final = 256 * 1024

logger: Final = logging.getLogger("uvicorn.error")


class TlsConnection(asyncio.Protocol):
    """The protocol of a TCP connection, and the transport of the protocol behind it.

    The protocol behind it is connected at once; it gets data, and can write, when the handshake has ended. Until then
    it may only close. `plain_answer` makes what a client gets that does not begin a handshake.
    """

    def __init__(self, behind: asyncio.Protocol, context: ssl.SSLContext, plain_answer: Callable[[], bytes]) -> None:
        self._behind = behind
        self._context = context
        self._plain_answer = plain_answer
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._is_open = False
        # The bytes received before the handshake has ended, then those sent without having been written from behind.
        self._own_bytes = 0
        # Whether to stay open for answers after the client has closed its side; None until it does.
        self._stays_open: bool | None = None

    # The protocol of the TCP connection.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._behind.connection_made(cast(asyncio.Transport, self))

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_open = False
        self._tls = None
        self._behind.connection_lost(exc)

    def pause_writing(self) -> None:
        self._behind.pause_writing()

    def resume_writing(self) -> None:
        self._behind.resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._transport.is_closing() or not (self._tls or self._begins(data)):
            return
        self._incoming.write(data)
        try:
            if not (self._is_open or self._shakes_hands(len(data))):
                return
            plain, has_ended = self._read()
        except ssl.SSLError as error:
            # The alert says the same to the client.
            logger.debug("A TLS connection has failed: %s", error.reason)
            self._react()
            self._transport.close()
            return
        self._react()
        if plain:
            self._behind.data_received(plain)
        if has_ended and self._stays_open is None and not self._transport.is_closing():
            self._stays_open = bool(self._behind.eof_received())
            if not self._stays_open:
                self.close()

    def eof_received(self) -> bool:
        """The client has closed its side of the TCP connection, with or without closing TLS before."""
        if self._stays_open is None:
            self._stays_open = self._is_open and bool(self._behind.eof_received())
        return self._stays_open

    # The transport of the protocol behind.

    def write(self, data: bytes) -> None:
        """Encrypt and send; without effect before the handshake has ended."""
        if not (data and self._is_open and self._tls) or self._transport.is_closing():
            return
        try:
            written = self._tls.write(data)
            while written < len(data):
                written += self._tls.write(memoryview(data)[written:])
        except ssl.SSLError:
            self._transport.abort()
            return
        self._transport.write(self._outgoing.read())

    def close(self) -> None:
        """Tell the client that nothing more will come, and close when that is sent."""
        if self._is_open and self._tls and not self._transport.is_closing():
            self._is_open = False
            # Nobody waits for the client to say the same.
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
            self._transport.write(self._outgoing.read())
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._context if name == "sslcontext" else self._transport.get_extra_info(name, default)

    # Inside.

    def _begins(self, data: bytes) -> bool:
        """Whether a handshake begins; anything else ends the connection."""
        if data[0] != _HANDSHAKE:
            if data[:1].isalpha():
                self._transport.write(self._plain_answer())
            self._transport.close()
            return False
        self._tls = self._context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        return True

    def _shakes_hands(self, size: int) -> bool:
        """Go on with the handshake, `size` further bytes of which have come; returns whether it has ended."""
        assert self._tls is not None
        self._own_bytes += size
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._transport.write(self._outgoing.read())
            if self._own_bytes > MAX_HANDSHAKE_BYTES:
                self._transport.abort()
            return False
        self._is_open = True
        self._own_bytes = 0
        return True

    def _read(self) -> tuple[bytes, bool]:
        """What the client has sent, and whether it has said that this was all."""
        assert self._tls is not None
        pieces: list[bytes] = []
        try:
            while piece := self._tls.read(_READ_BYTES):
                pieces.append(piece)
        except ssl.SSLWantReadError:
            return b"".join(pieces), False
        return b"".join(pieces), True

    def _react(self) -> None:
        """Send what TLS itself has to say, which a client cannot have grow without bounds."""
        if answer := self._outgoing.read():
            self._own_bytes += len(answer)
            self._transport.write(answer)
            if self._own_bytes > MAX_REACTION_BYTES:
                self._transport.abort()
