"""The session that a client names, as coding agents do: requests of one session share cached prompts."""

from typing import Final

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


class _Metadata(msgspec.Struct):
    user_id: str | None = None


class _UserId(msgspec.Struct):
    session_id: str | None = None


_METADATA_DECODER: Final = msgspec.json.Decoder(_Metadata)
_USER_ID_DECODER: Final = msgspec.json.Decoder(_UserId)


def session_of(metadata: Raw) -> str | None:
    """The session in a body's `metadata`; None if there is none, or its name is too long."""
    if memoryview(metadata).nbytes > _LONGEST_METADATA:
        return None
    try:
        user_id = _METADATA_DECODER.decode(metadata).user_id or ""
        if user_id.startswith("{"):
            session = _USER_ID_DECODER.decode(user_id).session_id
        else:
            session = user_id.rpartition(_SESSION)[2] if _SESSION in user_id else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return session if session and len(session) <= LONGEST_SESSION else None
