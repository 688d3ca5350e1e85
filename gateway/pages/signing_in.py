"""`/admin/session`: signing in at the console, with a one-time link or an operator's key, and out again."""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import orjson
from msgspec import Struct
from starlette.types import Receive, Scope, Send

from gateway.accounts.guesses import Guesses
from gateway.edge.requests import read_body
from gateway.edge.responder import NEVER_KEPT, responder_of
from gateway.pages.admin import only_from_console
from gateway.pages.sessions import SESSION_SECONDS, AdminKeys, Role, Signing, session_of, set_cookie
from gateway.secret import Secret
from translators.reading import checked_body, decode

_MOST_BYTES: Final = 4096
_BAD_LINK: Final = "This link was used already, or it is too old. Run `dragoman console` for a new one."
_BAD_KEY: Final = "This is neither the admin key nor the viewer key of this gateway."


class _Entry(Struct, forbid_unknown_fields=True):
    """The token of a one-time link, or a key."""

    link: str = ""
    key: str = ""


_ENTRY: Final = msgspec.json.Decoder(_Entry)


class SessionPage:
    """`GET` tells who is signed in, `POST` signs in, `DELETE` signs out.

    `use_once` takes the id of a link and the time at which it ends, and returns whether it has not been used before.
    """

    def __init__(
        self,
        keys: AdminKeys,
        signing: Signing,
        guesses: Guesses,
        use_once: Callable[[str, float], Awaitable[bool]],
        about: Callable[[], dict[str, object]],
    ) -> None:
        self._keys = keys
        self._signing = signing
        self._guesses = guesses
        self._use_once = use_once
        self._about = about

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            session = session_of(scope)
            role, is_open = (None, False) if session is None else (session.role, session.is_open)
            await self._tell(scope, role, is_open=is_open)
            return
        only_from_console(scope)
        if scope["method"] == "DELETE":
            await self._tell(scope, None, cookie=set_cookie(scope, "", 0))
            return
        entry = decode(_ENTRY, checked_body(await read_body(scope, receive, _MOST_BYTES)))
        role = await self._role(scope, entry)
        token = self._signing.token("session", role, SESSION_SECONDS)
        await self._tell(scope, role, cookie=set_cookie(scope, token, SESSION_SECONDS))

    async def _role(self, scope: Scope, entry: _Entry) -> Role:
        """The role of whoever signs in; raises `FailedError`."""
        if not entry.link:
            given = Secret(entry.key)
            if given == self._keys.api_key:
                return "admin"
            if given == self._keys.viewer_key:
                return "viewer"
            raise self._guesses.refusal(scope, _BAD_KEY)
        grant = self._signing.read("link", entry.link)
        if grant is None or not await self._use_once(grant.id, grant.until):
            raise self._guesses.refusal(scope, _BAD_LINK)
        return grant.role

    async def _tell(self, scope: Scope, role: Role | None, *, is_open: bool = False, cookie: str | None = None) -> None:
        has_keys = self._keys.api_key is not None or self._keys.viewer_key is not None
        body = orjson.dumps({"role": role, "open": is_open, "has_keys": has_keys, **self._about()})
        headers = NEVER_KEPT if cookie is None else {**NEVER_KEPT, "set-cookie": cookie}
        await responder_of(scope).send_json(200, body, headers)
