"""`GET /admin/clients`: what each client has used, out of the ledger where there is one."""

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.edge.responder import NEVER_KEPT, responder_of
from gateway.ledger.trouble import AccountsFileError
from gateway.pages.ledger_access import LedgerAccess


class ClientsPage:
    """Shows what the ledger says, and without one `view`, which is what the running processes have counted."""

    def __init__(self, view: ASGIApp, access: LedgerAccess) -> None:
        self._view = view
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._access.check(scope)
        if not self._access.is_on:
            await self._view(scope, receive, send)
            return
        try:
            clients = await self._access.reports().clients()
        except AccountsFileError as error:
            raise self._access.unreadable(error) from error
        body = orjson.dumps({"source": "ledger", "clients": clients})
        await responder_of(scope).send_json(200, body, NEVER_KEPT)
