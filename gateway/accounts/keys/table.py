"""The table of keys, and the audit of what was done to it; each change is one transaction with its line there."""

import sqlite3
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET

from gateway.accounts.keys.audit import AuditLine, add_line, audit_page
from gateway.accounts.keys.form import new_id, new_key, prefix_of
from gateway.accounts.keys.hashing import Hasher
from gateway.accounts.keys.limits import Limits
from gateway.accounts.keys.stored import (
    GRACE_SECONDS,
    MOST_GRACE_SECONDS,
    MOST_KEYS,
    Draft,
    Edit,
    Query,
    StoredKey,
    checked_limits,
    checked_name,
    id_in,
)
from gateway.private_files.sqlite import Transaction
from gateway.secret import Secret
from translators.errors import ErrorKind, FailedError, Failure, TranslationError

_COLUMNS: Final = (
    "id, name, group_name, prefix, created_at, expires_at, disabled_at, deleted_at, old_until, limits, metadata, tags, "
    "sees_key"
)
_LIMITS: Final = msgspec.json.Decoder(Limits)
_METADATA: Final = msgspec.json.Decoder(dict[str, str])
_TAGS: Final = msgspec.json.Decoder(tuple[str, ...])


class MadeKey(NamedTuple):
    """A key with the secret that was just made: the only time that it is known."""

    stored: StoredKey
    key: Secret


