"""The index page, the refusal of WebSockets, and the 404 for unknown URLs."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Final

import orjson
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.edge.requests import header
from gateway.edge.responder import responder_of
from translators.errors import ErrorKind, FailedError, Failure

_VERSIONED: Final = "/v1/"
# What is below the console's address is its own business.
_UNLISTED: Final = "/console/"


def offered_by(routes: Sequence[BaseRoute]) -> tuple[str, ...]:
    """The endpoints, as `POST /v1/messages`; one that exists with and without /v1 is listed once, with it."""
    found = [route for route in routes if isinstance(route, Route)]
    paths = {route.path for route in found}
    return tuple(
        f"{method} {route.path.replace(':path', '')}"
        for route in found
        if _VERSIONED + route.path.lstrip("/") not in paths and route.path != "/"
        if not route.path.startswith(_UNLISTED)
        for method in sorted(route.methods or ())
        if method != "HEAD"
    )


class Shortcut:
    """Dispatches the busiest paths by a dictionary look-up, and all others to the router."""

    def __init__(self, hot: Mapping[str, ASGIApp], router: ASGIApp) -> None:
        self._hot = hot
        self._app = router

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        endpoint = self._hot.get(scope.get("path", ""))
        if endpoint is None or scope.get("method") != "POST":
            endpoint = self._app
        return endpoint(scope, receive, send)


class IndexPage:
    """`GET /` and `HEAD /`: what this service is, and what it offers; browsers are led to the console."""

    def __init__(self, version: str, *, has_console: bool = False) -> None:
        self._version = version
        self._has_console = has_console
        self._page = b""

    def tell(self, offered: Sequence[str]) -> None:
        """Set the list of endpoints, which is known only after all routes are."""
        self._page = orjson.dumps(
            {
                "name": "dragoman",
                "version": self._version,
                "what": "An OpenAI-compatible gateway in front of Anthropic's Messages API.",
                "use": "Set your OpenAI SDK's base_url to this address followed by /v1.",
                "endpoints": offered,
            },
            option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        responder = responder_of(scope)
        if self._has_console and "text/html" in (header(scope, b"accept") or ""):
            await responder.send_body(307, b"", "text/plain", {"location": "/console", "vary": "accept"})
            return
        await responder.send_json(200, self._page)


class NoWebSocket:
    """`GET /v1/responses`, which opens a WebSocket at OpenAI: clients that can fall back to `POST` do so on a 426."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = "This gateway has no WebSocket mode. Send the request with POST, and stream: true for events."
        raise FailedError(Failure(ErrorKind.NO_WEBSOCKET, message))


class UnknownUrl:
    """404 for unknown URLs. Not 501: the SDKs would retry that."""

    def __init__(self, offered: Sequence[str]) -> None:
        self._offered = ", ".join(offered)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        hint = " Is /v1 in your base_url twice?" if path.startswith("/v1/v1/") else ""
        message = (
            f"Unknown request URL: {method} {path}.{hint} This gateway translates OpenAI's API for Claude; "
            f"it offers {self._offered}."
        )
        raise FailedError(Failure(ErrorKind.UNKNOWN_URL, message))
