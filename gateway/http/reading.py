"""Parses the bytes of one connection into requests."""

from collections.abc import Callable
from typing import Final, TypeAlias
from urllib.parse import unquote

import httptools
from starlette.types import Scope

from gateway.http.request import ServedRequest
from gateway.http.request_head import MAX_HEADERS, check_head, target_parts

Begin: TypeAlias = Callable[[Scope, bool, bool], ServedRequest]
"""Called with a scope, whether the connection may be kept alive, and whether the client expects `100 Continue`."""

Address: TypeAlias = tuple[str, int | None]

_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}


class RequestReader:
    """Calls `begin` for each head, and passes the body to the request that `begin` returns.

    The attributes may be read between two calls of `feed`; `stop` leaves them as they are.
    """

    __slots__ = ("_begin", "common", "headers", "is_in_head", "parser", "pending_bytes", "request", "url")

    def __init__(self, begin: Begin) -> None:
        self._begin = begin
        # The part of the scope that is the same for all requests.
        self.common: Scope = {}
        # None after `stop`.
        self.parser: httptools.HttpRequestParser | None = _parser(self)
        # Of the current head or, between requests, the last one.
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.is_in_head = True
        # Bytes since the last complete head, piece of a body or end: of a head, trailers or chunk framing.
        self.pending_bytes = 0
        # The one whose body is being received.
        self.request: ServedRequest | None = None

    def connected(self, server: Address | None, client: Address | None, *, is_secure: bool) -> None:
        """Set the addresses of both ends."""
        self.common = {
            "type": "http",
            "asgi": _ASGI,
            "server": server,
            "client": client,
            "scheme": "https" if is_secure else "http",
            "root_path": "",
        }

    def feed(self, data: bytes | memoryview) -> None:
        """Parse some bytes.

        Each iteration consumes at least one head, and parses it at most twice. Raises httptools' errors; an exception
        of a callback is their `__context__`.
        """
        self.pending_bytes += len(data)
        while data and self.parser is not None:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                data = memoryview(data)[upgrade.args[0] :]
                head = self._plain_head()
                self.parser = _parser(self)
            # If this raises `HttpParserUpgrade` again, the caller refuses the request.
            self.parser.feed_data(head)

    def stop(self) -> None:
        """Ignore everything that follows."""
        self.parser = None

    def close(self) -> None:
        """Stop, and drop the references to the connection and its request, which would be cycles."""
        self.parser = self.request = None
        self._begin = _begin_nothing

    # Called by the parser.

    def on_message_begin(self) -> None:
        """A request begins."""
        self.url = b""
        self.headers = []

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which is ignored. One beyond the limit is kept, to show that it is exceeded."""
        if self.is_in_head and len(self.headers) <= MAX_HEADERS:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is complete."""
        parser = self.parser
        assert parser is not None, "it is calling"
        version, method = parser.get_http_version(), parser.get_method()
        awaits_continue = check_head(method, version, self.headers)
        path, query = target_parts(self.url)
        if parser.should_upgrade():
            # `feed` parses it again, as `_plain_head`.
            return
        scope: Scope = {
            **self.common,
            "http_version": version,
            "method": method.decode("ascii"),
            "path": unquote(path) if "%" in path else path,
            "raw_path": path.encode("ascii"),
            "query_string": query,
            "headers": self.headers,
        }
        keeps_alive = version == "1.1" and parser.should_keep_alive()
        self.request = self._begin(scope, keeps_alive, awaits_continue)
        self.is_in_head = False
        self.pending_bytes = 0

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self.pending_bytes = 0
        if self.request is not None:
            self.request.feed(body)

    def on_message_complete(self) -> None:
        """The request is complete; the next bytes are another head."""
        if self.request is not None:
            self.request.end_body()
            self.request = None
        self.is_in_head = True
        self.pending_bytes = 0

    def _plain_head(self) -> bytes:
        """The head that was just read, without its Upgrade header.

        This server upgrades to nothing, so the request is served like any other (RFC 9110, 7.8). But after an Upgrade
        header the parser takes the body for another protocol.
        """
        assert self.parser is not None, "it has just read"
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join(lines) + b"\r\n\r\n"


def _parser(reader: RequestReader) -> httptools.HttpRequestParser:
    parser = httptools.HttpRequestParser(reader)
    # Bytes after a request with `Connection: close` are ignored instead of failing that request.
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def _begin_nothing(_scope: Scope, _keeps_alive: bool, _awaits_continue: bool) -> ServedRequest:
    raise RuntimeError("The connection has ended.")
