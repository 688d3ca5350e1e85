"""`GET` and `DELETE /v1/responses/{id}`, and the list of its input items: what was stored, without any model."""

from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Raw
from starlette.types import Receive, Scope, Send

from gateway.accounts.auth import Authenticator
from gateway.edge.following import send_events
from gateway.edge.interrupts import Interrupts
from gateway.edge.responder import responder_of
from gateway.pages.paging import PageQuery, page_json, page_query, query_of
from gateway.service.background import Background
from gateway.service.items import id_of
from gateway.service.responses import LONGEST_ID, StoredResponse, StoredResponses
from translators.errors import ErrorKind, FailedError, Failure, TranslationError
from translators.responses.settings import ENCRYPTED_REASONING
from translators.wire.raw import OBJECT_DECODER

_NO_REPLAY: Final = (
    "This response was not made in the background, so its stream cannot be replayed. Leave out 'stream'."
)
# Sequence numbers have fewer.
_MOST_DIGITS: Final = 12
_ENCODER: Final = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Replays:
    """What replays of streams need: what ends them early, and how long they may be silent."""

    interrupts: Interrupts
    keepalive_seconds: float


class StoredResponsePage:
    """Retrieves or deletes one response."""

    def __init__(
        self, authenticator: Authenticator, responses: StoredResponses, background: Background, replays: Replays
    ) -> None:
        self._authenticator = authenticator
        self._responses = responses
        self._background = background
        self._replays = replays

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = self._authenticator.caller(scope)
        wanted = scope["path_params"]["response_id"]
        if scope["method"] == "DELETE":
            if not await self._background.delete(caller.scope, self._responses, wanted):
                raise no_response(wanted)
            await responder_of(scope).send_value({"id": wanted, "object": "response", "deleted": True})
            return
        query = query_of(scope)
        record = await self._background.find(caller.scope, wanted)
        if record is None:
            raise no_response(wanted)
        if query.get("stream", [""])[-1].lower() in ("true", "1"):
            if not record.is_background:
                raise TranslationError(_NO_REPLAY, param="stream", code="invalid_value")
            first, responder = _first_number(query), responder_of(scope)
            pieces = self._background.follow(caller.scope, wanted, first, self._replays.keepalive_seconds)
            async with self._replays.interrupts.watch(scope, receive, responder):
                await send_events(responder, pieces, first)
            return
        await responder_of(scope).send_json(200, _shown(record, query.get("include", [])))


class CancelPage:
    """Cancels a response that is made in the background; one that has ended stays as it is."""

    def __init__(self, authenticator: Authenticator, background: Background) -> None:
        self._authenticator = authenticator
        self._background = background

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = self._authenticator.caller(scope)
        wanted = scope["path_params"]["response_id"]
        record = await self._background.find(caller.scope, wanted)
        if record is None:
            raise no_response(wanted)
        await self._background.cancel(caller.scope, record)
        record = await self._background.find(caller.scope, wanted)
        if record is None:
            raise no_response(wanted)
        await responder_of(scope).send_json(200, record.response)


class InputItemsPage:
    """Lists the items that a response was made from: its own, and those of the responses before it."""

    def __init__(self, authenticator: Authenticator, responses: StoredResponses) -> None:
        self._authenticator = authenticator
        self._responses = responses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = self._authenticator.caller(scope)
        wanted = scope["path_params"]["response_id"]
        query = page_query(scope)
        record = await self._responses.find(caller.scope, wanted)
        if record is None:
            raise no_response(wanted)
        before = await self._responses.items_before(caller.scope, record.ancestors[-1]) if record.ancestors else None
        items = [*(before.items if before else ()), *record.input_items]
        page, has_more = _page_of(items, query)
        await responder_of(scope).send_json(200, await page_json(page, has_more, query.include))


def no_response(response_id: str) -> FailedError:
    """OpenAI's error for an id that is not stored."""
    message = f"Response with id '{response_id[:LONGEST_ID]}' not found."
    return FailedError(Failure(ErrorKind.UNKNOWN_ID, message))


def _first_number(query: dict[str, list[str]]) -> int:
    """The number of the first event that is wanted: the one after `starting_after`."""
    text = query.get("starting_after", [""])[-1]
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        what = "Invalid 'starting_after': expected the sequence number of an event, an integer from 0 on."
        raise TranslationError(what, param="starting_after", code="invalid_value")
    return int(text) + 1


def _shown(record: StoredResponse, include: list[str]) -> bytes:
    """The response as it was answered; sealed reasoning is added for those who ask for it."""
    if ENCRYPTED_REASONING not in include or not record.output_items:
        return record.response
    fields = OBJECT_DECODER.decode(record.response)
    fields["output"] = Raw(b"[" + b",".join(record.output_items) + b"]")
    return _ENCODER.encode(fields)


def _page_of(items: list[bytes], query: PageQuery) -> tuple[list[bytes], bool]:
    ordered = items if query.is_oldest_first else items[::-1]
    if query.after is not None:
        place = next((index for index, item in enumerate(ordered) if id_of(item) == query.after), None)
        if place is None:
            message = f"Item with id '{query.after[:LONGEST_ID]}' not found."
            raise FailedError(Failure(ErrorKind.UNKNOWN_ID, message, param="after"))
        ordered = ordered[place + 1 :]
    return ordered[: query.limit], len(ordered) > query.limit
