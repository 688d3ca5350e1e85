"""Threads: conversations that upstream stores; a request names the message that it continues."""

from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from translators.errors import ErrorKind, Failure, TranslationError
from translators.native.errors import THREAD_UNSUPPORTED
from translators.native.members import OBJECT, each_once

_CREATE: Final = "create"
_CONTINUE: Final = "continue"
_PREVIOUS: Final = "previous_message_id"
_NAMES: Final = frozenset({"type", _PREVIOUS})
_LONGEST_ID: Final = 256
_TEXT_DECODER: Final = msgspec.json.Decoder(str)
_NULL: Final = Raw(b"null")


class Thread(NamedTuple):
    """What a request does with a thread: begins one, or continues after the message with this id."""

    continues: str | None = None


def read_thread(field: bytes | Raw) -> Thread:
    """Read the field as it was sent; raises `TranslationError` if it is ambiguous."""
    members = each_once(OBJECT.read(field, "thread"), "thread")
    if unknown := sorted(members.keys() - _NAMES):
        raise TranslationError(f"thread.{unknown[0]}: Extra inputs are not permitted", param="thread")
    kind = _text(members.get("type", _NULL))
    previous = _text(members.get(_PREVIOUS, _NULL))
    if kind == _CREATE and _PREVIOUS not in members:
        return Thread()
    if kind != _CONTINUE:
        raise TranslationError(f"thread.type: expected '{_CREATE}' or '{_CONTINUE}'.", param="thread.type")
    if not previous or len(previous) > _LONGEST_ID:
        raise TranslationError(f"thread.{_PREVIOUS}: expected the id of a message.", param=f"thread.{_PREVIOUS}")
    return Thread(previous)


def thread_unsupported() -> Failure:
    """The error to which Anthropic's SDKs react by sending the whole conversation."""
    message = (
        "thread: the message that it continues is out of this request's reach. "
        "Send the full conversation without `thread`."
    )
    return Failure(ErrorKind.INVALID_REQUEST, message, param="thread", code=THREAD_UNSUPPORTED)


def _text(raw: Raw) -> str | None:
    try:
        return _TEXT_DECODER.decode(raw)
    except msgspec.DecodeError:
        return None
