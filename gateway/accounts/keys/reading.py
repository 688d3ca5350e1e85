"""Reads keys from the database for the key book, and tells with which secret they were hashed."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from gateway.accounts.auth import Caller
from gateway.accounts.keys.book import ALL, NEVER, Entry, Reading
from gateway.accounts.keys.hashing import Hasher
from gateway.accounts.keys.limits import Limits
from gateway.ledger.trouble import AccountsFileError
from gateway.private_files.keyfile import key_file, secret_beside
from gateway.private_files.sqlite import Transaction
from gateway.secret import Secret

_MARK: Final = "keys"
_LIMITS: Final = msgspec.json.Decoder(Limits)
_ENTRIES: Final = (
    "SELECT id, hash, old_hash, old_until, expires_at, disabled_at, deleted_at, name, group_name, limits, sees_key "
    "FROM keys WHERE version > ?"
)


def read_keys(connection: sqlite3.Connection, hasher: Hasher, since: int) -> Reading | None:
    """The keys that have changed since a version, `ALL` for all of them; None if none have."""
    version = connection.execute("SELECT version FROM changes WHERE name = 'keys'").fetchone()[0]
    if version == since:
        return None
    is_whole = since == ALL or version < since
    # What changes after the line above is read now, and once more later.
    rows = connection.execute(_ENTRIES, (ALL if is_whole else since,))
    entries = [_entry(row) for row in rows]
    is_used = bool(entries) or connection.execute("SELECT EXISTS (SELECT 1 FROM keys)").fetchone()[0]
    return Reading(entries, version, bool(is_used), is_whole, hasher)


def hasher_of(connection: sqlite3.Connection, file: Path, secret: Secret | None) -> Hasher:
    """What keys of a database are hashed with: a configured secret, or the one beside the database.

    Raises `AccountsFileError` if the keys in it were hashed with another one: none of them would be recognized.
    """
    try:
        hasher = Hasher(secret or secret_beside(file))
    except (OSError, ValueError) as error:
        raise AccountsFileError(f"{key_file(file)}: {getattr(error, 'strerror', None) or error}") from error
    if _mark(connection) == hasher.mark:
        return hasher
    with Transaction(connection):
        if _mark(connection) not in (hasher.mark, None) and _has_keys(connection):
            where = "accounts.secret" if secret is not None else key_file(file)
            raise AccountsFileError(
                f"the keys were made with another secret: restore the one that {where} had, or all keys are lost"
            )
        connection.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (_MARK, hasher.mark))
    return hasher


def has_keys(connection: sqlite3.Connection) -> bool:
    """Whether there is or was a key."""
    return bool(connection.execute("SELECT EXISTS (SELECT 1 FROM keys)").fetchone()[0])


def _mark(connection: sqlite3.Connection) -> bytes | None:
    row = connection.execute("SELECT value FROM marks WHERE name = ?", (_MARK,)).fetchone()
    return None if row is None else bytes(row[0])


def _has_keys(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT EXISTS (SELECT 1 FROM keys WHERE deleted_at IS NULL)").fetchone()[0])


def _entry(row: Sequence[object]) -> Entry:
    key_id, digest, old_digest, old_until, expires_at, disabled_at, deleted_at, name, group, limits, sees_key = row
    read, is_readable = None, True
    if limits != "{}":
        try:
            read = _LIMITS.decode(str(limits))
        except msgspec.DecodeError:
            # A key whose limits nobody can tell is not accepted.
            is_readable = False
    caller = Caller(
        str(name),
        sees_key=bool(sees_key),
        group=None if group is None else str(group),
        key_id=str(key_id),
        limits=read,
    )
    return Entry(
        str(key_id),
        bytes(digest),  # type: ignore[call-overload]
        caller,
        old_digest,  # type: ignore[arg-type]
        old_until or 0.0,  # type: ignore[arg-type]
        NEVER if expires_at is None else expires_at,  # type: ignore[arg-type]
        disabled_at is not None or not is_readable,
        deleted_at is not None,
    )
