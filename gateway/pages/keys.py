"""`/admin/keys` and `/admin/audit`: the stored keys, listed and changed by administrators."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import asdict
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from gateway.accounts.guesses import Guesses
from gateway.accounts.keys.stored import GRACE_SECONDS, Draft, Edit, Query, StoredKey
from gateway.accounts.pace import Pace
from gateway.edge.requests import read_body
from gateway.edge.responder import NEVER_KEPT, responder_of
from gateway.pages.admin import AdminKeys, check_admin
from gateway.pages.paging import page_query, query_of
from translators.errors import ErrorKind, FailedError, Failure, TranslationError
from translators.reading import checked_body, decode

if TYPE_CHECKING:
    from gateway.accounts.keys.service import StoredKeys
    from gateway.accounts.keys.table import KeyTable, MadeKey

T = TypeVar("T")

# The largest description of a key is about half of that.
_MOST_BYTES: Final = 128 * 1024
_OFF: Final = "This gateway keeps no keys: accounts.kind is off in its configuration."
_MOST_DIGITS: Final = 15


class _Rotation(Struct, forbid_unknown_fields=True):
    grace_seconds: float = GRACE_SECONDS


_DRAFT: Final = msgspec.json.Decoder(Draft)
_EDIT: Final = msgspec.json.Decoder(Edit)
_ROTATION: Final = msgspec.json.Decoder(_Rotation)


class Client(Protocol):
    """A client of the configuration."""

    @property
    def name(self) -> str: ...

    @property
    def group(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class KeyParts:
    """What the pages share; `stored` is None if keys are not kept, `clients` are those of the configuration."""

    admins: AdminKeys
    guesses: Guesses
    pace: Pace
    stored: "StoredKeys | None"
    clients: Sequence[Client]
    now: Callable[[], float]

    async def run(self, action: "Callable[[KeyTable], T]") -> T:
        """Run an action on the table; raises `FailedError`."""
        if self.stored is None:
            raise FailedError(Failure(ErrorKind.CALLER_NOT_PERMITTED, _OFF, code="accounts_off"))
        return await self.stored.run(action)


def key_routes(parts: KeyParts) -> Iterator[BaseRoute]:
    """The routes of these pages."""
    one = "/admin/keys/{key}"
    yield Route("/admin/keys", KeysPage(parts), methods=["GET", "POST"])
    yield Route(one, KeyPage(parts), methods=["GET", "PATCH", "DELETE"])
    yield Route(f"{one}/rotate", RotatePage(parts), methods=["POST"])
    yield Route(f"{one}/disable", SwitchPage(parts, is_enabled=False), methods=["POST"])
    yield Route(f"{one}/enable", SwitchPage(parts, is_enabled=True), methods=["POST"])
    yield Route("/admin/audit", AuditPage(parts), methods=["GET"])


class _Page:
    """The base of these pages."""

    def __init__(self, parts: KeyParts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        parts, writes = self._parts, scope["method"] != "GET"
        actor = check_admin(scope, parts.admins, parts.guesses, writes=writes)
        if writes:
            parts.pace.take()
        body = await read_body(scope, receive, _MOST_BYTES) if writes else b""
        shown = await self._answer(scope, body, actor)
        await responder_of(scope).send_json(200, msgspec.json.encode(shown), NEVER_KEPT)

    async def _answer(self, scope: Scope, body: bytes, actor: str) -> Mapping[str, object]:
        raise NotImplementedError

    def _shown(self, key: StoredKey) -> dict[str, object]:
        return key.as_json(self._parts.now())

    def _made(self, made: "MadeKey") -> dict[str, object]:
        """A new key, with its secret: the only time that it is shown."""
        return {**self._shown(made.stored), "key": made.key.reveal()}


class KeysPage(_Page):
    """`GET /admin/keys`, a page of the keys, and `POST`, which makes one."""

    async def _answer(self, scope: Scope, body: bytes, actor: str) -> Mapping[str, object]:
        if scope["method"] == "POST":
            draft = decode(_DRAFT, checked_body(body))
            return self._made(await self._parts.run(lambda table: table.create(draft, actor)))
        query = _query(scope)
        keys, has_more = await self._parts.run(lambda table: table.page(query))
        page = _page([self._shown(key) for key in keys], "id", has_more)
        return page if query.after is not None else {**page, "configured": self._configured()}

    def _configured(self) -> list[dict[str, object]]:
        return [configured_key(client) for client in self._parts.clients]


class KeyPage(_Page):
    """`GET`, `PATCH` and `DELETE /admin/keys/{id}`."""

    async def _answer(self, scope: Scope, body: bytes, actor: str) -> Mapping[str, object]:
        run, wanted = self._parts.run, scope["path_params"]["key"]
        if scope["method"] == "PATCH":
            edit = decode(_EDIT, checked_body(body))
            return self._shown(await run(lambda table: table.edit(wanted, edit, actor)))
        if scope["method"] == "DELETE":
            deleted = await run(lambda table: table.delete(wanted, actor))
            return {"id": deleted.id, "object": "key", "deleted": True}
        return self._shown(await run(lambda table: table.find(wanted)))


class RotatePage(_Page):
    """`POST /admin/keys/{id}/rotate`, whose body may be empty."""

    async def _answer(self, scope: Scope, body: bytes, actor: str) -> Mapping[str, object]:
        wanted, grace = scope["path_params"]["key"], GRACE_SECONDS
        if body:
            grace = decode(_ROTATION, checked_body(body)).grace_seconds
        return self._made(await self._parts.run(lambda table: table.rotate(wanted, actor, grace)))


class SwitchPage(_Page):
    """`POST /admin/keys/{id}/disable` and `enable`."""

    def __init__(self, parts: KeyParts, *, is_enabled: bool) -> None:
        super().__init__(parts)
        self._is_enabled = is_enabled

    async def _answer(self, scope: Scope, body: bytes, actor: str) -> Mapping[str, object]:
        wanted, is_enabled = scope["path_params"]["key"], self._is_enabled
        run = self._parts.run
        return self._shown(await run(lambda table: table.set_enabled(wanted, actor, is_enabled=is_enabled)))


class AuditPage(_Page):
    """`GET /admin/audit`."""

    async def _answer(self, scope: Scope, body: bytes, actor: str) -> Mapping[str, object]:
        query = page_query(scope)
        before = _number(query.after)
        lines, has_more = await self._parts.run(lambda table: table.audit(before, query.limit))
        return _page([asdict(line) for line in lines], "number", has_more)


def configured_key(client: Client) -> dict[str, object]:
    """A client of the configuration, which can only be changed there."""
    return {"object": "key", "name": client.name, "group": client.group, "state": "active", "source": "configuration"}


def _page(data: list[dict[str, object]], name: str, has_more: bool) -> dict[str, object]:
    return {
        "object": "list",
        "data": data,
        "first_id": data[0][name] if data else None,
        "last_id": data[-1][name] if data else None,
        "has_more": has_more,
    }


def _query(scope: Scope) -> Query:
    page, fields = page_query(scope), query_of(scope)
    chosen = {name: fields[name][-1] for name in ("group", "tag", "name") if fields.get(name, [""])[-1]}
    with_deleted = fields.get("deleted", [""])[-1].lower() in ("true", "1")
    return Query(after=page.after, limit=page.limit, with_deleted=with_deleted, **chosen)


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        what = "Invalid 'after': expected the number of a line of the audit."
        raise TranslationError(what, param="after", code="invalid_value")
    return int(text)
