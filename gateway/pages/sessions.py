"""Who is signed in at the console: signed cookies that every worker can read, and the one-time links they come from."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from secrets import token_urlsafe
from typing import Final, Literal, Protocol, TypeAlias

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.accounts.auth import CONSOLE_HEADER, Caller, presented_key
from gateway.edge.requests import header
from gateway.secret import Secret
from gateway.service.wire import Wire
from translators.errors import ErrorKind, FailedError, Failure

Role: TypeAlias = Literal["admin", "viewer"]
Kind: TypeAlias = Literal["link", "session"]

SESSION_SECONDS: Final = 12 * 3600.0
LINK_SECONDS: Final = 600.0
CONSOLE: Final = "console"
_WIRE_HEADER: Final = b"x-gateway-wire"
_VIEWER: Final = "You are signed in as a viewer, who may read and spend nothing."
_ROLES: Final[dict[str, Role]] = {"admin": "admin", "viewer": "viewer"}
_ID_BYTES: Final = 12
_MOST_DIGITS: Final = 12
_LONGEST_TOKEN: Final = 200
_SESSION: Final = "dragoman.console.session"
_OWN_SITES: Final = ("same-origin", "none")


class AdminKeys(Protocol):
    """The keys of those who may look at the gateway, and of those who may change it."""

    @property
    def api_key(self) -> Secret | None: ...

    @property
    def viewer_key(self) -> Secret | None: ...


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token gives: a role until a Unix time. The id tells tokens apart."""

    role: Role
    until: float
    id: str


@dataclass(frozen=True, slots=True)
class Session:
    """The session of a request; `is_open`: the gateway is open to its own machine, and nobody has signed in."""

    role: Role
    is_open: bool = False


class Signing:
    """Makes and reads tokens.

    Those of administrators are signed with the admin key, those of viewers with the viewer key (without one, with the
    admin key): who changes a key ends the sessions that came from it.
    """

    def __init__(self, keys: AdminKeys, now: Callable[[], float]) -> None:
        self._keys = {"admin": keys.api_key, "viewer": keys.viewer_key or keys.api_key}
        self._now = now

    def token(self, kind: Kind, role: Role, seconds: float) -> str:
        """A new token; raises `ValueError` if there is no key for the role."""
        text = f"{role}.{self._now() + seconds:.0f}.{token_urlsafe(_ID_BYTES)}"
        if (signature := self._signature(kind, role, text)) is None:
            raise ValueError(f"there is no key to sign for the role {role}")
        return f"{text}.{signature}"

    def read(self, kind: Kind, token: str) -> Grant | None:
        """What a token gives; None if it is forged, of another kind, or over."""
        parts = token[: _LONGEST_TOKEN + 1].split(".")
        if len(token) > _LONGEST_TOKEN or not token.isascii() or len(parts) != 4:
            return None
        name, until, number, signature = parts
        role, expected = _ROLES.get(name), self._signature(kind, name, f"{name}.{until}.{number}")
        if role is None or expected is None or not hmac.compare_digest(signature, expected):
            return None
        if not until.isdigit() or len(until) > _MOST_DIGITS or int(until) <= self._now():
            return None
        return Grant(role, float(until), number)

    def _signature(self, kind: Kind, role: str, text: str) -> str | None:
        if (key := self._keys.get(role)) is None:
            return None
        # The digest of a secret of any length; `person` keeps it apart from other uses of the same secret.
        secret = hashlib.blake2b(key.reveal().encode(), digest_size=32, person=b"dragoman console").digest()
        digest = hmac.digest(secret, f"{kind} {text}".encode(), "sha256")
        return urlsafe_b64encode(digest).rstrip(b"=").decode()


class Sessions:
    """An ASGI layer that notes in the scope who is signed in; `is_open` says that nobody has to be."""

    def __init__(self, app: ASGIApp, signing: Signing, is_open: Callable[[], bool]) -> None:
        self._app = app
        self._signing = signing
        self._is_open = is_open

    def caller(self, scope: Scope) -> Caller | None:
        """Who asks a model from the playground: an administrator, or whoever sits at an open gateway's machine.

        None if no page of the console asks, or nobody is signed in; raises `FailedError` for a viewer.
        """
        if not comes_from_console(scope) or presented_key(scope) is not None:
            return None
        session = self._session(scope)
        if session is None:
            return None
        if session.role != "admin" and not session.is_open:
            raise FailedError(Failure(ErrorKind.CALLER_NOT_PERMITTED, _VIEWER, code="viewer_only_reads"))
        wire = Wire() if header(scope, _WIRE_HEADER) == "1" else None
        return Caller(CONSOLE, sees_key=True, wire=wire)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/admin/"):
            scope[_SESSION] = self._session(scope)
        await self._app(scope, receive, send)

    def _session(self, scope: Scope) -> Session | None:
        if (token := cookie(scope)) is not None and (grant := self._signing.read("session", token)) is not None:
            return Session(grant.role)
        return Session("viewer", is_open=True) if self._is_open() and comes_from_console(scope) else None


def session_of(scope: Scope) -> Session | None:
    """The session of a request under /admin."""
    found: Session | None = scope.get(_SESSION)
    return found


def comes_from_console(scope: Scope) -> bool:
    """Whether a page of this very origin has sent a request: no other page can send its header without being asked."""
    if header(scope, CONSOLE_HEADER) != "1":
        return False
    if (site := header(scope, b"sec-fetch-site")) is not None:
        # The browser's own word: behind a proxy, `Host` may be another name than the one that it knows.
        return site in _OWN_SITES
    origin = header(scope, b"origin")
    return origin is None or origin.partition("://")[2] == header(scope, b"host")


def cookie_name(scope: Scope) -> str:
    """The name of the cookie: cookies do not know ports, and two gateways may run on one machine."""
    port = (header(scope, b"host") or "").rpartition("]")[2].rpartition(":")[2]
    return f"dragoman_console_{port}" if port.isdecimal() and len(port) < 6 else "dragoman_console"


def cookie(scope: Scope) -> str | None:
    """The token in the cookie."""
    name = cookie_name(scope)
    for given, value in scope["headers"]:
        if given == b"cookie":
            for pair in value.decode("latin-1").split(";"):
                key, _, text = pair.strip().partition("=")
                if key == name:
                    return str(text)
    return None


def set_cookie(scope: Scope, token: str, seconds: float) -> str:
    """The value of `Set-Cookie`; no seconds delete it."""
    # Before a proxy that ends TLS, only the browser knows of it.
    is_secure = scope.get("scheme") == "https" or (header(scope, b"origin") or "").startswith("https://")
    secure = "; Secure" if is_secure else ""
    return f"{cookie_name(scope)}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds:.0f}{secure}"
