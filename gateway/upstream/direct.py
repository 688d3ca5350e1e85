"""The upstream client of the hot path: HTTP/1.1 with asyncio protocols and httptools, one connection per open call.

It is made for many long streams to a few hosts. `httpx2_client.py` handles proxies.
"""

import asyncio
import re
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit

from gateway.service.ports import Call, Endpoint, HttpCall
from gateway.upstream.answer import DirectAnswer
from gateway.upstream.connection import Connection
from gateway.upstream.dialing import connect
from gateway.upstream.failures import unsendable_key
from gateway.upstream.limits import TimeLimits
from translators.errors import ErrorKind, FailedError, Failure

# The most idle connections that are kept for a host.
MAX_IDLE: Final = 256
# If the host closed an idle connection while a call was on its way, we learn that within one round trip. A host that
# received the call cannot have processed it within another. The seconds allow for a busy event loop.
_STALE_ROUND_TRIPS: Final = 2
_STALE_SECONDS: Final = 0.005
# Callers choose some of the headers, so the number of different sets needs a limit.
_MOST_KNOWN_LINES: Final = 1000
_LONGEST_KNOWN_LINES: Final = 1024
_CONTROLS: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class DirectUpstream:
    """An `Upstream` that connects directly; `tls` is called when the first host needs it."""

    def __init__(self, limits: TimeLimits, tls: Callable[[], ssl.SSLContext]) -> None:
        self._limits = limits
        self._tls = tls
        self._hosts: dict[str, _Host] = {}
        self._most_idle = MAX_IDLE

    def open(self, endpoint: Endpoint, call: Call) -> "_Opening":
        """Send a call; every failure on the way is a `FailedError` with its kind."""
        return _Opening(self, endpoint, endpoint.prepare(call))

    def retire(self) -> None:
        """Close idle connections now, and each of the others when its answer has ended."""
        self._most_idle = 0
        for host in self._hosts.values():
            host.keep_idle(0)

    async def close(self) -> None:
        for host in self._hosts.values():
            host.close()
        # The transports close in callbacks; let these run.
        await asyncio.sleep(0)

    async def send(self, call: HttpCall) -> tuple["_Host", Connection, DirectAnswer]:
        """Send a call, and wait for the head of its answer; raises `FailedError`."""
        host = self._host(call.base_url)
        head = host.head_of(call)
        connection = host.idle() or await host.connect()
        while True:
            answer = connection.begin(head, call.body, call.spent_seconds)
            try:
                await answer.wait_for_head()
            except BaseException as error:
                connection.abort()
                if not (isinstance(error, FailedError) and _was_stale(connection, answer)):
                    raise
            else:
                return host, connection, answer
            # Not another idle connection: if one was stale, all may be.
            connection = await host.connect()

    def _host(self, base_url: str) -> "_Host":
        host = self._hosts.get(base_url)
        if host is None:
            host = self._hosts[base_url] = _Host(base_url, self._limits, self._tls, self._most_idle)
        return host


class _Opening:
    """The context manager of one call."""

    __slots__ = ("_call", "_connection", "_endpoint", "_host", "_upstream")

    def __init__(self, upstream: DirectUpstream, endpoint: Endpoint, call: HttpCall) -> None:
        self._upstream = upstream
        self._endpoint = endpoint
        self._call = call

    async def __aenter__(self) -> DirectAnswer:
        call = self._call
        # Free the request's body: the block can last long, and the call is not needed again.
        del self._call
        try:
            self._host, self._connection, answer = await self._upstream.send(call)
        except FailedError as error:
            raise self._redacted(error) from error
        return answer

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._host.release(self._connection)
        if isinstance(error, FailedError):
            raise self._redacted(error) from error

    def _redacted(self, error: FailedError) -> FailedError:
        # Hosts repeat the key they refuse.
        return FailedError(error.failure.redacted(self._endpoint.redact))


