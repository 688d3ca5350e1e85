"""`GET /v1/key`: what a caller's own key is, and what it may do."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

import msgspec
from starlette.types import Receive, Scope, Send

from gateway.accounts.auth import Authenticator, Caller
from gateway.accounts.keys.book import NEVER, KeyBook
from gateway.accounts.keys.form import prefix_of
from gateway.accounts.keys.limits import NO_LIMITS
from gateway.accounts.keys.stored import limits_json
from gateway.edge.responder import NEVER_KEPT, responder_of

# What others know of a caller, by the name of its field: what it has spent, the rules that apply to it.
KeyFacts: TypeAlias = Callable[[Caller], Awaitable[Mapping[str, object]]]


class OwnKeyPage:
    """Shows the key of the request; `facts` add their fields."""

    def __init__(self, authenticator: Authenticator, book: KeyBook, facts: Sequence[KeyFacts] = ()) -> None:
        self._authenticator = authenticator
        self._book = book
        self._facts = facts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = self._authenticator.caller(scope)
        shown = self._described(caller)
        for find in self._facts:
            shown |= await find(caller)
        await responder_of(scope).send_json(200, msgspec.json.encode(shown), NEVER_KEPT)

    def _described(self, caller: Caller) -> dict[str, object]:
        entry = None if caller.key_id is None else self._book.entry(caller.key_id)
        ends = entry is not None and entry.expires_at != NEVER
        return {
            "object": "key",
            "id": caller.key_id,
            "name": caller.name,
            "group": caller.group,
            "prefix": None if caller.key_id is None else prefix_of(caller.key_id),
            "expires_at": int(entry.expires_at) if ends and entry is not None else None,
            "limits": limits_json(caller.limits or NO_LIMITS),
        }
