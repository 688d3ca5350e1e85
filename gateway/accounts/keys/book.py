"""The key book: all stored keys in the memory of each process, so that no request waits for the database."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from msgspec import Struct

from gateway.accounts.auth import Caller
from gateway.accounts.keys.hashing import Hasher
from translators.errors import ErrorKind, FailedError, Failure

NEVER: Final = float("inf")
# The version before every change.
ALL: Final = -1


class Entry(Struct, frozen=True):
    """A key as requests need it; times are Unix seconds. `old_digest` is that of its secret before the rotation."""

    id: str
    digest: bytes
    caller: Caller
    old_digest: bytes | None = None
    old_until: float = 0.0
    expires_at: float = NEVER
    is_disabled: bool = False
    is_deleted: bool = False

    @property
    def is_simple(self) -> bool:
        """Whether it is accepted whatever the time is."""
        return self.old_digest is None and self.expires_at == NEVER and not self.is_disabled


class Reading(NamedTuple):
    """What was read: the entries that have changed up to a version, or all if `is_whole`.

    `is_used` says that there is or was a key.
    """

    entries: Sequence[Entry]
    version: int
    is_used: bool
    is_whole: bool
    hasher: Hasher


class KeyBook:
    """Finds callers by the digests of their keys. What is known stays known while the database cannot be read."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._hasher: Hasher | None = None
        # Those that are accepted at any time, and all others.
        self._simple: dict[bytes, Caller] = {}
        self._others: dict[bytes, Entry] = {}
        self._by_id: dict[str, Entry] = {}
        self.version = 0
        self._is_used = False
        self.is_blind = False

    def __len__(self) -> int:
        return len(self._by_id)

    @property
    def closes(self) -> bool:
        """Whether callers need a key: there is or was one, or nobody can tell."""
        return self._is_used or self.is_blind

    def close(self) -> None:
        """Ask every caller for a key from now on, whether or not there are any."""
        self._is_used = True

    def take(self, reading: Reading) -> None:
        """Take in what was read."""
        self.is_blind = False
        if reading.is_whole:
            if not reading.is_used and self._is_used:
                # An empty database in the place of the one that was read: it was moved aside, or deleted.
                self.version = reading.version
                return
            self._simple.clear()
            self._others.clear()
            self._by_id.clear()
        self._hasher, self.version = reading.hasher, reading.version
        self._is_used = self._is_used or reading.is_used
        for entry in reading.entries:
            self._put(entry)

    def find(self, token: str) -> Caller | None:
        """The caller with this key, None if there is none; raises `FailedError` for a key that is not accepted now."""
        hasher = self._hasher
        if hasher is None:
            return None
        digest = hasher.digest(token)
        if (caller := self._simple.get(digest)) is not None:
            return caller
        entry = self._others.get(digest)
        return None if entry is None else self._accepted(entry, digest)

    def entry(self, key_id: str) -> Entry | None:
        """What is known of a key by its id."""
        return self._by_id.get(key_id)

    def _put(self, entry: Entry) -> None:
        if (before := self._by_id.pop(entry.id, None)) is not None:
            for digest in (before.digest, before.old_digest):
                if digest is not None:
                    self._simple.pop(digest, None)
                    self._others.pop(digest, None)
        if entry.is_deleted:
            return
        self._by_id[entry.id] = entry
        if entry.is_simple:
            self._simple[entry.digest] = entry.caller
            return
        self._others[entry.digest] = entry
        if entry.old_digest is not None:
            self._others[entry.old_digest] = entry

    def _accepted(self, entry: Entry, digest: bytes) -> Caller:
        now = self._now()
        if entry.is_disabled:
            raise _refused("This API key is disabled. Ask whoever runs this gateway to enable it again.")
        if entry.expires_at <= now:
            raise _refused(f"This API key expired on {_day(entry.expires_at)}. Ask for a new one.")
        if digest == entry.old_digest and entry.old_until <= now:
            raise _refused("This API key was replaced by a newer one, and is no longer accepted. Use the newer one.")
        return entry.caller


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d at %H:%M UTC")


def _refused(message: str) -> FailedError:
    return FailedError(Failure(ErrorKind.WRONG_KEY, message))
