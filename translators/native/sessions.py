"""The session that a client names, as coding agents do, whose requests share cached prompts; and its end user."""

from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

# In order of precedence: Claude Code; OpenCode and pi; others; Codex in two spellings.
SESSION_HEADERS: Final = (
    b"x-claude-code-session-id",
    b"x-session-affinity",
    b"x-session-id",
    b"session-id",
    b"session_id",
)
LONGEST_SESSION: Final = 256
# Claude Code wrote `user_..._account_..._session_...` up to 2.1.77, and has written JSON since.
_SESSION: Final = "_session_"
_LONGEST_METADATA: Final = 4096


class Named(NamedTuple):
    """The session and the end user of a body; None if it names none."""

    session: str | None = None
    user: str | None = None


class _Metadata(msgspec.Struct):
    user_id: str | None = None


class _UserId(msgspec.Struct):
    session_id: str | None = None


_METADATA_DECODER: Final = msgspec.json.Decoder(_Metadata)
NOBODY: Final = Named()
_OBJECT_DECODER: Final = msgspec.json.Decoder(dict[str, Raw])
_USER_ID_DECODER: Final = msgspec.json.Decoder(_UserId)


def names_in(metadata: Raw) -> Named:
    """The session in a body's `metadata`, and its user; a name that is too long counts as none.

    A `user_id` that names a session as well is without it the same user in each session.
    """
    if memoryview(metadata).nbytes > _LONGEST_METADATA:
        return NOBODY
    try:
        user_id = _METADATA_DECODER.decode(metadata).user_id or ""
        if user_id.startswith("{"):
            session = _USER_ID_DECODER.decode(user_id).session_id
            user = _without_session(user_id) if session else user_id
        else:
            user, separator, named = user_id.rpartition(_SESSION)
            session, user = (named, user) if separator else (None, user_id)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return NOBODY
    is_kept = session and len(session) <= LONGEST_SESSION
    return Named(session if is_kept else None, user.strip() or None)


def _without_session(user_id: str) -> str:
    members: dict[str, Raw] = _OBJECT_DECODER.decode(user_id)
    return b"".join(bytes(value) for name, value in sorted(members.items()) if name != "session_id").decode()
