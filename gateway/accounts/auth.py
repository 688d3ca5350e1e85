"""Authentication: a configured client, anyone if no clients are configured, or a caller with an Anthropic key."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from starlette.types import Scope

from gateway.accounts.guesses import Guesses
from gateway.accounts.keys.limits import Limits
from gateway.edge.requests import header
from gateway.secret import Secret
from translators.errors import ErrorKind, FailedError, Failure

# A token without this prefix is never sent to Anthropic.
CALLERS_KEY_PREFIX: Final = "sk-ant-"
ANYBODY: Final = "local"

_NO_KEY: Final = (
    "You didn't provide an API key. Provide it in an Authorization header using Bearer auth "
    "(i.e. Authorization: Bearer YOUR_KEY)"
)

_ADVICE: Final = (
    "This gateway has no key of its own: send your Anthropic key (sk-ant-...) as the API key, "
    "or start the gateway with ANTHROPIC_API_KEY set."
)


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated caller; `own_key` is the Anthropic key that its requests use, None for the pool's keys.

    `sees_key` says whether responses name the pool key that was used. `key_id` is the id of a stored key, `limits` what
    it may be used for; None are no limits.
    """

    name: str
    own_key: Secret | None = None
    sees_key: bool = False
    group: str | None = None
    key_id: str | None = None
    limits: Limits | None = None

    @property
    def scope(self) -> bytes:
        """Separates this caller's conversations from those of all others."""
        if self.key_id is not None:
            # Not the name: a renamed key keeps what it has, and a new key with an old name gets nothing of it.
            return b"stored\0" + self.key_id.encode()
        if self.own_key is None:
            return b"client\0" + self.name.encode()
        return b"key\0" + _digest(self.own_key.reveal())


class Authenticator:
    """Determines the caller of a request, or rejects the request."""

    def __init__(
        self, clients: Iterable[tuple[Caller, Secret]], *, has_keys: bool, guesses: Guesses | None = None
    ) -> None:
        self._clients = {_digest(secret.reveal()): caller for caller, secret in clients}
        self._has_keys = has_keys
        self._anybody = Caller(ANYBODY)
        self._guesses = guesses or Guesses()

    @property
    def needs_key(self) -> bool:
        """Whether callers have to send a client key."""
        return bool(self._clients)

    def caller(self, scope: Scope) -> Caller:
        """The caller; raises `FailedError` if the key is missing or wrong."""
        if not self._clients and self._has_keys:
            return self._anybody
        token = presented_key(scope)
        if token is None:
            raise FailedError(Failure(ErrorKind.MISSING_KEY, self._missing_key_message()))
        return self._client(token, scope) if self._clients else self._owner_of(token)

    def _client(self, token: str, scope: Scope) -> Caller:
        # Looking up digests reveals nothing about the keys by its timing.
        if (caller := self._clients.get(_digest(token))) is not None:
            return caller
        raise self._guesses.refusal(scope, f"Incorrect API key provided: {_masked(token)}.")

    def _owner_of(self, token: str) -> Caller:
        # The token is sent on in a header, which can carry no other characters.
        if not token.startswith(CALLERS_KEY_PREFIX) or not all("!" <= character <= "~" for character in token):
            message = f"{_masked(token)} is not a key that can be used here. {_ADVICE}"
            raise FailedError(Failure(ErrorKind.WRONG_KEY, message))
        return Caller("caller", Secret(token))

    def _missing_key_message(self) -> str:
        return f"{_NO_KEY}." if self._clients else f"{_NO_KEY}. {_ADVICE}"


def presented_key(scope: Scope) -> str | None:
    """The key in `Authorization: Bearer`, `x-api-key` or `api-key`, in this order."""
    authorization = header(scope, b"authorization") or ""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return header(scope, b"x-api-key") or header(scope, b"api-key") or None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _masked(token: str) -> str:
    """Enough of a key to recognise it, not enough to use it."""
    return f"{token[:4]}***{token[-4:]}" if len(token) > 16 else "***"