class KeyTable:
    """The keys in one connection. `actor` says who changes them; `now` is Unix time.

    `reserved` are the names of clients in the configuration, which no key may have. Raises `TranslationError` for what
    cannot be stored and `FailedError` for keys that are not there.
    """

    def __init__(
        self, connection: sqlite3.Connection, hasher: Hasher, now: float, reserved: Collection[str] = ()
    ) -> None:
        self._connection = connection
        self._hasher = hasher
        self._now = now
        self._reserved = reserved

    def page(self, query: Query) -> tuple[list[StoredKey], bool]:
        """A page of the keys, the newest first, and whether there are more."""
        conditions: dict[str, object] = {
            "group_name = ?": query.group,
            "name = ?": query.name,
            "EXISTS (SELECT 1 FROM json_each(keys.tags) WHERE value = ?)": query.tag,
        }
        chosen = {text: value for text, value in conditions.items() if value is not None}
        if not query.with_deleted:
            chosen["deleted_at IS NULL OR ?"] = 0
        if query.after is not None:
            before = self.find(query.after)
            chosen["(created_at, id) < (?, ?)"] = (before.created_at, before.id)
        values = [part for value in chosen.values() for part in (value if isinstance(value, tuple) else (value,))]
        where = f"WHERE {' AND '.join(f'({text})' for text in chosen)}" if chosen else ""
        statement = f"SELECT {_COLUMNS} FROM keys {where} ORDER BY created_at DESC, id DESC LIMIT ?"  # noqa: S608
        found = [_stored(row) for row in self._connection.execute(statement, (*values, query.limit + 1))]
        return found[: query.limit], len(found) > query.limit

    def find(self, wanted: str) -> StoredKey:
        """The key with this id or name, or that begins like this."""
        row = self._connection.execute(
            f"SELECT {_COLUMNS} FROM keys WHERE id = ? OR name = ? ORDER BY id = ? DESC",  # noqa: S608
            (key_id := id_in(wanted), wanted, key_id),
        ).fetchone()
        if row is not None:
            return _stored(row)
        if wanted in self._reserved:
            message = f"'{wanted}' is a client of the configuration, which is changed there."
            raise TranslationError(message, code="key_of_configuration")
        raise no_key(wanted)

    def audit(self, before: int | None, limit: int) -> tuple[list[AuditLine], bool]:
        """A page of the audit, the newest first, and whether there is more."""
        return audit_page(self._connection, before=before, limit=limit)

    def note(self, actor: str, action: str, subject: str) -> None:
        """Write a line into the audit about something else that was changed."""
        with Transaction(self._connection):
            add_line(self._connection, self._now, actor, action, subject, {})

    def create(self, draft: Draft, actor: str) -> MadeKey:
        """Make a key."""
        key_id = new_id()
        key = new_key(key_id)
        name, limits, expires_at = checked_name(draft.name), checked_limits(draft.limits), self._end_of(draft)
        with Transaction(self._connection):
            count = self._connection.execute("SELECT count(*) FROM keys WHERE deleted_at IS NULL").fetchone()[0]
            if count >= MOST_KEYS:
                raise TranslationError(f"There are {MOST_KEYS:,} keys, which is the most: delete some first.")
            self._check_free(name, "")
            self._connection.execute(
                "INSERT INTO keys (id, name, group_name, hash, prefix, created_at, expires_at, limits, metadata, tags, "
                "sees_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    key_id,
                    name,
                    draft.group,
                    self._hasher.digest(key),
                    prefix_of(key_id),
                    self._now,
                    expires_at,
                    _json(limits),
                    _json(draft.metadata),
                    _json(draft.tags),
                    draft.sees_key,
                ),
            )
            details = {"name": name, "group": draft.group, "limits": limits, "expires_at": expires_at}
            self._note(actor, "key.created", key_id, details)
        return MadeKey(self.find(key_id), Secret(key))

    def edit(self, wanted: str, edit: Edit, actor: str) -> StoredKey:
        """Change what an edit says."""
        with Transaction(self._connection):
            before = self._alive(wanted)
            changes = self._changes(before, edit)
            if changes:
                places = ", ".join(f"{column} = ?" for column in changes)
                self._connection.execute(
                    f"UPDATE keys SET {places} WHERE id = ?",  # noqa: S608
                    (*changes.values(), before.id),
                )
                self._note(actor, "key.changed", before.id, msgspec.to_builtins(edit))
        return self.find(before.id)

    def rotate(self, wanted: str, actor: str, grace_seconds: float = GRACE_SECONDS) -> MadeKey:
        """Make a new secret; the old one, no longer an older one, lives on for a grace time."""
        if not 0 <= grace_seconds <= MOST_GRACE_SECONDS:
            most = MOST_GRACE_SECONDS / 86_400
            raise TranslationError(f"The grace time has to be from 0 to {most:g} days.", param="grace_seconds")
        with Transaction(self._connection):
            before = self._alive(wanted)
            key = new_key(before.id)
            until = self._now + grace_seconds
            self._connection.execute(
                "UPDATE keys SET old_hash = CASE WHEN ? THEN hash END, old_until = CASE WHEN ? THEN ? END, hash = ? "
                "WHERE id = ?",
                (grace_seconds > 0, grace_seconds > 0, until, self._hasher.digest(key), before.id),
            )
            self._note(actor, "key.rotated", before.id, {"old_secret_until": until if grace_seconds else None})
        return MadeKey(self.find(before.id), Secret(key))

    def set_enabled(self, wanted: str, actor: str, *, is_enabled: bool) -> StoredKey:
        """Refuse the key from now on, or accept it again."""
        with Transaction(self._connection):
            before = self._alive(wanted)
            if is_enabled != (before.disabled_at is None):
                disabled_at = None if is_enabled else self._now
                self._connection.execute("UPDATE keys SET disabled_at = ? WHERE id = ?", (disabled_at, before.id))
                self._note(actor, "key.enabled" if is_enabled else "key.disabled", before.id, {})
        return self.find(before.id)

    def delete(self, wanted: str, actor: str) -> StoredKey:
        """Delete a key for good. Its id and name remain for reports; the name is free for another one."""
        with Transaction(self._connection):
            before = self._alive(wanted)
            self._connection.execute(
                "UPDATE keys SET deleted_at = ?, name = name || ?, hash = ?, old_hash = NULL, old_until = NULL "
                "WHERE id = ?",
                (self._now, f" (deleted {before.id})", before.id.encode(), before.id),
            )
            self._note(actor, "key.deleted", before.id, {"name": before.name})
        return self.find(before.id)

    def _changes(self, before: StoredKey, edit: Edit) -> dict[str, object]:
        """The columns that an edit changes, with their new values."""
        changes: dict[str, object] = {}
        if edit.name is not UNSET:
            changes["name"] = name = checked_name(edit.name)
            self._check_free(name, before.id)
        if edit.group is not UNSET:
            changes["group_name"] = edit.group
        if edit.limits is not UNSET:
            changes["limits"] = _json(Limits() if edit.limits is None else edit.limits.applied(before.limits))
        if edit.metadata is not UNSET:
            changes["metadata"] = _json(edit.metadata or {})
        if edit.tags is not UNSET:
            changes["tags"] = _json(edit.tags or ())
        if edit.sees_key is not UNSET:
            changes["sees_key"] = edit.sees_key
        if edit.expires_at is not UNSET:
            changes["expires_at"] = edit.expires_at
        return changes

    def _end_of(self, draft: Draft) -> float | None:
        if draft.expires_in is None:
            return draft.expires_at
        if draft.expires_at is not None:
            raise TranslationError("'expires_at' and 'expires_in' exclude each other.", param="expires_in")
        return self._now + draft.expires_in

    def _alive(self, wanted: str) -> StoredKey:
        found = self.find(wanted)
        if found.deleted_at is not None:
            raise no_key(wanted)
        return found

    def _check_free(self, name: str, but: str) -> None:
        taken = self._connection.execute("SELECT id FROM keys WHERE name = ? AND id <> ?", (name, but)).fetchone()
        if taken or name in self._reserved:
            by = f"the key {taken[0]}" if taken else "a client of the configuration"
            raise TranslationError(f"The name '{name}' belongs to {by}.", param="name", code="name_taken")

    def _note(self, actor: str, action: str, subject: str, details: object) -> None:
        add_line(self._connection, self._now, actor, action, subject, details)


def living_keys(connection: sqlite3.Connection) -> list[StoredKey]:
    """All keys that are not deleted."""
    return [*map(_stored, connection.execute(f"SELECT {_COLUMNS} FROM keys WHERE deleted_at IS NULL"))]  # noqa: S608


def no_key(wanted: str) -> FailedError:
    """The error for a key that does not exist."""
    return FailedError(Failure(ErrorKind.UNKNOWN_ID, f"There is no key '{wanted[:16]}'.", code="key_not_found"))


def _stored(row: Sequence[object]) -> StoredKey:
    (key_id, name, group, prefix, created, expires, disabled, deleted, old_until, limits, metadata, tags, sees) = row
    return StoredKey(
        id=str(key_id),
        name=str(name),
        group=None if group is None else str(group),
        prefix=str(prefix),
        created_at=_moment(created) or 0.0,
        expires_at=_moment(expires),
        disabled_at=_moment(disabled),
        deleted_at=_moment(deleted),
        old_until=_moment(old_until),
        limits=_LIMITS.decode(str(limits)),
        metadata=_METADATA.decode(str(metadata)),
        tags=_TAGS.decode(str(tags)),
        sees_key=bool(sees),
    )


def _moment(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