class _Host:
    """The connections to one host; `base_url` is what stands before `/v1/messages`."""

    def __init__(self, base_url: str, limits: TimeLimits, tls: Callable[[], ssl.SSLContext], most_idle: int) -> None:
        url = urlsplit(base_url)
        self._name = url.hostname or ""
        self._port = url.port or _DEFAULT_PORTS[url.scheme]
        self._tls = tls if url.scheme == "https" else None
        self._limits = limits
        self._most_idle = most_idle
        self._path = url.path.rstrip("/")
        name = f"[{self._name}]" if ":" in self._name else self._name
        self._host_header = name if self._port == _DEFAULT_PORTS[url.scheme] else f"{name}:{self._port}"
        # An ordered set: the one used last is used next, so that those not needed run out.
        self._idle: dict[Connection, None] = {}
        self._open: set[Connection] = set()
        self._known_lines: dict[object, bytes] = {}

    def head_of(self, call: HttpCall) -> bytes:
        """The request line and headers of a call; raises `FailedError` for a key that no header can carry."""
        lines = self._kept_lines(call)
        if call.body or call.method == "POST":
            return b"%bcontent-length: %d\r\n\r\n" % (lines, len(call.body))
        return lines + b"\r\n"

    def _kept_lines(self, call: HttpCall) -> bytes:
        """All lines but the content-length; most calls have the same, so they are cached."""
        if not call.is_known:
            # Do not keep a caller's own key.
            return self._lines(call)
        asked = (call.headers, call.method, call.path)
        lines = self._known_lines.get(asked)
        if lines is None:
            lines = self._lines(call)
            if len(lines) > _LONGEST_KNOWN_LINES:
                return lines
            if len(self._known_lines) >= _MOST_KNOWN_LINES:
                self._known_lines.clear()
            self._known_lines[asked] = lines
        return lines

    def _lines(self, call: HttpCall) -> bytes:
        lines = [
            f"{call.method} {self._path}{call.path} HTTP/1.1",
            f"host: {self._host_header}",
            *[f"{name}: {value}" for name, value in call.headers],
        ]
        text = "\n".join(lines)
        if not text.isascii() or _CONTROLS.search(text) or text.count("\n") >= len(lines):
            raise FailedError(unsendable_key())
        return text.replace("\n", "\r\n").encode("ascii") + b"\r\n"

    def idle(self) -> Connection | None:
        """An idle connection, if there is a usable one."""
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.is_usable and connection.is_quiet:
                return connection
            connection.abort()
        return None

    async def connect(self) -> Connection:
        """Open a connection; raises `FailedError`."""
        connection = await connect(
            lambda: Connection(self._limits, self._forget),
            self._name,
            self._port,
            self._tls,
            limit_seconds=self._limits.connect_seconds,
        )
        self._open.add(connection)
        return connection

    def release(self, connection: Connection) -> None:
        """Keep a connection after its call if it can be used again."""
        if connection.leave():
            self._idle[connection] = None
            self._close_oldest()

    def keep_idle(self, most: int) -> None:
        """Limit the number of idle connections."""
        self._most_idle = most
        self._close_oldest()

    def close(self) -> None:
        """Close all connections, including those in use."""
        for connection in tuple(self._open):
            connection.abort()

    def _close_oldest(self) -> None:
        while len(self._idle) > self._most_idle:
            oldest = next(iter(self._idle))
            del self._idle[oldest]
            oldest.abort()

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._idle.pop(connection, None)


def _was_stale(connection: Connection, answer: DirectAnswer) -> bool:
    """Whether the host closed the connection before it can have processed the call."""
    failure: Failure | None = answer.failure
    return (
        connection.has_served
        and not answer.has_begun
        and failure is not None
        and failure.kind is ErrorKind.UNREACHABLE
        and connection.call_age < _STALE_ROUND_TRIPS * connection.round_trip_seconds + _STALE_SECONDS
    )
