"""One request as the accounts see it: who calls, whether it may be sent, and what it came to."""

from typing import Final

from msgspec import Struct
from starlette.types import Scope

from gateway.accounts.auth import Authenticator, Caller
from gateway.service.record import Record


class Wish(Struct, frozen=True):
    """What a request wants of upstream, known before anything is sent.

    `model` is the id that upstream knows, `asked_model` the name that the caller used. `input_bytes` is the size of the
    text that goes upstream, without images and files in base64; `has_media` says that there are some.
    """

    model: str
    asked_model: str
    max_tokens: int | None = None
    input_bytes: int = 0
    has_media: bool = False
    end_user: str | None = None
    choices: int = 1


class Admission(Struct, frozen=True):
    """What a request may do: with another model, or with fewer tokens than it asked for; None is as it asked.

    `adjusted` names these changes in the form of `x-gateway-adjusted`.
    """

    model: str | None = None
    max_tokens: int | None = None
    adjusted: str | None = None


_VERSIONED: Final = "/v1/"
AS_ASKED: Final = Admission()


class Visit:
    """One request: identified, admitted once, settled once.

    `endpoint` is its path with /v1. `end_user` is known from the admission on.
    """

    __slots__ = ("caller", "end_user", "endpoint")

    def __init__(self, caller: Caller, endpoint: str) -> None:
        self.caller = caller
        self.endpoint = endpoint
        self.end_user: str | None = None

    async def admit(self, wish: Wish) -> Admission:
        """Whether the request may be sent; raises `FailedError` if not."""
        self.end_user = wish.end_user
        return AS_ASKED

    def hand_over(self) -> "Visit":
        """The visit of a task that outlives this request: it settles what was admitted, and this one nothing."""
        visit = Visit(self.caller, self.endpoint)
        visit.end_user = self.end_user
        return visit

    def settle(self, record: Record | None) -> None:
        """Count what the request came to, admitted or not; None is one that could not be read."""


class Accounts:
    """Begins the visits of one configuration."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    def visit(self, scope: Scope) -> Visit:
        """The visit of a request; raises `FailedError` if the key is missing or wrong."""
        path: str = scope["path"]
        endpoint = path if path.startswith(_VERSIONED) else f"/v1{path}"
        return Visit(self._authenticator.caller(scope), endpoint)
