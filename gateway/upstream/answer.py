"""One HTTP/1.1 answer as it arrives: bytes of a connection in, a head and pieces of a body out."""

import asyncio
from collections.abc import Callable
from typing import Final

import httptools

from gateway.upstream.failures import cut_off, in_words, unanswered, undecodable
from translators.errors import FailedError, Failure

# Anthropic's heads have about 2 KB; proxies in front of a host can add to that.
MAX_HEAD_BYTES: Final = 64 * 1024
# How much of a body may wait for a slow consumer; the kernel's buffers and one read of 256 KB come on top.
HIGH_WATER_BYTES: Final = 64 * 1024

# After a read of this size other connections have their turn: uvloop would continue with one connection as long as
# there is something to read, up to 8 MB, and delay all other streams.
FAIR_BYTES: Final = 64 * 1024

_SWITCHING_PROTOCOLS: Final = 101


class DirectAnswer:
    """The `UpstreamAnswer` of the direct client; its `on_...` methods are the parser's callbacks.

    `quiet_since` is when the host last sent something, or when somebody began to wait if that was later, on the loop's
    clock: silence counts only while somebody waits.
    """

    __slots__ = (
        "_end",
        "_has_framing",
        "_head",
        "_is_interim",
        "_is_paused",
        "_loop",
        "_parser",
        "_pieces",
        "_sink",
        "_size",
        "_transport",
        "_unfruitful_bytes",
        "_waiter",
        "failure",
        "has_begun",
        "has_head",
        "headers",
        "is_complete",
        "keeps_connection",
        "quiet_since",
        "status",
    )

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.has_begun = False
        self.has_head = False
        self.is_complete = False
        self.keeps_connection = False
        self.failure: Failure | None = None
        self.quiet_since = loop.time()
        self._transport = transport
        self._loop = loop
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._size = 0
        # Bytes since the last piece of the body: of the head, or of trailers.
        self._unfruitful_bytes = 0
        self._head = b""
        self._has_framing = False
        self._is_interim = False
        self._is_paused = False
        self._waiter: asyncio.Future[None] | None = None
        # Set while a consumer waits only for the end.
        self._end: asyncio.Future[None] | None = None
        self._sink: Callable[[bytes], bool] | None = None

    # Used by `gateway.service`.

    async def receive(self) -> bytes:
        """The part of the body that has arrived since the last call; empty at its end."""
        while not self._pieces:
            if self.failure is not None:
                raise FailedError(self.failure)
            if self.is_complete:
                return b""
            await self._news()
        return self._taken()

    async def push(self, sink: Callable[[bytes], bool]) -> None:
        """Pass each piece to `sink` from the network callback, so that no task has to be woken for it.

        Returns without doing so if pieces have already arrived: call `receive` for these first.
        """
        if self._pieces or self.is_complete or self.failure is not None:
            return
        self._sink = sink
        # Saves two dozen strings for each open stream; nobody reads them again.
        self.headers = {}
        try:
            await self._news()
        finally:
            self._sink = None

    async def ended(self) -> None:
        """Wait until the body is complete or has failed, without reading it: for a consumer that is too slow."""
        if self.is_complete or self.failure is not None:
            return
        self.quiet_since = self._loop.time()
        end = self._end = self._loop.create_future()
        try:
            await end
        finally:
            if self._end is end:
                self._end = None

    async def read(self, limit: int) -> bytes:
        """The whole body, or its first `limit` bytes."""
        # A list of pieces of one byte each would take forty times the memory.
        body = bytearray()
        while len(body) < limit and (piece := await self.receive()):
            body += piece
        return bytes(memoryview(body)[:limit])

    # Used by the connection.

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for the host; false if reading is paused."""
        return self._waiter is not None or (self._end is not None and not self._is_paused)

    @property
    def is_held_up(self) -> bool:
        """Whether the consumer does not read what has arrived."""
        return self._end is not None

    async def wait_for_head(self) -> None:
        """Wait for status and headers; raises `FailedError`."""
        while not self.has_head:
            if self.failure is not None:
                raise FailedError(self.failure)
            await self._news()

    def feed(self, data: bytes) -> None:
        """Take received bytes; afterwards `failure` and `is_complete` tell the result."""
        if self._parser is None:
            # Bytes after the end of the answer, which nobody asked for.
            self.keeps_connection = False
            return
        self.has_begun = True
        self.quiet_since = self._loop.time()
        self._unfruitful_bytes += len(data)
        if not self.has_head:
            self._head += data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # `on_headers_complete` has refused it already.
            self._parser = None
        except httptools.HttpParserError as error:
            self.fail(self._broken(f"not valid HTTP: {in_words(error)}"))
        if self._unfruitful_bytes > MAX_HEAD_BYTES and not self.is_complete:
            what = "trailers are" if self.has_head else "head is"
            self.fail(undecodable(f"the {what} larger than {MAX_HEAD_BYTES} bytes"))
        if self._sink is not None and self._pieces:
            self._push(self._sink)
        # After a complete answer the connection belongs to the next call.
        if not (self._is_paused or self.is_complete or self._transport.is_closing()):
            if self._size > HIGH_WATER_BYTES:
                self._pause()
            elif len(data) > FAIR_BYTES:
                self._pause()
                self._loop.call_soon(self._resume)
        if self._sink is None or self.is_complete or self.failure is not None:
            self._wake()

    def _push(self, sink: Callable[[bytes], bool]) -> None:
        """Pass `sink` what has arrived; `push` ends if it returns False or raises."""
        try:
            if sink(self._taken()):
                return
        except Exception as error:
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_exception(error)
        self._sink = None

    def drop(self) -> None:
        """Discard the rest, and break the reference cycle between parser and answer."""
        self._parser = None
        self._pieces.clear()

    def end(self, error: Exception | None) -> None:
        """The connection has ended, with an error or without; that completes only a body without a length."""
        if self.has_head and not self._has_framing and error is None:
            self.is_complete = True
        elif not self.is_complete:
            detail = in_words(error) if error is not None else "the connection was closed"
            self.fail(cut_off(detail) if self.has_head else unanswered(detail))
        self._wake()

    def fail(self, failure: Failure) -> None:
        """End the answer with a failure; what arrived before can still be received."""
        self._parser = None
        self.keeps_connection = False
        if not self.is_complete and self.failure is None:
            self.failure = failure
        self._wake()

    # Called by the parser.

    def on_message_begin(self) -> None:
        """An answer begins; if one is complete already, nobody asked for this one."""
        if self.is_complete:
            self.keeps_connection = False

    def on_headers_complete(self) -> None:
        """A head is complete; a 1xx answer is followed by the real one."""
        if self._parser is None:
            return
        status = self._parser.get_status_code()
        if status == _SWITCHING_PROTOCOLS:
            self.failure = undecodable("the host wants to switch protocols")
            return
        head, _, self._head = self._head.lstrip(b"\r\n").partition(b"\r\n\r\n")
        self._is_interim = status < 200
        if self._is_interim:
            return
        self._head = b""
        self.headers = _headers(head)
        encoding = self.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            self.failure = undecodable(f"content-encoding {encoding} was not asked for")
        self.status = status
        self._unfruitful_bytes = 0
        self._has_framing = "content-length" in self.headers or "transfer-encoding" in self.headers
        self.has_head = True

    def on_body(self, body: bytes) -> None:
        """A piece of the body; ignored after its end."""
        if self.failure is None and not self.is_complete:
            self._pieces.append(body)
            self._size += len(body)
            self._unfruitful_bytes = 0

    def on_message_complete(self) -> None:
        """An answer is complete, possibly an interim one."""
        if self._is_interim:
            self._unfruitful_bytes = 0
            return
        if self._parser is None:
            return
        self.is_complete = self.failure is None
        self.keeps_connection = self.is_complete and self._parser.should_keep_alive()
        self._parser = None

    def _broken(self, detail: str) -> Failure:
        return cut_off(detail) if self.has_head else undecodable(detail)

    def _taken(self) -> bytes:
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._size = 0
        self._resume()
        return data

    def _pause(self) -> None:
        self._is_paused = True
        self._transport.pause_reading()

    def _resume(self) -> None:
        """Resume reading if its reason is gone; also called after the answer is over."""
        if self._is_paused and self._size <= HIGH_WATER_BYTES:
            self._is_paused = False
            self.quiet_since = self._loop.time()
            if not self._transport.is_closing():
                self._transport.resume_reading()

    async def _news(self) -> None:
        self.quiet_since = self._loop.time()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self._end is not None and not self._end.done() and (self.is_complete or self.failure is not None):
            self._end.set_result(None)


def _headers(head: bytes) -> dict[str, str]:
    """Parse the headers of a head that the parser has accepted.

    A callback from the parser for each of some twenty headers would cost twice as much.
    """
    headers: dict[str, str] = {}
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        key, value = name.lower(), value.strip(" \t")
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers
