"""`GET` and `DELETE /v1/responses/{id}`, and the list of its input items: what was stored, without any model."""

from typing import Final

import msgspec
from msgspec import Raw
from starlette.types import Receive, Scope, Send

from gateway.accounts.auth import Authenticator
from gateway.edge.responder import responder_of
from gateway.pages.paging import PageQuery, page_json, page_query, query_of
from gateway.service.items import ENCRYPTED_REASONING, id_of
from gateway.service.responses import LONGEST_ID, Responses, StoredResponse
from translators.errors import ErrorKind, FailedError, Failure, TranslationError
from translators.wire.raw import OBJECT_DECODER

_NO_REPLAY: Final = (
    "This response was not made in the background, so its stream cannot be replayed. Leave out 'stream'."
)
_ENCODER: Final = msgspec.json.Encoder()


class StoredResponsePage:
    """Retrieves or deletes one response."""

    def __init__(self, authenticator: Authenticator, responses: Responses) -> None:
        self._authenticator = authenticator
        self._responses = responses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = self._authenticator.caller(scope)
        wanted = scope["path_params"]["response_id"]
        if scope["method"] == "DELETE":
            if not await self._responses.delete(caller.scope, wanted):
                raise no_response(wanted)
            await responder_of(scope).send_value({"id": wanted, "object": "response", "deleted": True})
            return
        query = query_of(scope)
        record = await self._responses.find(caller.scope, wanted)
        if record is None:
            raise no_response(wanted)
        if query.get("stream", [""])[-1].lower() in ("true", "1"):
            # The place for the replay of background responses.
            raise TranslationError(_NO_REPLAY, param="stream", code="invalid_value")
        await responder_of(scope).send_json(200, _shown(record, query.get("include", [])))


class InputItemsPage:
    """Lists the items that a response was made from: its own, and those of the responses before it."""

    def __init__(self, authenticator: Authenticator, responses: Responses) -> None:
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
