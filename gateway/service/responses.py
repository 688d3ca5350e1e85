"""Stored responses, which `previous_response_id`, `GET` and `DELETE /v1/responses/{id}` and `item_reference` find.

A response belongs to its caller: for all others it does not exist. Ids of items begin with the digits of their
response's id (`item_id`), so a reference to an item leads to its response without an index.
"""

import asyncio
import os
from collections.abc import Awaitable, Sequence
from hashlib import blake2b
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from gateway.service.items import all_named
from gateway.service.no_store import NO_RECORDS
from gateway.service.one_at_a_time import one_at_a_time
from gateway.service.ports import Records, RecordsUnavailableError
from gateway.service.wanted import Wanted
from translators.errors import ErrorKind, FailedError, Failure, TranslationError

# Limits of a chain: its responses, and the bytes of their items. Upstream takes requests of 32 MB.
MOST_ANCESTORS: Final = 1_000
MOST_CHAIN_BYTES: Final = 32 * 2**20
# With the response objects, which repeat instructions and tools: all of it is read for the next request.
MOST_HELD_BYTES: Final = 64 * 2**20
# Longer ids are not looked up; OpenAI's have 53 characters.
LONGEST_ID: Final = 128
RETRY_SECONDS: Final = 2.0
_KEY_BYTES: Final = 16
RESPONSE: Final = b"response\0"
# Values of `StoredResponse.unfinished`.
RUNNING: Final = "running"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
_DOWN: Final = "The gateway's store cannot be used at the moment. Please try again."

T = TypeVar("T")


class StoredResponse(Struct, frozen=True, kw_only=True):
    """One response as it is stored; the items are JSON objects.

    `response` is the JSON of the whole object, as the client got it. `input_items` are those of its own request, not of
    earlier ones. Reasoning items of `output_items` have `encrypted_content`, whether the client asked for it or not.
    `ancestors` are the ids of the responses before it, oldest first, `bytes_before` the bytes of their items, and
    `held_before` those of their response objects: all are those of the `Chain` that the request continued. `unfinished`
    is empty if the answer is whole. Otherwise, which only happens in the background, it is `RUNNING`, `FAILED` or
    `CANCELLED`.
    """

    id: str
    created_at: int
    model: str
    response: bytes
    input_items: tuple[bytes, ...] = ()
    output_items: tuple[bytes, ...] = ()
    ancestors: tuple[str, ...] = ()
    bytes_before: int = 0
    held_before: int = 0
    is_background: bool = False
    unfinished: str = ""

    @property
    def chain_bytes(self) -> int:
        """The bytes of all items, its own included."""
        return self.bytes_before + sum(map(len, self.input_items)) + sum(map(len, self.output_items))

    @property
    def held_bytes(self) -> int:
        """The bytes of all response objects, its own included."""
        return self.held_before + len(self.response)


class Chain(Struct, frozen=True):
    """All items before a new request, oldest first. The other fields are stored with the new response."""

    items: tuple[bytes, ...] = ()
    ancestors: tuple[str, ...] = ()
    bytes_before: int = 0
    held_before: int = 0


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(StoredResponse)


def new_response_id() -> str:
    """An id that nobody can guess."""
    return "resp_" + os.urandom(16).hex()


def item_id(prefix: str, response_id: str, index: int, *, is_input: bool = False) -> str:
    """The id of a response's item: the response's digits, `0` or `1` for output or input, and the index."""
    return f"{prefix}_{_digits(response_id, index, is_input=is_input)}"


