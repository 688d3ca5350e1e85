"""CORS: which web pages may call the gateway, and preflights that ask for private network access."""

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.edge.requests import headers_of

# Origins on this machine, as browsers write them.
_LOCAL_PAGES: Final = (
    r"https?://(?:localhost|(?:[a-z0-9-]{1,63}\.){1,8}localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{1,5})?"
)


class CrossOrigin:
    """Answers preflights, and adds CORS headers; requests without an Origin header bypass the CORS middleware.

    `origins` are the operator's ("*" means every page); while `allows_local` says so, pages served from this machine
    are admitted as well.
    """

    def __init__(self, app: ASGIApp, origins: tuple[str, ...], *, allows_local: Callable[[], bool]) -> None:
        self._app = app
        self._allows_local = allows_local
        self._for_local = _middleware(app, origins, _LOCAL_PAGES)
        self._for_pages = _middleware(app, origins, None) if origins else app

    # Not a coroutine: that would add a frame around every event of a stream.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http" or b"origin" not in headers_of(scope):
            return self._app(scope, receive, send)
        return (self._for_local if self._allows_local() else self._for_pages)(scope, receive, send)


def _middleware(app: ASGIApp, origins: tuple[str, ...], pattern: str | None) -> ASGIApp:
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_origin_regex=pattern,
        allow_methods=["GET", "POST", "DELETE", "OPTIONS"],
        allow_headers=["*"],
        # The operator has explicitly allowed these pages, so they may call this machine from the internet.
        allow_private_network=True,
        expose_headers=["*"],
        max_age=3600,
    )
