"""What is not an API call: the front door, health, and the answer to everything that is not offered."""

import logging
from collections.abc import Awaitable, Mapping, Sequence
from typing import Final

import orjson
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.api.notes import notes_of
from gateway.api.responder import responder_of
from translators.errors import ErrorKind, FailedError, Failure

_VERSIONED: Final = "/v1/"


def offered_by(routes: Sequence[BaseRoute]) -> tuple[str, ...]:
    """What there is, as `POST /v1/messages`; what is there with and without /v1 stands in the list once, with it."""
    found = [route for route in routes if isinstance(route, Route)]
    paths = {route.path for route in found}
    return tuple(
        f"{method} {route.path.replace(':path', '')}"
        for route in found
        if _VERSIONED + route.path.lstrip("/") not in paths and route.path != "/"
        for method in sorted(route.methods or ())
        if method != "HEAD"
    )


class Shortcut:
    """The addresses that nearly all requests go to, found without asking one route after another."""

    def __init__(self, hot: Mapping[str, ASGIApp], router: ASGIApp) -> None:
        self._hot = hot
        self._app = router

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass on."""
        endpoint = self._hot.get(scope.get("path", ""))
        if endpoint is None or scope.get("method") != "POST":
            endpoint = self._app
        return endpoint(scope, receive, send)


class FrontDoor:
    """`GET /` and `HEAD /`: what this is and where to go."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._page = b""

    def tell(self, offered: Sequence[str]) -> None:
        """Say what there is, which is known when all routes are."""
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
        """Answer."""
        await responder_of(scope).send_json(200, self._page)


class Health:
    """`GET /health`: this process serves; upstream is not asked, since its trouble is no reason to restart us."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        # Asked every few seconds by whoever watches over the process.
        notes_of(scope).level = logging.DEBUG
        await responder_of(scope).send_value({"status": "ok"})


class UnknownUrl:
    """404 for what is not offered, never 501: the SDKs would repeat a 501."""

    def __init__(self, offered: Sequence[str]) -> None:
        self._offered = ", ".join(offered)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse."""
        method, path = scope["method"], scope["path"]
        hint = " Is /v1 in your base_url twice?" if path.startswith("/v1/v1/") else ""
        message = (
            f"Unknown request URL: {method} {path}.{hint} This gateway translates chat completions to Claude; "
            f"it offers {self._offered}."
        )
        raise FailedError(Failure(ErrorKind.UNKNOWN_URL, message))
