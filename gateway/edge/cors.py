"""CORS: which web pages may call the gateway, and preflights that ask for private network access."""

from collections.abc import Awaitable
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

    `origins` are the operator's ("*" means every page); `allows_local` also admits pages served from this machine.
    """

    def __init__(self, app: ASGIApp, origins: tuple[str, ...], *, allows_local: bool) -> None:
        self._app = app
        self._for_pages = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_origin_regex=_LOCAL_PAGES if allows_local else None,
            allow_methods=["GET", "POST", "DELETE", "OPTIONS"],
            allow_headers=["*"],
            # The operator has explicitly allowed these pages, so they may call this machine from the internet.
            allow_private_network=True,
            expose_headers=["*"],
            max_age=3600,
        )

    # Not a coroutine: that would add a frame around every event of a stream.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        is_pages = scope["type"] == "http" and b"origin" in headers_of(scope)
        return (self._for_pages if is_pages else self._app)(scope, receive, send)
