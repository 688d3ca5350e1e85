"""The rows of the ledger: what a request that has ended becomes."""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final, TypeAlias

from gateway.ledger.texts import short, short_name
from gateway.service.observers import Ended
from gateway.service.record import AttemptEntry

# The columns of `attempts`, in the order of a row's values.
COLUMNS: Final = (
    "id",
    "at",
    "request_id",
    "attempt",
    "requests",
    "caller",
    "group_name",
    "end_user",
    "endpoint",
    "model_asked",
    "trace_id",
    "host",
    "latency_ms",
    "first_token_ms",
    "finish",
    "error",
    "upstream_key",
    "model",
    "batch",
    "service_tier",
    "input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "output",
    "thinking",
    "server_tool_uses",
    "cost",
    "saved",
    "price",
    "is_estimated",
)
# One value for each column.
Row: TypeAlias = tuple[object, ...]

_END_USER: Final = COLUMNS.index("end_user")
_TIME_BYTES: Final = 6
# Upstream's word for what the batch API has answered.
_BATCH: Final = "batch"
_END_USER_BYTES: Final = 8
_USER_KEY_BYTES: Final = 64
# Hashes that are kept, since the same end users come again.
_KNOWN_USERS: Final = 4096
_MILLISECONDS: Final = 1000
_LATEST: Final = (1 << 48) - 1


def id_prefix(milliseconds: int) -> bytes:
    """What the ids of a moment begin with: they are in the order of time."""
    return min(max(milliseconds, 0), _LATEST).to_bytes(_TIME_BYTES, "big")


def rows_of(ended: Ended, users: "UserHash | None" = None) -> list[Row]:
    """One row for each attempt that upstream has billed; one of them counts the request.

    Without `users` the end user stands there as a text, for `UserHash.hide`.
    """
    found: list[tuple[int, AttemptEntry]] = []
    counted = None
    for number, entry in enumerate(ended.record.entries, 1):
        if entry.messages:
            found.append((number, entry))
            # The row of an answer stands for the request, if there is one.
            if entry.error is None or counted is None:
                counted = entry
    if not found:
        return []
    request_id = short(ended.request_id)
    end_user: str | bytes = b""
    if ended.end_user:
        end_user = short_name(ended.end_user) if users is None else users.of(ended.end_user)
    about = (
        ended.key_id or short(ended.caller),
        short(ended.group),
        end_user,
        short(ended.endpoint),
        short(ended.model),
        short(ended.trace_id) or None,
    )
    return [
        (
            entry.id,
            int.from_bytes(entry.id[:_TIME_BYTES], "big"),
            request_id,
            number,
            1 if entry is counted else 0,
            *about,
            *_call(entry),
            *_used(entry),
        )
        for number, entry in found
    ]


class UserHash:
    """What stands in the ledger for an end user: nobody can tell the name from it without the secret."""

    def __init__(self, secret: bytes) -> None:
        self._key = blake2b(secret, digest_size=_USER_KEY_BYTES, person=b"end-users").digest()
        self.of = lru_cache(_KNOWN_USERS)(self._of)

    def _of(self, name: str) -> bytes:
        # The same as of what a row holds of a long name.
        name = short_name(name)
        return blake2b(name.encode("utf-8", "replace"), digest_size=_END_USER_BYTES, key=self._key).digest()

    def hide(self, rows: Sequence[Row]) -> list[Row]:
        """The rows with every end user hashed who is not yet."""
        return [
            (*row[:_END_USER], self.of(name), *row[_END_USER + 1 :]) if isinstance(name := row[_END_USER], str) else row
            for row in rows
        ]


def _call(entry: AttemptEntry) -> tuple[object, ...]:
    first = entry.first_token_seconds
    return (
        entry.host,
        int(entry.seconds * _MILLISECONDS),
        None if first is None else int(first * _MILLISECONDS),
        short(entry.stop_reason) or None,
        entry.error,
        entry.key,
        short(entry.model),
    )


def _used(entry: AttemptEntry) -> tuple[object, ...]:
    used, charge = entry.total, entry.charge
    tier = used.service_tier or ""
    return (
        1 if tier == _BATCH else 0,
        tier,
        used.input_tokens,
        used.cache_read_tokens,
        used.cache_write_5m_tokens,
        used.cache_write_1h_tokens,
        used.output_tokens,
        used.thinking_tokens,
        used.server_tool_uses if used.server_tools else 0,
        charge.nano_dollars,
        charge.saved_nano_dollars,
        charge.price,
        1 if entry.is_estimated else 0,
    )
