"""What browsers are told about pages that may call: CORS, and preflights that ask for a private network."""

from collections.abc import Awaitable
from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.api.requests import headers_of

# Pages of this machine, as browsers write their origins.
_LOCAL_PAGES: Final = (
    r"https?://(?:localhost|(?:[a-z0-9-]{1,63}\.){1,8}localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{1,5})?"
)


class CrossOrigin:
    """Answers preflights, and lets pages read answers; what does not come from a page takes no detour.

    `origins` are the operator's, "*" is every page; `allows_local` says that pages of this machine may call, too.
    """

    def __init__(self, app: ASGIApp, origins: tuple[str, ...], *, allows_local: bool) -> None:
        self._app = app
        self._for_pages = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_origin_regex=_LOCAL_PAGES if allows_local else None,
            allow_methods=["GET", "POST", "OPTIONS"],
            allow_headers=["*"],
            # A page on the internet that calls this machine, or one of its network: the operator has named it.
            allow_private_network=True,
            expose_headers=["*"],
            max_age=3600,
        )

    # Not a coroutine of its own: each would be one more around every event of a stream.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request."""
        is_pages = scope["type"] == "http" and b"origin" in headers_of(scope)
        return (self._for_pages if is_pages else self._app)(scope, receive, send)
