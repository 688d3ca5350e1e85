"""One request as the accounts see it: who calls, whether it may be sent, and what it came to."""

from typing import Final

from msgspec import Struct
from starlette.types import Scope

from gateway.accounts.auth import Authenticator, Caller
from gateway.service.record import Record
from translators.errors import ErrorKind, FailedError, Failure
from translators.wire.shared import MAX_MODEL_NAME


class Wish(Struct, frozen=True):
    """What a request wants of upstream, known before anything is sent.

    `model` is the id that upstream knows, `asked_model` the name that the caller used; `is_alias` says that it is in
    the table of aliases, so that it is more than another spelling. `max_tokens` is the caller's own: None if it
    set no limit, 0 if nothing is generated. `input_bytes` is the size of the text that goes upstream, without images
    and files in base64; `has_media` says that there are some.
    """

    model: str
    asked_model: str
    max_tokens: int | None = None
    input_bytes: int = 0
    has_media: bool = False
    end_user: str | None = None
    choices: int = 1
    is_alias: bool = False


class Admission(Struct, frozen=True):
    """What a request may do: with another model, or with no more than `max_tokens`; None is as it asked.

    `adjusted` names what was asked otherwise, in the form of `x-gateway-adjusted`; it is refused where the caller takes
    no adjustments.
    """

    model: str | None = None
    max_tokens: int | None = None
    adjusted: str | None = None


_VERSIONED: Final = "/v1/"
AS_ASKED: Final = Admission()
_NO_END_USER: Final = (
    "This API key is for requests that name their end user: send 'user' or 'safety_identifier', "
    "or 'metadata.user_id' with the Messages API."
)


def check_limits(caller: Caller, wish: Wish) -> Admission:
    """What a caller's key admits of a request; raises `FailedError` for what it is not for."""
    limits = caller.limits
    if limits is None:
        return AS_ASKED
    if not limits.allows_model(wish.model, wish.asked_model if wish.is_alias else None):
        raise no_model(wish.asked_model)
    if limits.needs_end_user and wish.end_user is None:
        raise FailedError(Failure(ErrorKind.INVALID_REQUEST, _NO_END_USER, param="user", code="missing_end_user"))
    most = limits.max_tokens
    if most is None or wish.max_tokens == 0:
        return AS_ASKED
    is_lowered = wish.max_tokens is not None and wish.max_tokens > most
    return Admission(max_tokens=most, adjusted=f"max_tokens={wish.max_tokens}->{most}:key" if is_lowered else None)


def no_model(asked: str) -> FailedError:
    """OpenAI's error for a model that does not exist or that this caller may not use."""
    message = f"The model `{asked[:MAX_MODEL_NAME]}` does not exist or you do not have access to it."
    return FailedError(Failure(ErrorKind.MODEL_NOT_FOUND, message))


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
        return check_limits(self.caller, wish)

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
