"""`GET /admin/...`: views into the running gateway, for holders of the admin key only."""

from typing import Final

import orjson
from starlette.types import Receive, Scope, Send

from gateway.accounts.auth import presented_key
from gateway.accounts.guesses import Guesses
from gateway.edge.addresses import address_of
from gateway.edge.responder import NEVER_KEPT, responder_of
from gateway.pages.sessions import AdminKeys as AdminKeys
from gateway.pages.sessions import comes_from_console, session_of
from gateway.secret import Secret
from gateway.workers.views import Views
from translators.errors import ErrorKind, FailedError, Failure

_NOT_SET: Final = (
    "This gateway has no admin key, so its admin pages are disabled. Set admin.api_key in its configuration, "
    "or DRAGOMAN_ADMIN_KEY in its environment, and send that key here."
)
_MISSING: Final = "You didn't provide the admin key. Send it as Authorization: Bearer ADMIN_KEY, or as x-api-key."
_WRONG: Final = "This is not the admin key of this gateway. Client keys are not accepted here."
_FOREIGN: Final = "Only the console's own pages may do this: other pages could misuse who is signed in."
_ONLY_READS: Final = "This is the viewer key, which may read and change nothing. Use the admin key."
_VIEWER: Final = "You are signed in as a viewer, who may read and change nothing."
_OPEN: Final = (
    "This gateway is open to its own machine, where the console reads and changes nothing. "
    "Set admin.api_key in its configuration to change it here."
)


class AdminView:
    """The view of this name, of all workers.

    `worker` names the one that answers; `workers` are those whose part is in the view, `missing` those that did not
    answer in time.
    """

    def __init__(self, keys: AdminKeys, guesses: Guesses, views: Views, name: str) -> None:
        self._keys = keys
        self._guesses = guesses
        self._views = views
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        check_admin(scope, self._keys, self._guesses)
        views = self._views
        seen = await views.see(self._name)
        worker = {"number": views.number, "count": views.count}
        body = orjson.dumps({"worker": worker, "workers": seen.workers, "missing": seen.missing, **seen.fields})
        await responder_of(scope).send_json(200, body, NEVER_KEPT)


def check_admin(scope: Scope, keys: AdminKeys, guesses: Guesses, *, writes: bool = False) -> str:
    """Who asks, by role and address; raises `FailedError` unless the request carries the admin key.

    Where nothing is written the viewer key will do. A session of the console counts as the key it came from.
    Comparisons take constant time.
    """
    if (session := session_of(scope)) is not None and presented_key(scope) is None:
        if writes:
            only_from_console(scope)
            if session.role != "admin":
                message = _OPEN if session.is_open else _VIEWER
                raise FailedError(Failure(ErrorKind.CALLER_NOT_PERMITTED, message, code="viewer_only_reads"))
        return f"{session.role} at {address_of(scope) or 'an unknown address'}, in the console"
    if keys.api_key is None and (writes or keys.viewer_key is None):
        raise FailedError(Failure(ErrorKind.CALLER_NOT_PERMITTED, _NOT_SET, code="admin_key_not_set"))
    token = presented_key(scope)
    if token is None:
        raise FailedError(Failure(ErrorKind.MISSING_KEY, _MISSING))
    secret = Secret(token)
    if secret == keys.api_key:
        return f"admin at {address_of(scope) or 'an unknown address'}"
    if secret != keys.viewer_key:
        raise guesses.refusal(scope, _WRONG)
    if writes:
        raise FailedError(Failure(ErrorKind.CALLER_NOT_PERMITTED, _ONLY_READS, code="viewer_only_reads"))
    return f"viewer at {address_of(scope) or 'an unknown address'}"


def only_from_console(scope: Scope) -> None:
    """Raise `FailedError` unless a page of the console sent the request: a cookie alone is sent for others too."""
    if not comes_from_console(scope):
        raise FailedError(Failure(ErrorKind.FORBIDDEN_ORIGIN, _FOREIGN, code="not_from_console"))
