"""`/v1/conversations` and their items: created, retrieved, changed, listed and deleted without any model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec
import orjson
from msgspec import Raw, Struct
from starlette.types import Receive, Scope, Send

from gateway.accounts.auth import Authenticator
from gateway.edge.requests import read_body
from gateway.edge.responder import responder_of
from gateway.edge.slices import LARGE_BYTES, in_slices
from gateway.pages.paging import page_json, page_query, query_of
from gateway.service.conversations import Conversation, Conversations
from gateway.service.items import read_items, shown
from translators.errors import TranslationError
from translators.reading import checked_body, decode, missing_parameter
from translators.steps import in_one_go
from translators.structure import check_values

# Of one request, as OpenAI's documentation says.
_MOST_ITEMS: Final = 20
_MOST_PAIRS: Final = 16
_LONGEST_NAME: Final = 64
_LONGEST_VALUE: Final = 512


class _Body(Struct):
    """The body of every request here; unknown fields are passed over."""

    items: list[Raw] | None = None
    metadata: dict[str, str] | None = None


_DECODER: Final = msgspec.json.Decoder(_Body)


@dataclass(frozen=True, slots=True)
class ConversationParts:
    """What all of these endpoints share."""

    authenticator: Authenticator
    conversations: Conversations
    max_body_bytes: int
    now: Callable[[], float]


class _Page:
    """The base of these endpoints."""

    def __init__(self, parts: ConversationParts) -> None:
        self._parts = parts
        self._conversations = parts.conversations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        owner = self._parts.authenticator.caller(scope).scope
        await responder_of(scope).send_json(200, await self._answer(scope, receive, owner))

    async def _answer(self, scope: Scope, receive: Receive, owner: bytes) -> bytes:
        raise NotImplementedError

    async def _body(self, scope: Scope, receive: Receive) -> _Body:
        body = await read_body(scope, receive, self._parts.max_body_bytes)
        if not body:
            return _Body()
        steps = check_values(checked_body(body))
        await in_slices(steps) if len(body) > LARGE_BYTES else in_one_go(steps)
        return decode(_DECODER, body)


class CreateConversation(_Page):
    """`POST /v1/conversations`, whose body may be empty."""

    async def _answer(self, scope: Scope, receive: Receive, owner: bytes) -> bytes:
        body = await self._body(scope, receive)
        metadata, items = _metadata(body.metadata), read_items(body.items or [], "items", _MOST_ITEMS)
        created_at = int(self._parts.now())
        return _as_json(await self._conversations.create(owner, created_at=created_at, metadata=metadata, items=items))


class OneConversation(_Page):
    """`GET`, `POST` (which replaces the metadata) and `DELETE /v1/conversations/{id}`."""

    async def _answer(self, scope: Scope, receive: Receive, owner: bytes) -> bytes:
        wanted = scope["path_params"]["conversation_id"]
        if scope["method"] == "DELETE":
            await self._conversations.delete(owner, wanted)
            return orjson.dumps({"id": wanted, "object": "conversation.deleted", "deleted": True})
        if scope["method"] != "POST":
            return _as_json(await self._conversations.find(owner, wanted))
        body = await self._body(scope, receive)
        if body.metadata is None:
            raise missing_parameter("metadata")
        return _as_json(await self._conversations.update(owner, wanted, _metadata(body.metadata)))


class ConversationItems(_Page):
    """`GET` and `POST /v1/conversations/{id}/items`."""

    async def _answer(self, scope: Scope, receive: Receive, owner: bytes) -> bytes:
        wanted = scope["path_params"]["conversation_id"]
        if scope["method"] == "POST":
            include = query_of(scope).get("include", [])
            body = await self._body(scope, receive)
            if body.items is None:
                raise missing_parameter("items")
            items = read_items(body.items, "items", _MOST_ITEMS)
            return await page_json(await self._conversations.append(owner, wanted, items), False, include)
        query = page_query(scope)
        items, has_more = await self._conversations.page(
            owner, wanted, after=query.after, limit=query.limit, is_oldest_first=query.is_oldest_first
        )
        return await page_json(items, has_more, query.include)


class ConversationItem(_Page):
    """`GET` and `DELETE /v1/conversations/{id}/items/{item_id}`; the latter gives the conversation."""

    async def _answer(self, scope: Scope, receive: Receive, owner: bytes) -> bytes:
        wanted, item_id = scope["path_params"]["conversation_id"], scope["path_params"]["item_id"]
        if scope["method"] == "DELETE":
            return _as_json(await self._conversations.remove(owner, wanted, item_id))
        found = await self._conversations.item(owner, wanted, item_id)
        return bytes(shown(found, query_of(scope).get("include", [])))


def _as_json(conversation: Conversation) -> bytes:
    return orjson.dumps(
        {
            "id": conversation.id,
            "object": "conversation",
            "created_at": conversation.created_at,
            "metadata": conversation.metadata,
        }
    )


def _metadata(given: dict[str, str] | None) -> dict[str, str]:
    """The metadata, within OpenAI's limits."""
    metadata = given or {}
    if len(metadata) > _MOST_PAIRS:
        message = f"Invalid 'metadata': too many properties. Expected an object with at most {_MOST_PAIRS} properties."
        raise TranslationError(message, param="metadata", code="object_above_max_properties")
    for name, value in metadata.items():
        if len(name) > _LONGEST_NAME:
            message = f"Invalid 'metadata': a name is too long. Expected at most {_LONGEST_NAME} characters."
            raise TranslationError(message, param="metadata", code="string_above_max_length")
        if len(value) > _LONGEST_VALUE:
            place = f"metadata.{name}"
            message = f"Invalid '{place}': string too long. Expected at most {_LONGEST_VALUE} characters."
            raise TranslationError(message, param=place, code="string_above_max_length")
    return metadata
