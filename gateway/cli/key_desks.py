"""Where `dragoman keys` finds the keys: in the database of the configuration, or at a running gateway."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from gateway.accounts.keys.stored import Draft, Edit, Query, StoredKey
from gateway.cli.actor import actor
from gateway.cli.usage import UsageError
from gateway.config import Config, as_base_url
from gateway.ledger.opening import accounts_file
from gateway.pages.keys import configured_key
from gateway.process.serving import run
from gateway.service.ports import Call
from gateway.upstream.client import upstream_client
from gateway.upstream.hosts import endpoint
from gateway.upstream.limits import TimeLimits
from translators.errors import FailedError
from translators.hosts import CURRENT_VERSION

if TYPE_CHECKING:
    from gateway.accounts.keys.table import KeyTable, MadeKey

T = TypeVar("T")
Shown: TypeAlias = dict[str, Any]

_LIMITS: Final = TimeLimits(connect_seconds=5.0, first_byte_seconds=10.0, idle_seconds=10.0)
_MAX_BYTES: Final = 16 * 1024 * 1024
_ENCODER: Final = msgspec.json.Encoder()


class Desk(Protocol):
    """Keys as `/admin/keys` shows them; every method raises `UsageError`."""

    def page(self, query: Query) -> Shown: ...

    def find(self, key: str) -> Shown: ...

    def create(self, draft: Draft) -> Shown: ...

    def edit(self, key: str, edit: Edit) -> Shown: ...

    def rotate(self, key: str, grace_seconds: float) -> Shown: ...

    def switch(self, key: str, *, is_enabled: bool) -> Shown: ...

    def delete(self, key: str) -> Shown: ...

    def audit(self, before: int | None, limit: int) -> Shown: ...


def desk_for(config: Config, url: str | None) -> Desk:
    """The gateway at a URL, or the database that a configuration names."""
    return FileDesk(config) if url is None else RemoteDesk(config, url)


class FileDesk:
    """The keys in the database, whether or not a gateway is running."""

    def __init__(self, config: Config) -> None:
        file = accounts_file(config.accounts)
        if file is None:
            raise UsageError("accounts.kind is off in this configuration, so there are no keys but those in clients.")
        self._config = config
        self._file = file
        self._now = time.time()

    def page(self, query: Query) -> Shown:
        keys, has_more = self._run(lambda table: table.page(query))
        shown = {"object": "list", "data": [key.as_json(self._now) for key in keys], "has_more": has_more}
        if query.after is None:
            shown["configured"] = [configured_key(client) for client in self._config.clients]
        return shown

    def find(self, key: str) -> Shown:
        return self._shown(lambda table: table.find(key))

    def create(self, draft: Draft) -> Shown:
        return self._made(lambda table: table.create(draft, actor()))

    def edit(self, key: str, edit: Edit) -> Shown:
        return self._shown(lambda table: table.edit(key, edit, actor()))

    def rotate(self, key: str, grace_seconds: float) -> Shown:
        return self._made(lambda table: table.rotate(key, actor(), grace_seconds))

    def switch(self, key: str, *, is_enabled: bool) -> Shown:
        return self._shown(lambda table: table.set_enabled(key, actor(), is_enabled=is_enabled))

    def delete(self, key: str) -> Shown:
        return {"id": self._run(lambda table: table.delete(key, actor())).id, "object": "key", "deleted": True}

    def audit(self, before: int | None, limit: int) -> Shown:
        lines, has_more = self._run(lambda table: table.audit(before, limit))
        return {"object": "list", "data": [msgspec.structs.asdict(line) for line in lines], "has_more": has_more}

    def _shown(self, action: "Callable[[KeyTable], StoredKey]") -> Shown:
        return self._run(action).as_json(self._now)

    def _made(self, action: "Callable[[KeyTable], MadeKey]") -> Shown:
        made = self._run(action)
        return {**made.stored.as_json(self._now), "key": made.key.reveal()}

    def _run(self, action: "Callable[[KeyTable], T]") -> T:
        # SQLite is loaded only where it is used.
        from gateway.accounts.keys.reading import hasher_of
        from gateway.accounts.keys.table import KeyTable
        from gateway.ledger.trouble import AccountsFileError

        accounts, file = self._config.accounts, self._file
        reserved = {client.name for client in self._config.clients}
        try:
            return file.run_now(
                lambda connection: action(
                    KeyTable(connection, hasher_of(connection, file.file, accounts.secret), self._now, reserved)
                )
            )
        except FailedError as error:
            raise UsageError(error.failure.message) from error
        except AccountsFileError as error:
            raise UsageError(f"The keys cannot be reached: {error}.") from error


class RemoteDesk:
    """The keys of a running gateway."""

    def __init__(self, config: Config, url: str) -> None:
        if config.admin.api_key is None:
            raise UsageError("There is no admin key: set DRAGOMAN_ADMIN_KEY, or admin.api_key in the configuration.")
        try:
            self._gateway = endpoint("admin", config.admin.api_key, as_base_url(url))
        except ValueError as error:
            raise UsageError(f"--url: {error}") from error

    def page(self, query: Query) -> Shown:
        fields = {
            "limit": str(query.limit),
            "after": query.after,
            "group": query.group,
            "tag": query.tag,
            "name": query.name,
            "deleted": "true" if query.with_deleted else None,
        }
        return self._ask("GET", f"?{_query(fields)}")

    def find(self, key: str) -> Shown:
        return self._ask("GET", self._place(key))

    def create(self, draft: Draft) -> Shown:
        return self._ask("POST", "", draft)

    def edit(self, key: str, edit: Edit) -> Shown:
        return self._ask("PATCH", self._place(key), edit)

    def rotate(self, key: str, grace_seconds: float) -> Shown:
        return self._ask("POST", f"{self._place(key)}/rotate", {"grace_seconds": grace_seconds})

    def switch(self, key: str, *, is_enabled: bool) -> Shown:
        return self._ask("POST", f"{self._place(key)}/{'enable' if is_enabled else 'disable'}")

    def delete(self, key: str) -> Shown:
        return self._ask("DELETE", self._place(key))

    def audit(self, before: int | None, limit: int) -> Shown:
        fields = {"limit": str(limit), "after": None if before is None else str(before)}
        return self._ask("GET", f"?{_query(fields)}", path="/admin/audit")

    def _place(self, key: str) -> str:
        """The path of a key. Names with a slash cannot stand in a path: their ids are asked for."""
        if "/" in key:
            key = next((str(found["id"]) for found in self.page(Query(name=key))["data"]), key)
        return f"/{quote(key, safe='')}"

    def _ask(self, method: str, place: str, value: object = None, *, path: str = "/admin/keys") -> Shown:
        body = b"" if value is None else _ENCODER.encode(value)
        return run(self._answer(Call(CURRENT_VERSION, body, method=method, path=f"{path}{place}")))

    async def _answer(self, call: Call) -> Shown:
        upstream = upstream_client(_LIMITS, "auto")
        try:
            async with upstream.open(self._gateway, call) as answer:
                status, body = answer.status, await answer.read(_MAX_BYTES)
        except FailedError as error:
            raise UsageError(f"No gateway answers at {self._gateway.base_url}: {error.failure.in_full}") from error
        finally:
            await upstream.close()
        return _read(status, body, self._gateway.base_url)


def _read(status: int, body: bytes, url: str) -> Shown:
    try:
        shown: Shown = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise UsageError(f"What answers at {url} is not a gateway with keys: it says {status}.") from None
    if status == 200:
        return shown
    error = shown.get("error")
    message = error.get("message") if isinstance(error, dict) else None
    raise UsageError(f"The gateway at {url} says {status}: {message}")


def _query(fields: Mapping[str, str | None]) -> str:
    return urlencode({name: value for name, value in fields.items() if value is not None})
