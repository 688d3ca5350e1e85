"""`GET /admin/requests` and `GET /admin/requests/{id}`: the request log of all workers, for the admin."""

import logging
import math
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope, Send

from gateway.accounts.guesses import Guesses
from gateway.edge.notes import notes_of
from gateway.edge.responder import NEVER_KEPT, responder_of
from gateway.pages.admin import AdminKeys, check_admin
from gateway.pages.sessions import session_of
from gateway.service.wire import SeenWire
from gateway.telemetry.requests.contents import Content
from gateway.telemetry.requests.entries import Entry
from gateway.telemetry.requests.filtering import MOST, Wanted, chosen
from gateway.telemetry.requests.views import CONTENTS, REQUESTS, WIRES
from gateway.workers.views import Seen, Views
from translators.errors import ErrorKind, FailedError, Failure, TranslationError

_MOST_FIELDS: Final = 20
_STATUS: Final = re.compile(r"[1-5]\d\d|[1-5]xx|failed")
_LONGEST_NAME: Final = 300


class _Page:
    def __init__(self, admin: AdminKeys, guesses: Guesses, views: Views) -> None:
        self._admin = admin
        self._guesses = guesses
        self._views = views


class RequestsPage(_Page):
    """The requests that match the query, the latest first."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        check_admin(scope, self._admin, self._guesses)
        wanted = _wanted(scope["query_string"])
        if wanted.after is not None:
            # Somebody follows: this comes every second.
            notes_of(scope).level = logging.DEBUG
        seen = await self._views.see(REQUESTS)
        found = chosen(_entries(seen), wanted)
        body = msgspec.json.encode({"requests": found, "workers": seen.workers, "missing": seen.missing})
        await responder_of(scope).send_json(200, body, NEVER_KEPT)


class OneRequest(_Page):
    """One request, with its content if that may be kept."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        who = check_admin(scope, self._admin, self._guesses)
        request_id: str = scope["path_params"]["request_id"]
        entry = next((found for found in _entries(await self._views.see(REQUESTS)) if found.id == request_id), None)
        if entry is None:
            message = "There is no such request in the log: it has not ended yet, or newer ones have taken its place."
            raise FailedError(Failure(ErrorKind.UNKNOWN_ID, message))
        # What was said is for whoever may change the configuration, and so may have it kept.
        content = await self._content(entry) if who.startswith("admin ") else None
        await responder_of(scope).send_json(
            200, msgspec.json.encode({"request": entry, "content": content}), NEVER_KEPT
        )

    async def _content(self, entry: Entry) -> Content | None:
        if not entry.has_content:
            return None
        contents: Any = (await self._views.see(CONTENTS)).fields[CONTENTS]
        found: Content | None = contents.get(entry.id)
        return found


class WirePage:
    """Both sides of a request of the playground, with what the log knows of it."""

    def __init__(self, admin: AdminKeys, guesses: Guesses, views: Views) -> None:
        self._admin = admin
        self._guesses = guesses
        self._views = views

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        who, session = check_admin(scope, self._admin, self._guesses), session_of(scope)
        if not (who.startswith("admin ") or (session is not None and session.is_open)):
            message = "What was said is for administrators: you may see what the log knows of a request."
            raise FailedError(Failure(ErrorKind.CALLER_NOT_PERMITTED, message, code="viewer_only_reads"))
        request_id: str = scope["path_params"]["request_id"]
        wires: Any = (await self._views.see(WIRES)).fields[WIRES]
        wire: SeenWire | None = wires.get(request_id)
        if wire is None:
            message = "There is no wire of this request: it has not ended yet, nobody asked for it, or it is too old."
            raise FailedError(Failure(ErrorKind.UNKNOWN_ID, message))
        entry = next((found for found in _entries(await self._views.see(REQUESTS)) if found.id == request_id), None)
        await responder_of(scope).send_json(200, msgspec.json.encode({"request": entry, "wire": wire}), NEVER_KEPT)


def _entries(seen: Seen) -> list[Entry]:
    entries: Any = seen.fields[REQUESTS]
    found: list[Entry] = entries
    return found


def _wanted(query: bytes) -> Wanted:
    """The query; raises `TranslationError` for what cannot be understood."""
    try:
        given = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise TranslationError(f"A query has at most {_MOST_FIELDS} parameters.") from None
    unknown = given.keys() - _READERS.keys()
    if unknown:
        raise TranslationError(f"Unknown parameter. There are {', '.join(_READERS)}.", param=min(unknown))
    return Wanted(**{name: _read(name, text) for name, text in given.items()})


def _read(name: str, text: str) -> Any:
    read, expected = _READERS[name]
    try:
        return read(text)
    except ValueError:
        raise TranslationError(f"Expected {expected}.", param=name, code="invalid_value") from None


def _name(text: str) -> str:
    return text[:_LONGEST_NAME]


def _status(text: str) -> str:
    if not _STATUS.fullmatch(text):
        raise ValueError
    return text


def _number(text: str) -> float:
    number = float(text)
    if not 0 <= number < math.inf:
        raise ValueError
    return number


def _limit(text: str) -> int:
    limit = int(text)
    if not 1 <= limit <= MOST:
        raise ValueError
    return limit


_READERS: Final[dict[str, tuple[Callable[[str], Any], str]]] = {
    "caller": (_name, "a name"),
    "model": (_name, "a name"),
    "status": (_status, "a status as 429, a class as 5xx, or failed"),
    "slower_than": (_number, "a number of seconds"),
    "limit": (_limit, f"a number from 1 to {MOST}"),
    "after": (_number, "a Unix time in seconds"),
}