class StoredResponses:
    """Stored responses on top of `Records`, each a record of its own.

    Raises only `FailedError`, with status 503 if the storage fails. If `is_on` is false, nothing is kept: the operator
    has switched it off.
    """

    def __init__(self, records: Records = NO_RECORDS, *, is_on: bool = True) -> None:
        self._records = records
        self.is_on = is_on

    @property
    def is_shared(self) -> bool:
        """Whether all workers find a response, also after a restart."""
        return self._records.is_shared

    async def keep(self, scope: bytes, record: StoredResponse) -> bool:
        """Keep a response, or a newer state of it, and renew its ancestors. Never raises.

        When this returns, other workers can find it. Input items without an id get one. False if it is not kept:
        storing is switched off, or the response or its chain is too long.
        """
        if not self.is_on or _is_too_long(record):
            return False
        renewed = [key_of(scope, ancestor) for ancestor in record.ancestors]
        value = await _encoded(record)
        try:
            return await one_at_a_time(scope, self._records.put(key_of(scope, record.id), value, renewed))
        except RecordsUnavailableError:
            return False

    async def finish(self, scope: bytes, record: StoredResponse) -> bool:
        """Keep the end of a response in the background; False if it is too large, or was deleted meanwhile.

        Never raises.
        """
        key, value = key_of(scope, record.id), await _encoded(record)
        try:
            return await one_at_a_time(scope, self._records.replace(key, value))
        except RecordsUnavailableError:
            return await self._records.put(key, value)

    async def find(self, scope: bytes, response_id: str) -> StoredResponse | None:
        """A response; None if there is none for this caller."""
        return (await self._fetched(scope, [response_id])).get(response_id)

    async def items_before(self, scope: bytes, response_id: str) -> Chain:
        """All items of a response and of those before it: `previous_response_id` puts them before those of a request.

        Raises OpenAI's `previous_response_not_found` (400) if this response or one before it is gone, and
        `previous_response_not_completed` if it has no whole answer.
        """
        last = await self.find(scope, response_id)
        if last is None:
            raise previous_not_found(response_id)
        if last.unfinished:
            raise _not_finished(response_id)
        found = await self._fetched(scope, last.ancestors)
        items: list[bytes] = []
        for ancestor in last.ancestors:
            if ancestor not in found:
                raise previous_not_found(ancestor)
            items += found[ancestor].input_items
            items += found[ancestor].output_items
        items += last.input_items
        items += last.output_items
        return Chain(tuple(items), (*last.ancestors, response_id), last.chain_bytes, last.held_bytes)

    async def items(self, scope: bytes, references: Sequence[str], unsealed: Sequence[str] = ()) -> dict[str, bytes]:
        """The items with these ids, as far as they are stored; those in `unsealed` only if they have a seal."""
        wanted = Wanted(references, unsealed)
        while ids := wanted.next_responses():
            for record in (await self._fetched(scope, ids)).values():
                for _ in wanted.take_in_steps((*record.output_items, *record.input_items), len(record.response)):
                    await asyncio.sleep(0)
        return wanted.found

    async def delete(self, scope: bytes, response_id: str) -> bool:
        """Delete a response; False if there is none for this caller. Those that continue it cannot be continued."""
        if len(response_id) > LONGEST_ID:
            return False
        return await answered(one_at_a_time(scope, self._records.delete(key_of(scope, response_id))))

    async def _fetched(self, scope: bytes, ids: Sequence[str]) -> dict[str, StoredResponse]:
        keys = {key_of(scope, each): each for each in ids if len(each) <= LONGEST_ID}
        if not keys:
            return {}
        found = await answered(one_at_a_time(scope, self._records.fetch([*keys])))
        return {keys[key]: record for key, value in found.items() if (record := decoded(value)) is not None}


def _is_too_long(record: StoredResponse) -> bool:
    """Whether a chain would become too long to be read again."""
    return (
        len(record.ancestors) >= MOST_ANCESTORS
        or record.chain_bytes > MOST_CHAIN_BYTES
        or record.chain_bytes + record.held_bytes > MOST_HELD_BYTES
    )


async def _encoded(record: StoredResponse) -> bytes:
    """The record, with ids for the input items that have none."""
    items = await all_named(record.input_items, lambda index: _digits(record.id, index, is_input=True))
    return _ENCODER.encode(msgspec.structs.replace(record, input_items=tuple(items)))


def _digits(response_id: str, index: int, *, is_input: bool) -> str:
    return f"{response_id.removeprefix('resp_')}{int(is_input)}{index:03x}"


def decoded(value: bytes) -> StoredResponse | None:
    """A stored response; None if another release has written it in a format that this one cannot read."""
    try:
        return _DECODER.decode(value)
    except msgspec.DecodeError:
        return None


def previous_not_found(response_id: str) -> TranslationError:
    """OpenAI's error for a `previous_response_id` that does not exist."""
    return TranslationError(
        f"Previous response with id '{response_id[:LONGEST_ID]}' not found.",
        param="previous_response_id",
        code="previous_response_not_found",
    )


def _not_finished(response_id: str) -> TranslationError:
    return TranslationError(
        f"Previous response with id '{response_id}' has not been completed. Wait until its status is 'completed'; one "
        "that has failed or was cancelled cannot be continued.",
        param="previous_response_id",
        code="previous_response_not_completed",
    )


async def answered(asking: Awaitable[T]) -> T:
    """The result of a call to `Records`; raises a `FailedError` for the caller if the storage fails."""
    try:
        return await asking
    except RecordsUnavailableError as error:
        raise unavailable(str(error)) from error


def unavailable(why: str) -> FailedError:
    """The failure for the caller if the storage fails; `why` is for the log."""
    failure = Failure(ErrorKind.STORE_UNAVAILABLE, _DOWN, retry_after_seconds=RETRY_SECONDS, detail=why)
    return FailedError(failure)


def key_of(scope: bytes, response_id: str, kind: bytes = RESPONSE) -> bytes:
    """The key of a record that belongs to this caller and response; `kind` tells records of one response apart."""
    owner = len(scope).to_bytes(4, "big") + scope
    return blake2b(owner + kind + response_id.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).digest()
