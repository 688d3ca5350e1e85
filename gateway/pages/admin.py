"""`GET /admin/...`: views into the running gateway, for holders of the admin key only."""

from typing import Final

import orjson
from starlette.types import Receive, Scope, Send

from gateway.accounts.auth import presented_key
from gateway.accounts.guesses import Guesses
from gateway.edge.responder import responder_of
from gateway.secret import Secret
from gateway.workers.views import Views
from translators.errors import ErrorKind, FailedError, Failure

_NOT_SET: Final = (
    "This gateway has no admin key, so its admin pages are disabled. Set admin.api_key in its configuration, "
    "or DRAGOMAN_ADMIN_KEY in its environment, and send that key here."
)
_MISSING: Final = "You didn't provide the admin key. Send it as Authorization: Bearer ADMIN_KEY, or as x-api-key."
_WRONG: Final = "This is not the admin key of this gateway. Client keys are not accepted here."


class AdminView:
    """The view of this name, of all workers.

    `worker` names the one that answers; `workers` are those whose part is in the view, `missing` those that did not
    answer in time.
    """

    def __init__(self, admin_key: Secret | None, guesses: Guesses, views: Views, name: str) -> None:
        self._admin_key = admin_key
        self._guesses = guesses
        self._views = views
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        check_admin(scope, self._admin_key, self._guesses)
        views = self._views
        seen = await views.see(self._name)
        worker = {"number": views.number, "count": views.count}
        body = orjson.dumps({"worker": worker, "workers": seen.workers, "missing": seen.missing, **seen.fields})
        await responder_of(scope).send_json(200, body, {"cache-control": "no-store"})


def check_admin(scope: Scope, admin_key: Secret | None, guesses: Guesses) -> None:
    """Raise `FailedError` unless the request carries the admin key; the comparison takes constant time."""
    if admin_key is None:
        raise FailedError(Failure(ErrorKind.CALLER_NOT_PERMITTED, _NOT_SET, code="admin_key_not_set"))
    token = presented_key(scope)
    if token is None:
        raise FailedError(Failure(ErrorKind.MISSING_KEY, _MISSING))
    if Secret(token) != admin_key:
        raise guesses.refusal(scope, _WRONG)
