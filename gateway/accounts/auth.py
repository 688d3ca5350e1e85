"""Authentication: a configured client, anyone if no clients are configured, or a caller with an Anthropic key."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from starlette.types import Scope

from gateway.accounts.guesses import Guesses
from gateway.accounts.keys.form import has_typo, looks_stored, resembles
from gateway.accounts.keys.limits import Limits
from gateway.edge.addresses import address_of
from gateway.edge.requests import header, headers_of
from gateway.secret import Secret
from gateway.service.wire import Wire
from translators.errors import ErrorKind, FailedError, Failure

# A token without this prefix is never sent to Anthropic.
CALLERS_KEY_PREFIX: Final = "sk-ant-"
ANYBODY: Final = "local"
# What only a page of the console sends: a foreign page would need a preflight for it.
CONSOLE_HEADER: Final = b"x-dragoman-console"

_NO_KEY: Final = (
    "You didn't provide an API key. Provide it in an Authorization header using Bearer auth "
    "(i.e. Authorization: Bearer YOUR_KEY)"
)

_ADVICE: Final = (
    "This gateway has no key of its own: send your Anthropic key (sk-ant-...) as the API key, "
    "or start the gateway with ANTHROPIC_API_KEY set."
)

_TYPO: Final = " It has a typo, or a part of it is missing: copy the whole key again."
_BLIND: Final = "This gateway cannot read its keys at the moment. Please try again."


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated caller; `own_key` is the Anthropic key that its requests use, None for the pool's keys.

    `sees_key` says whether responses name the pool key that was used. `key_id` is the id of a stored key, `limits` what
    it may be used for; None are no limits. `keep_content_seconds` is how long the request log keeps what is said; None
    is not at all. With `traces_content` its traces have it as well. `wire` hears both sides of this one request.
    """

    name: str
    own_key: Secret | None = None
    sees_key: bool = False
    group: str | None = None
    key_id: str | None = None
    limits: Limits | None = None
    keep_content_seconds: float | None = None
    traces_content: bool = False
    wire: Wire | None = None

    @property
    def scope(self) -> bytes:
        """Separates this caller's conversations from those of all others."""
        if self.key_id is not None:
            # Not the name: a renamed key keeps what it has, and a new key with an old name gets nothing of it.
            return b"stored\0" + self.key_id.encode()
        if self.own_key is None:
            return b"client\0" + self.name.encode()
        return b"key\0" + _digest(self.own_key.reveal())


class Keys(Protocol):
    """The stored keys as they are known now, without waiting."""

    @property
    def closes(self) -> bool:
        """Whether callers need a key: there is or was one, or nobody can tell."""
        ...

    @property
    def is_blind(self) -> bool:
        """Whether the keys could not be read so far."""
        ...

    def find(self, token: str) -> Caller | None:
        """The caller with this key, None if there is none; raises `FailedError` for one that is not accepted now."""
        ...


class _NoKeys:
    """No stored keys."""

    closes = False
    is_blind = False

    def find(self, token: str) -> Caller | None:
        return None


class Authenticator:
    """Determines the caller of a request, or rejects the request.

    Stored `keys` count besides the configured clients. `is_private` says that only this machine reaches the gateway:
    otherwise it is never open to everybody.
    """

    def __init__(
        self,
        clients: Iterable[tuple[Caller, Secret]],
        *,
        has_keys: bool,
        guesses: Guesses | None = None,
        keys: Keys | None = None,
        is_private: bool = True,
    ) -> None:
        self._clients = {_digest(secret.reveal()): caller for caller, secret in clients}
        self._keys: Keys = _NoKeys() if keys is None else keys
        self._is_closed = bool(self._clients) or not is_private
        self._has_keys = has_keys
        self._anybody = Caller(ANYBODY)
        self._guesses = guesses or Guesses()
        # Tells who asks from the console's playground, if somebody may; set where there is a console.
        self.console: Callable[[Scope], Caller | None] | None = None

    @property
    def needs_key(self) -> bool:
        """Whether callers have to send a key; the first stored one may come at any time."""
        return self._is_closed or self._keys.closes

    def caller(self, scope: Scope) -> Caller:
        """The caller; raises `FailedError` if the key is missing or wrong, or not for this endpoint or network."""
        if (console := self.console) is not None and CONSOLE_HEADER in headers_of(scope):
            caller = console(scope)
            if caller is not None:
                return caller
        needs_key = self.needs_key
        if not needs_key and self._has_keys:
            return self._anybody
        token = presented_key(scope)
        if token is None:
            raise FailedError(Failure(ErrorKind.MISSING_KEY, f"{_NO_KEY}." if needs_key else f"{_NO_KEY}. {_ADVICE}"))
        if not needs_key:
            return self._owner_of(token)
        caller = self._known(token, scope)
        if caller.limits is not None:
            _check_place(caller.limits, scope)
        return caller

    def _known(self, token: str, scope: Scope) -> Caller:
        if looks_stored(token) and (caller := self._keys.find(token)) is not None:
            return caller
        # Looking up digests reveals nothing about the keys by its timing.
        if (caller := self._clients.get(_digest(token))) is not None:
            return caller
        why = f"Incorrect API key provided: {_masked(token)}."
        if resembles(token):
            if has_typo(token):
                why += _TYPO
            elif self._keys.is_blind:
                raise FailedError(Failure(ErrorKind.STORE_UNAVAILABLE, _BLIND))
        raise self._guesses.refusal(scope, why)

    def _owner_of(self, token: str) -> Caller:
        # The token is sent on in a header, which can carry no other characters.
        if not token.startswith(CALLERS_KEY_PREFIX) or not all("!" <= character <= "~" for character in token):
            message = f"{_masked(token)} is not a key that can be used here. {_ADVICE}"
            raise FailedError(Failure(ErrorKind.WRONG_KEY, message))
        return Caller("caller", Secret(token))


def _check_place(limits: Limits, scope: Scope) -> None:
    """Raise `FailedError` for an endpoint or a network that a key is not for."""
    if not limits.allows_address(address := address_of(scope)):
        message = f"This API key may not be used from the address {address or 'of this request'}."
        raise FailedError(Failure(ErrorKind.CALLER_NOT_PERMITTED, message, code="ip_not_authorized"))
    if not limits.allows_endpoint(scope["path"]):
        message = (
            "You have insufficient permissions for this operation. "
            f"This API key may be used for: {', '.join(limits.endpoints)}."
        )
        raise FailedError(Failure(ErrorKind.CALLER_NOT_PERMITTED, message, code="insufficient_permissions"))


def presented_key(scope: Scope) -> str | None:
    """The key in `Authorization: Bearer`, `x-api-key` or `api-key`, in this order."""
    authorization = header(scope, b"authorization") or ""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() == "bearer" and (token := token.strip()):
        return token
    return header(scope, b"x-api-key") or header(scope, b"api-key") or None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _masked(token: str) -> str:
    """Enough of a key to recognise it, not enough to use it."""
    return f"{token[:4]}***{token[-4:]}" if len(token) > 16 else "***"
