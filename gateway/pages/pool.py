"""`POST /admin/pool/{key}/{order}`: a key of the pool is taken out, put back, or probed, in all workers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import orjson
from starlette.types import Receive, Scope, Send

from gateway.accounts.guesses import Guesses
from gateway.accounts.pace import Pace
from gateway.edge.responder import NEVER_KEPT, responder_of
from gateway.pages.admin import check_admin
from gateway.pages.sessions import AdminKeys
from gateway.workers.views import Views
from translators.errors import ErrorKind, FailedError, Failure

ORDERS: Final = ("take_out", "put_back", "probe")
_LONGEST_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class PoolParts:
    """What the page works with; `note` writes a line into the audit: who, what, and with which key."""

    keys: AdminKeys
    guesses: Guesses
    pace: Pace
    views: Views
    note: Callable[[str, str, str], Awaitable[None]]


class PoolOrderPage:
    """Carries out an order; 404 for a key that no worker knows."""

    def __init__(self, parts: PoolParts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        parts = self._parts
        actor = check_admin(scope, parts.keys, parts.guesses, writes=True)
        name, order = scope["path_params"]["key"], scope["path_params"]["order"]
        if order not in ORDERS:
            what = f"There is no such order: expected one of {', '.join(ORDERS)}."
            raise FailedError(Failure(ErrorKind.UNKNOWN_URL, what))
        parts.pace.take()
        done, missing = await parts.views.order(order, name)
        if not any(done):
            raise FailedError(Failure(ErrorKind.UNKNOWN_ID, f"The pool has no key '{name[:_LONGEST_NAME]}'."))
        await parts.note(actor, f"pool.{order}", name)
        body = orjson.dumps({"key": name, "order": order, "workers": len(done), "missing": missing})
        await responder_of(scope).send_json(200, body, NEVER_KEPT)
