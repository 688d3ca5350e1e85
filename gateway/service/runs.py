"""Responses in the background as all workers see them: whether one is being made, and whether it was cancelled.

Beside its response, each has a *run*: a record that its worker renews, whose entries are the events of its stream. A
worker that dies cannot say so: its responses have failed once their runs are no longer renewed. Another worker cancels
a response by a *flag*, a record of its own.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec
from msgspec import Raw, Struct

from gateway.service.one_at_a_time import one_at_a_time
from gateway.service.ports import Records, RecordsUnavailableError
from gateway.service.responses import CANCELLED, FAILED, LONGEST_ID, RUNNING, StoredResponse, answered, decoded, key_of
from translators.wire.raw import NULL, OBJECT_DECODER

# How often a worker renews its runs, and how long one counts as alive after that.
RENEW_SECONDS: Final = 10.0
LEASE_SECONDS: Final = 60.0
_RUN: Final = b"run\0"
_FLAG: Final = b"cancel\0"
_ENDED: Final = 0.0
_LOST: Final = Raw(
    b'{"code":"server_error","message":"The gateway process that was making this response has ended before it was '
    b'complete. Please send the request again."}'
)


class RunKeys(Struct, frozen=True):
    """The keys of one response, its run and its flag."""

    response: bytes
    run: bytes
    flag: bytes


class _Lease(Struct, frozen=True):
    """A run's value: Unix seconds until which it is alive without being renewed."""

    alive_until: float


_DECODER: Final = msgspec.msgpack.Decoder(_Lease)


def keys_of(scope: bytes, response_id: str) -> RunKeys:
    """The keys of a caller's response."""
    kinds = (key_of(scope, response_id, kind) for kind in (_RUN, _FLAG))
    return RunKeys(key_of(scope, response_id), *kinds)


class Runs:
    """Runs and flags in the records; `now` gives Unix seconds. Those that answer a caller raise 503 `FailedError`."""

    def __init__(self, records: Records, now: Callable[[], float]) -> None:
        self._records = records
        self._now = now

    async def begin(self, keys: RunKeys) -> bool:
        """A run has begun, whose response is about to be kept."""
        return await self._records.put(keys.run, self._lease(LEASE_SECONDS))

    async def renew(self, runs: Iterable[RunKeys]) -> None:
        """These are still alive; raises `RecordsUnavailableError`."""
        for keys in runs:
            await self._records.replace(keys.run, self._lease(LEASE_SECONDS))

    async def end(self, keys: RunKeys, *, is_cancelled: bool) -> None:
        """Nothing more comes of a run; it never raises.

        The flag of one that ended by itself stays: whoever has been told that it was cancelled is told so again.
        """
        try:
            await self._records.replace(keys.run, msgspec.msgpack.encode(_Lease(_ENDED)))
            if is_cancelled:
                await self._records.delete(keys.flag)
        except RecordsUnavailableError:
            # It will not be renewed, and so ends by itself.
            return

    async def is_alive(self, keys: RunKeys) -> bool:
        """Whether some worker is making the response."""
        return self._is_alive(await answered(self._records.fetch([keys.run])), keys)

    async def find(self, scope: bytes, response_id: str) -> StoredResponse | None:
        """A response, of any kind, as it is now; None if there is none for this caller."""
        if len(response_id) > LONGEST_ID:
            return None
        keys = keys_of(scope, response_id)
        found = await answered(one_at_a_time(scope, self._records.fetch([keys.response, keys.run, keys.flag])))
        record = decoded(found[keys.response]) if keys.response in found else None
        if record is None or not record.is_background or record.unfinished not in ("", RUNNING):
            return record
        if keys.flag in found:
            return _changed(record, CANCELLED, status=CANCELLED)
        if record.unfinished != RUNNING:
            return record
        if self._is_alive(found, keys):
            return _changed(record, RUNNING, status="in_progress")
        return _changed(record, FAILED, status=FAILED, error=_LOST)

    async def flag(self, keys: RunKeys) -> None:
        """Cancel a response that another worker makes."""
        await self._records.put(keys.flag, b"")

    async def flagged(self, runs: Iterable[RunKeys]) -> set[bytes]:
        """The flags of those that were cancelled, in one query; raises `RecordsUnavailableError`."""
        return {*await self._records.fetch([keys.flag for keys in runs])}

    async def delete(self, keys: RunKeys) -> None:
        """Delete a run with its events."""
        await answered(self._records.delete(keys.run))

    def _is_alive(self, found: Mapping[bytes, bytes], keys: RunKeys) -> bool:
        return keys.run in found and _DECODER.decode(found[keys.run]).alive_until > self._now()

    def _lease(self, seconds: float) -> bytes:
        return msgspec.msgpack.encode(_Lease(self._now() + seconds))


def _changed(record: StoredResponse, unfinished: str, *, status: str, error: Raw = NULL) -> StoredResponse:
    """The record with another state."""
    fields = OBJECT_DECODER.decode(record.response)
    fields |= {"status": Raw(msgspec.json.encode(status)), "error": error, "completed_at": NULL}
    return msgspec.structs.replace(record, response=msgspec.json.encode(fields), unfinished=unfinished)
