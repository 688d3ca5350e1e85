"""Records in which every id is found and nothing can be deleted, since the SDK's own tests make up their ids."""

from collections.abc import Sequence

import msgspec
import orjson

from gateway.app import Gateway
from gateway.service.conversations import Conversation, Conversations
from gateway.service.ports import Appended
from gateway.service.responses import Responses, StoredResponse

_ITEM = {"id": "msg_abc", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}
_RESPONSE = {
    "id": "resp_123",
    "object": "response",
    "created_at": 1_800_000_000,
    "status": "completed",
    "model": "claude-opus-5-5",
    "output": [],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}


class Examples:
    """`Records` of one value and one entry, whatever is asked for."""

    is_shared = True

    def __init__(self, value: msgspec.Struct) -> None:
        self._value = msgspec.msgpack.encode(value)
        self._item = orjson.dumps(_ITEM)

    async def put(self, key: bytes, value: bytes, renewed: Sequence[bytes] = ()) -> bool:
        return True

    async def replace(self, key: bytes, value: bytes) -> bool:
        return True

    async def fetch(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return dict.fromkeys(keys, self._value)

    async def delete(self, key: bytes) -> bool:
        return True

    async def append(self, key: bytes, entries: Sequence[tuple[bytes, bytes]]) -> Appended:
        return Appended.KEPT

    async def names(self, key: bytes) -> list[bytes]:
        return [key]

    async def entries(self, key: bytes, names: Sequence[bytes] | None = None) -> dict[bytes, bytes]:
        return dict.fromkeys([key] if names is None else names, self._item)

    async def remove(self, key: bytes, name: bytes) -> bool:
        return True


def with_examples(gateway: Gateway) -> None:
    """Let a gateway find a response, a conversation and an item under every id."""
    response = StoredResponse(
        id="resp_123",
        created_at=1_800_000_000,
        model="claude-opus-5-5",
        response=orjson.dumps(_RESPONSE),
        input_items=(orjson.dumps(_ITEM),),
    )
    responses, conversations = gateway.services.responses, gateway.services.conversations
    assert isinstance(responses, Responses)
    assert isinstance(conversations, Conversations)
    responses._records = Examples(response)
    conversations._records = Examples(Conversation("conv_123", 1_800_000_000, {}))
