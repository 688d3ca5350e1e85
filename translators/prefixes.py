"""A digest of how a request begins, so that requests with a common beginning use the same prompt cache.

It covers the beginning of a conversation (tools, system prompt, first turn), which all later turns repeat, in the
client's bytes: a client that writes the same history differently from turn to turn defeats every cache.
"""

from collections.abc import Iterable
from hashlib import blake2b
from itertools import islice
from typing import Final

from msgspec import Raw

from translators.intent import Intent
from translators.kept.tool_digests import digest_of_tools
from translators.marks import without_marks

# Enough to tell conversations apart, at negligible cost.
_MAX_PIECE_BYTES: Final = 1024
_MAX_PIECES: Final = 64
_ANSWER: Final = b'"assistant"'


def digest_of(pieces: Iterable[bytes]) -> bytes:
    """Eight bytes that are equal for equal beginnings, in every process."""
    # With a separator, so that pieces cannot run into one another.
    beginning = b"\0".join([piece[:_MAX_PIECE_BYTES] for piece in islice(pieces, _MAX_PIECES)])
    return blake2b(without_marks(beginning), digest_size=8).digest()


def conversation_prefix(model: str, intent: Intent) -> bytes:
    """The digest for what is asked of a model (the caller's name); a key of the caller's takes precedence."""
    if intent.cache is not None and intent.cache.key:
        return digest_of((model.encode(), b"key", intent.cache.key.encode("utf-8", "surrogatepass")))
    return digest_of(_pieces(model, intent))


def messages_prefix(model: str, tools: Raw, system: Raw, messages: Raw) -> bytes:
    """The digest for a Messages request, from the raw parts of its body."""
    return digest_of((model.encode(), _start(tools), _start(system), _first_turn(messages)))


def session_prefix(model: str, caller: str, session: str) -> bytes:
    """The digest for all requests of one client's session, whatever their beginning: some prompts contain the time."""
    return digest_of(
        (model.encode(), b"session", *(text.encode("utf-8", "surrogatepass") for text in (caller, session)))
    )


def _pieces(model: str, intent: Intent) -> list[bytes]:
    pieces = [model.encode()]
    if intent.tools:
        pieces.append(digest_of_tools(intent).digest())
    for message in intent.messages[:_MAX_PIECES]:
        pieces += (message.role.encode(), _start(message.content))
        if message.role in ("user", "assistant"):
            break
    return pieces


def _start(raw: Raw) -> bytes:
    return bytes(raw) if len(raw) <= _MAX_PIECE_BYTES else bytes(memoryview(raw)[:_MAX_PIECE_BYTES])


def _first_turn(messages: Raw) -> bytes:
    """Everything before the first answer, if there is one."""
    start = _start(messages)
    answer = start.find(_ANSWER)
    end = start.rfind(b"}", 0, answer) if answer >= 0 else start.rfind(b"}")
    return start[:end]
