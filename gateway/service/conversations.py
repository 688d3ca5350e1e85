"""`/v1/conversations`: lists of items that callers and responses append to, stored until deleted or expired."""

import secrets
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Struct

from gateway.service.items import all_named, id_of
from gateway.service.no_store import NO_RECORDS
from gateway.service.one_at_a_time import one_at_a_time
from gateway.service.ports import Appended, Records
from gateway.service.responses import LONGEST_ID, answered, unavailable
from translators.errors import ErrorKind, FailedError, Failure, TranslationError

_KEY_BYTES: Final = 16
_CONVERSATION: Final = b"conversation\0"
# What records take in all is no larger.
_MOST_ITEMS: Final = 5_000
_FULL: Final = "The conversation has as many items as this gateway keeps. Begin a new one."
_OFF: Final = "This gateway stores no responses and no conversations (responses.store)."


class Conversation(Struct, frozen=True):
    """A conversation without its items."""

    id: str
    created_at: int
    metadata: dict[str, str] = {}


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Conversation)


class Conversations:
    """Conversations on top of `Records`, each a record with its items as entries.

    Raises only `FailedError`: 404 for what this caller does not have, 503 if the storage fails. Appending writes new
    entries, so that all items are kept that several requests append at the same time, in any worker.
    """

    def __init__(self, records: Records = NO_RECORDS, *, is_on: bool = True) -> None:
        self._records = records
        self.is_on = is_on

    async def create(
        self, scope: bytes, *, created_at: int, metadata: Mapping[str, str], items: Sequence[bytes] = ()
    ) -> Conversation:
        """Create a conversation with its first items."""
        if not self.is_on:
            raise TranslationError(_OFF, code="store_disabled")
        new = Conversation(f"conv_{secrets.token_hex(16)}", created_at, dict(metadata))
        is_kept = await answered(one_at_a_time(scope, self._records.put(_key(scope, new.id), _ENCODER.encode(new))))
        if not is_kept:
            raise unavailable("the conversation was not kept")
        if items:
            await self.append(scope, new.id, items)
        return new

    async def find(self, scope: bytes, conversation_id: str) -> Conversation:
        """The conversation."""
        key = _key(scope, conversation_id)
        found = await answered(one_at_a_time(scope, self._records.fetch([key])))
        if key not in found:
            raise no_conversation(conversation_id)
        return _DECODER.decode(found[key])

    async def update(self, scope: bytes, conversation_id: str, metadata: Mapping[str, str]) -> Conversation:
        """Replace the metadata; of several updates at the same time the last one counts."""
        changed = msgspec.structs.replace(await self.find(scope, conversation_id), metadata=dict(metadata))
        is_kept = await answered(
            one_at_a_time(scope, self._records.replace(_key(scope, conversation_id), _ENCODER.encode(changed)))
        )
        if not is_kept:
            raise no_conversation(conversation_id)
        return changed

    async def delete(self, scope: bytes, conversation_id: str) -> None:
        """Delete a conversation with its items."""
        is_deleted = await answered(one_at_a_time(scope, self._records.delete(_key(scope, conversation_id))))
        if not is_deleted:
            raise no_conversation(conversation_id)

    async def append(self, scope: bytes, conversation_id: str, items: Sequence[bytes]) -> list[bytes]:
        """Append items, all or none; returns them with their ids. An item whose id exists already is not replaced.

        When this returns, other workers can find them.
        """
        if len(items) > _MOST_ITEMS:
            raise _full()
        added = await all_named(items, lambda _: secrets.token_hex(16))
        key = _key(scope, conversation_id)
        entries = [(_name(key, id_of(item) or ""), item) for item in added]
        appended = await answered(one_at_a_time(scope, self._records.append(key, entries)))
        if appended is Appended.NO_RECORD:
            raise no_conversation(conversation_id)
        if appended is Appended.FULL:
            raise _full()
        return added

    async def items(self, scope: bytes, conversation_id: str) -> list[bytes]:
        """All items, oldest first: `conversation` puts them before those of a request."""
        await self.find(scope, conversation_id)
        return [*(await answered(one_at_a_time(scope, self._records.entries(_key(scope, conversation_id))))).values()]

    async def page(
        self, scope: bytes, conversation_id: str, *, after: str | None, limit: int, is_oldest_first: bool
    ) -> tuple[list[bytes], bool]:
        """Up to `limit` items behind the item `after`, and whether there are more."""
        await self.find(scope, conversation_id)
        key = _key(scope, conversation_id)
        names = await answered(one_at_a_time(scope, self._records.names(key)))
        names = names if is_oldest_first else names[::-1]
        if after is not None:
            names = names[_place_of(_name(key, after), names, after) + 1 :]
        found = await answered(one_at_a_time(scope, self._records.entries(key, names[:limit]))) if names else {}
        return [found[name] for name in names[:limit] if name in found], len(names) > limit

    async def item(self, scope: bytes, conversation_id: str, item_id: str) -> bytes:
        """One item."""
        await self.find(scope, conversation_id)
        key = _key(scope, conversation_id)
        name = _name(key, item_id)
        found = await answered(one_at_a_time(scope, self._records.entries(key, [name])))
        if name not in found:
            raise no_item(item_id)
        return found[name]

    async def remove(self, scope: bytes, conversation_id: str, item_id: str) -> Conversation:
        """Delete one item; returns its conversation."""
        conversation = await self.find(scope, conversation_id)
        key = _key(scope, conversation_id)
        is_removed = await answered(one_at_a_time(scope, self._records.remove(key, _name(key, item_id))))
        if not is_removed:
            raise no_item(item_id)
        return conversation


def _full() -> TranslationError:
    return TranslationError(_FULL, param="items", code="conversation_full")


def no_conversation(conversation_id: str) -> FailedError:
    return FailedError(
        Failure(ErrorKind.UNKNOWN_ID, f"Conversation with id '{conversation_id[:LONGEST_ID]}' not found.")
    )


def no_item(item_id: str) -> FailedError:
    return FailedError(Failure(ErrorKind.UNKNOWN_ID, f"Item with id '{item_id[:LONGEST_ID]}' not found."))


def _place_of(name: bytes, names: Sequence[bytes], item_id: str) -> int:
    try:
        return names.index(name)
    except ValueError:
        raise no_item(item_id) from None


def _key(scope: bytes, conversation_id: str) -> bytes:
    owner = len(scope).to_bytes(4, "big") + scope
    text = conversation_id.encode("utf-8", "surrogatepass")
    return blake2b(owner + _CONVERSATION + text, digest_size=_KEY_BYTES).digest()


def _name(key: bytes, item_id: str) -> bytes:
    return blake2b(item_id.encode("utf-8", "surrogatepass"), key=key, digest_size=_KEY_BYTES).digest()
