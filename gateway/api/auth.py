"""Who is calling: a configured client, anybody on this machine, or somebody with an Anthropic key of their own."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from starlette.types import Scope

from gateway.api.guesses import Guesses
from gateway.api.requests import header
from gateway.secret import Secret
from translators.errors import ErrorKind, FailedError, Failure

# Nothing that does not begin like this is ever sent to Anthropic.
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
    """Who is asking; `own_key` is the Anthropic key that this caller's requests use, None for the pool's.

    `sees_key` says whether answers name the pool's key that was used.
    """

    name: str
    own_key: Secret | None = None
    sees_key: bool = False

    @property
    def scope(self) -> bytes:
        """What keeps this caller's conversations apart from all others'."""
        if self.own_key is None:
            return b"client\0" + self.name.encode()
        return b"key\0" + _digest(self.own_key.reveal())


class Authenticator:
    """Decides who a request comes from, or refuses it."""

    def __init__(
        self, clients: Iterable[tuple[Caller, Secret]], *, has_keys: bool, guesses: Guesses | None = None
    ) -> None:
        self._clients = {_digest(secret.reveal()): caller for caller, secret in clients}
        self._has_keys = has_keys
        self._anybody = Caller(ANYBODY)
        self._guesses = guesses or Guesses()

    @property
    def needs_key(self) -> bool:
        """Whether callers have to show a client key."""
        return bool(self._clients)

    def caller(self, scope: Scope) -> Caller:
        """The caller; raises `FailedError` when the key is missing or wrong."""
        if not self._clients and self._has_keys:
            return self._anybody
        token = presented_key(scope)
        if token is None:
            raise FailedError(Failure(ErrorKind.MISSING_KEY, self._missing_key_message()))
        return self._client(token, scope) if self._clients else self._owner_of(token)

    def _client(self, token: str, scope: Scope) -> Caller:
        # A digest tells nothing about the key it is made from, so neither does the time to find it.
        if (caller := self._clients.get(_digest(token))) is not None:
            return caller
        raise self._guesses.refusal(scope, f"Incorrect API key provided: {_masked(token)}.")

    def _owner_of(self, token: str) -> Caller:
        # It travels on in a header, which carries no other characters.
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
    """Enough of a key to recognise a mix-up, not enough to use it."""
    return f"{token[:4]}***{token[-4:]}" if len(token) > 16 else "***"
