"""Requests out of the bytes of one connection: heads, bodies, and where the one ends and the next begins."""

from collections.abc import Callable
from typing import Final, TypeAlias
from urllib.parse import unquote

import httptools
from starlette.types import Scope

from gateway.server.asked import MAX_HEADERS, check_head, target_parts
from gateway.server.request import ServedRequest

Begin: TypeAlias = Callable[[Scope, bool, bool], ServedRequest]
"""Takes a request's scope, whether it lets the connection go on, and whether it waits for `100 Continue`."""

Address: TypeAlias = tuple[str, int | None]

_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}


class RequestReader:
    """Calls `begin` with each head, and feeds the request that it gives with what follows.

    What its attributes say holds between two calls of `feed`, and stays after `stop`.
    """

    __slots__ = ("_begin", "common", "fruitless_bytes", "headers", "is_in_head", "parser", "request", "url")

    def __init__(self, begin: Begin) -> None:
        self._begin = begin
        # What all scopes of the connection hold.
        self.common: Scope = {}
        # None: what comes is not to be read any more.
        self.parser: httptools.HttpRequestParser | None = _parser(self)
        # The head that is being read, or was the last.
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.is_in_head = True
        # Bytes without news so far: of a head, of trailers, or of what stands around chunks.
        self.fruitless_bytes = 0
        # Whose body is being read.
        self.request: ServedRequest | None = None

    def connected(self, server: Address | None, client: Address | None, *, is_secure: bool) -> None:
        """Whose requests these are."""
        self.common = {
            "type": "http",
            "asgi": _ASGI,
            "server": server,
            "client": client,
            "scheme": "https" if is_secure else "http",
            "root_path": "",
        }

    def feed(self, data: bytes | memoryview) -> None:
        """Read on; each turn of the loop has used up a whole head, and reads that once more at most.

        Raises the parser's own errors; what a callback has raised is their context.
        """
        self.fruitless_bytes += len(data)
        while data and self.parser is not None:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                data = memoryview(data)[upgrade.args[0] :]
                head = self._plain_head()
                self.parser = _parser(self)
            # Should it wish to upgrade again, that is the caller's to know.
            self.parser.feed_data(head)

    def stop(self) -> None:
        """Read nothing more."""
        self.parser = None

    def close(self) -> None:
        """Read nothing more, and let go of the connection and its request: they know the reader."""
        self.parser = self.request = None
        self._begin = _begin_nothing

    # What the parser calls.

    def on_message_begin(self) -> None:
        """A request begins."""
        self.url = b""
        self.headers = []

    def on_url(self, url: bytes) -> None:
        """A piece of its address."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header of its head, or a trailer, which nobody reads; of too many only so many are kept as show that."""
        if self.is_in_head and len(self.headers) <= MAX_HEADERS:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Its head is complete."""
        parser = self.parser
        assert parser is not None, "it is calling"
        version, method = parser.get_http_version(), parser.get_method()
        awaits_continue = check_head(method, version, self.headers)
        path, query = target_parts(self.url)
        if parser.should_upgrade():
            # It comes once more, as `_plain_head`.
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
        self.fruitless_bytes = 0

    def on_body(self, body: bytes) -> None:
        """A piece of its body."""
        self.fruitless_bytes = 0
        if self.request is not None:
            self.request.feed(body)

    def on_message_complete(self) -> None:
        """A request is complete; the next thing to come is another one's head."""
        if self.request is not None:
            self.request.end_body()
            self.request = None
        self.is_in_head = True
        self.fruitless_bytes = 0

    def _plain_head(self) -> bytes:
        """The head that has just been read, without its wish to upgrade.

        There is nothing to upgrade to, so it begins a request like any other (RFC 9110, 7.8). But the parser takes what
        stands behind it for another protocol, and would not see that it is a body.
        """
        assert self.parser is not None, "it has just read"
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join(lines) + b"\r\n\r\n"


def _parser(reader: RequestReader) -> httptools.HttpRequestParser:
    parser = httptools.HttpRequestParser(reader)
    # What comes behind a request with `Connection: close` is passed over, and does not keep that one from its answer.
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def _begin_nothing(_scope: Scope, _keeps_alive: bool, _awaits_continue: bool) -> ServedRequest:
    raise RuntimeError("The connection has ended.")
