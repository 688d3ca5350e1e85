"""One request as the accounts see it: who calls, whether it may be sent, and what it came to."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final

from msgspec.structs import replace
from starlette.types import Scope

from gateway.accounts.auth import Authenticator, Caller
from gateway.accounts.rules.admission import RefusedError, Rules
from gateway.accounts.rules.billing import settle
from gateway.accounts.rules.near import Near as Near
from gateway.accounts.rules.plan import Hold, Plan
from gateway.accounts.rules.wish import AS_ASKED as AS_ASKED
from gateway.accounts.rules.wish import Admission as Admission
from gateway.accounts.rules.wish import Wish as Wish
from gateway.ledger.texts import LONGEST, short_name
from gateway.service.record import Record
from translators.adjustments import united
from translators.errors import ErrorKind, FailedError, Failure
from translators.wire.shared import MAX_MODEL_NAME

_VERSIONED: Final = "/v1/"
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

    `endpoint` is its path with /v1. `end_user` is known from the admission on. `waits` makes the block in which the
    request stands in a rule's line; whoever has a client that can leave replaces it.
    """

    __slots__ = ("_choices", "_hold", "_near", "_rules", "caller", "end_user", "endpoint", "waits")

    def __init__(self, caller: Caller, endpoint: str, rules: Rules | None = None) -> None:
        self.caller = caller
        self.endpoint = endpoint
        self.end_user: str | None = None
        self.waits: Callable[[], AbstractAsyncContextManager[object]] = nullcontext
        # Whoever brings a key of its own pays by itself.
        self._rules = rules if caller.own_key is None and rules is not None and rules.book.setting.rules else None
        self._hold: Hold | None = None
        self._choices = 1
        self._near: Near | None = None

    async def admit(self, wish: Wish) -> Admission:
        """Whether the request may be sent; raises `FailedError` if not."""
        if wish.end_user is not None and len(wish.end_user) > LONGEST:
            # Callers choose it, and the latest ones are remembered: they count by their digests, as in the ledger.
            wish = replace(wish, end_user=short_name(wish.end_user))
        self.end_user = wish.end_user
        caller, rules = self.caller, self._rules
        admission = AS_ASKED if caller.limits is None else check_limits(caller, wish)
        if rules is None or wish.max_tokens == 0:
            # Counting tokens is free.
            return admission
        most = admission.max_tokens
        if most is not None and (wish.max_tokens is None or wish.max_tokens > most):
            wish = replace(wish, max_tokens=most)
        plan = rules.book.plan(caller, wish.model)
        if plan.is_empty:
            return admission
        self._choices = wish.choices
        self._hold = rules.admit_now(plan, wish)
        return admission if self._hold is not None else await self._admitted_later(rules, plan, wish, admission)

    async def _admitted_later(self, rules: Rules, plan: Plan, wish: Wish, admission: Admission) -> Admission:
        try:
            ruled, self._hold = await rules.admit(plan, wish, self.waits)
        except RefusedError as error:
            self._near = error.near
            raise
        return admission if ruled == AS_ASKED else self._both(admission, ruled)

    def _both(self, limited: Admission, ruled: Admission) -> Admission:
        limits = self.caller.limits
        if ruled.model is not None and limits is not None and not limits.allows_model(ruled.model):
            raise no_model(ruled.model)
        most = limited.max_tokens if ruled.max_tokens is None else ruled.max_tokens
        return Admission(ruled.model, most, united((limited.adjusted, ruled.adjusted)))

    @property
    def is_ruled(self) -> bool:
        """Whether there are any rules."""
        return self._rules is not None

    @property
    def needs_sure_size(self) -> bool:
        """Whether a rule must not be passed, whatever upstream reads."""
        return self._rules is not None and self._rules.book.has_strict_rules

    def hand_over(self) -> "Visit":
        """The visit of a task that outlives this request: it settles what was admitted, and this one nothing."""
        visit = Visit(self.caller, self.endpoint, self._rules)
        visit.end_user, visit._choices = self.end_user, self._choices
        visit._hold, self._hold = self._hold, None
        return visit

    @property
    def is_strict(self) -> bool:
        """Whether all is held that the request can cost."""
        return self._hold is not None and self._hold.plan.is_strict

    def put_back(self, size: int) -> None:
        """Text of so many bytes goes upstream that the wish did not name; raises `FailedError` if that is too much."""
        if self._rules is not None and self._hold is not None:
            self._rules.grow(self._hold, size, self._choices)

    @property
    def may_go_on(self) -> Callable[[], bool]:
        """Tells whether another call may be made for a choice whose last one may have cost something.

        Asked once before each such call: the answer yes holds what that cannot exceed.
        """
        rules, hold = self._rules, self._hold
        if rules is None or hold is None or not hold.plan.is_strict:
            return _always
        choices, clock = self._choices, rules.book.clock
        return lambda: hold.more(choices, clock())

    def settle(self, record: Record | None) -> None:
        """Count what the request came to, admitted or not; None is one that could not be read."""
        if (hold := self._hold) is not None:
            self._hold = None
            settle(hold, record, self._choices)

    @property
    def near(self) -> Near | None:
        """How near the request's rules are, as far as callers are told; None if there are none."""
        if self._near is None and self._rules is not None and self._hold is not None:
            self._near = self._rules.near(self._hold)
        return self._near


def _always() -> bool:
    return True


class Accounts:
    """Begins the visits of one configuration; `check` raises `FailedError` while no request may be answered."""

    def __init__(
        self, authenticator: Authenticator, rules: Rules | None = None, check: Callable[[], None] = lambda: None
    ) -> None:
        self._authenticator = authenticator
        self._rules = rules
        self._check = check

    def visit(self, scope: Scope) -> Visit:
        """The visit of a request; raises `FailedError` if the key is missing or wrong."""
        path: str = scope["path"]
        endpoint = path if path.startswith(_VERSIONED) else f"/v1{path}"
        caller = self._authenticator.caller(scope)
        self._check()
        return Visit(caller, endpoint, self._rules)
