"""`/admin/rules`: the rules, those of the configuration and those that administrators add and remove at run time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from gateway.accounts.guesses import Guesses
from gateway.accounts.pace import Pace
from gateway.accounts.rules.definition import Definition
from gateway.edge.requests import read_body
from gateway.edge.responder import NEVER_KEPT, responder_of
from gateway.pages.admin import AdminKeys, check_admin
from translators.errors import ErrorKind, FailedError, Failure
from translators.reading import checked_body, decode

if TYPE_CHECKING:
    from gateway.accounts.stored_rules import StoredRules

_MOST_BYTES: Final = 16 * 1024
_OFF: Final = "This gateway keeps no rules but those of its configuration: accounts.kind is off there."
_DEFINITION: Final = msgspec.json.Decoder(Definition)


@dataclass(frozen=True, slots=True)
class RuleParts:
    """What the pages share; `stored` is None if no rules are kept, `configured` are those of the configuration."""

    admins: AdminKeys
    guesses: Guesses
    pace: Pace
    stored: "StoredRules | None"
    configured: Sequence[Definition]


def rule_routes(parts: RuleParts) -> Iterator[BaseRoute]:
    """The routes of these pages."""
    yield Route("/admin/rules", RulesPage(parts), methods=["GET", "POST"])
    yield Route("/admin/rules/{rule}", RulesPage(parts), methods=["DELETE"])


class RulesPage:
    """Lists the rules, adds or replaces one (`POST`), removes one (`DELETE`)."""

    def __init__(self, parts: RuleParts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        parts, method = self._parts, scope["method"]
        actor = check_admin(scope, parts.admins, parts.guesses, writes=method != "GET")
        if method != "GET":
            parts.pace.take()
        body = await read_body(scope, receive, _MOST_BYTES) if method == "POST" else b""
        answer = self._list if method == "GET" else self._add if method == "POST" else self._remove
        await responder_of(scope).send_json(200, msgspec.json.encode(await answer(scope, body, actor)), NEVER_KEPT)

    async def _list(self, scope: Scope, body: bytes, actor: str) -> Mapping[str, object]:
        stored: Sequence[Definition] = ()
        if self._parts.stored is not None:
            stored = await self._parts.stored.definitions()
        own = [shown_rule(each, "configuration") for each in self._parts.configured]
        return {"object": "list", "data": [*own, *(shown_rule(each, "stored") for each in stored)]}

    async def _add(self, scope: Scope, body: bytes, actor: str) -> Mapping[str, object]:
        definition = decode(_DEFINITION, checked_body(body))
        await self._stored().add(definition, actor, [rule.id for rule in self._parts.configured])
        return shown_rule(definition, "stored")

    async def _remove(self, scope: Scope, body: bytes, actor: str) -> Mapping[str, object]:
        rule_id: str = scope["path_params"]["rule"]
        await self._stored().remove(rule_id, actor)
        return {"id": rule_id, "object": "rule", "deleted": True}

    def _stored(self) -> "StoredRules":
        if self._parts.stored is None:
            raise FailedError(Failure(ErrorKind.CALLER_NOT_PERMITTED, _OFF, code="accounts_off"))
        return self._parts.stored


def shown_rule(definition: Definition, source: str) -> dict[str, object]:
    """A rule as it was written, and where it stands."""
    return {"object": "rule", **msgspec.structs.asdict(definition), "source": source}
