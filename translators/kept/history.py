"""What can be seen of a conversation: digests by which its turns are known again when a client sends it back.

Clients send a turn as they were given it, and once written a message stays as it is: what stood before a turn when it
was made stands before it in all later requests. Left out is what a client cannot be relied on to send (thinking), what
moves without meaning anything (cache marks), and the ids of calls, which some clients spell anew: a result says by
its call's place what it answers.
"""

from collections.abc import Generator, Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b, sha256
from typing import Final, Protocol, TypeAlias

import msgspec
from msgspec import Raw, Struct

from translators.adjustments import Adjustments
from translators.errors import TranslationError
from translators.intent import Call, CustomCall, FunctionCall, Intent, Message
from translators.kept.tool_digests import digest_of_tools
from translators.marks import without_marks
from translators.messages.conversation import count_leading_system
from translators.messages.formats import write_format
from translators.reading import is_null
from translators.wire.chat_parts import TEXT_PARTS_DECODER
from translators.wire.raw import NULL, RAW_LIST_DECODER

DIGEST_BYTES: Final = 16
# So many pieces of what is seen make a step: about 0.2 ms; and so many messages, where they come in parts.
_PIECES_A_STEP: Final = 256
_MESSAGES_A_STEP: Final = 128
_BYTES_A_STEP: Final = 2**20
_QUOTE: Final = ord('"')
# The roles of nearly all messages, as they are seen.
_ROLES: Final = {role: role.encode() for role in ("system", "developer", "user", "assistant", "tool", "function")}
# A content so short costs nothing to copy.
_SHORT_BYTES: Final = 64 * 1024
# What is seen is JSON, and names of roles: no piece holds this.
_END: Final = b"\0"
_NULL: Final = b"null"
_EMPTY: Final = b'""'
_PLACE: Final = b"place"
_encoded: Final = msgspec.json.Encoder().encode
# What adds words to the system prompt, where nothing does.
_NOTHING: Final = (None,) * 4
_NOTHING_MORE: Final = _encoded(_NOTHING)
# A call with more of them may hold echoes.
_CALL_FIELDS: Final = len(Call.__struct_fields__)
Piece: TypeAlias = bytes | Raw


class Hasher(Protocol):
    """What digests bytes."""

    def update(self, data: bytes | memoryview, /) -> None: ...


class SeenTurn(Struct, frozen=True, gc=False):
    """A turn of the assistant's: where it stands among the messages, and a digest of what is seen before it."""

    index: int
    before: bytes


class History(Struct, frozen=True):
    """A conversation: `ground` digests its tools and system prompt, `end` all that is seen of its messages."""

    ground: bytes
    turns: tuple[SeenTurn, ...]
    end: bytes


def has_history(intent: Intent) -> bool:
    """Whether an answer may hold what no chat completion shows, or an earlier one may have."""
    return bool(intent.tools or intent.functions or intent.web_search) or not is_null(
        intent.native.get("context_management", NULL)
    )


def history_in_steps(intent: Intent, scope: bytes) -> Generator[None, None, History]:
    """The history of a request; `scope` (whose it is) keeps those of different callers apart.

    No step takes long, unless a single message does.
    """
    messages = intent.messages
    leading = count_leading_system(messages)
    # Mostly tools, and twice as quick as the other on them.
    ground, pieces = digest_of_tools(intent).copy() if intent.tools else sha256(), _ground(intent)
    for index in range(leading):
        yield
        _see(messages[index], pieces, {})
    yield from _update_in_steps(ground, _END.join(pieces))
    hasher = _hasher(scope).copy()
    turns: list[SeenTurn] = []
    # What is seen since the latest turn began, and how much of it is that turn's: an end follows what is its own.
    pieces = []
    own = -1
    # How many pieces were digested since others had their turn.
    done = 0
    calls: dict[str, int] = {}
    for index in range(leading, len(messages)):
        message = messages[index]
        if message.role == "assistant":
            if len(pieces) == own:
                pieces.append(b"")
            seen = _END.join(pieces)
            if len(seen) > _BYTES_A_STEP:
                yield from _update_in_steps(hasher, seen)
            else:
                hasher.update(seen)
            turns.append(SeenTurn(index, hasher.digest()))
            done += len(pieces)
            pieces = [b""]
            _see(message, pieces, calls)
            own = len(pieces)
        else:
            _see(message, pieces, calls)
        if done + len(pieces) > _PIECES_A_STEP or index % _MESSAGES_A_STEP == 0:
            done = 0
            yield
    if len(pieces) == own:
        pieces.append(b"")
    yield from _update_in_steps(hasher, _END.join(pieces))
    return History(ground.digest()[:DIGEST_BYTES], tuple(turns), hasher.digest())


@lru_cache(maxsize=1024)
def _hasher(scope: bytes) -> blake2b:
    """What digests a conversation of this scope, to be copied."""
    # Of one length: what a scope ends with must not pass for the beginning of a conversation.
    return blake2b(blake2b(scope, digest_size=DIGEST_BYTES).digest(), digest_size=DIGEST_BYTES)


def turn_key(before: bytes, model: str, names: Iterable[str]) -> bytes:
    """What a turn is kept under: what stood before it, who made it, and the calls in it (ids, or a function's name)."""
    return blake2b(before + _encoded((model, *names)), digest_size=DIGEST_BYTES).digest()


def place_key(before: bytes, model: str) -> bytes:
    """What tells which turn with calls was made last behind `before`, whatever its calls are named by."""
    return blake2b(before + _encoded(model), digest_size=DIGEST_BYTES, person=_PLACE).digest()


def names_of_calls(message: Message) -> list[str]:
    """What tells the calls of a turn from those of another in its place."""
    if message.tool_calls:
        return [call.id for call in message.tool_calls]
    # The legacy form has one call, without an id.
    return [message.function_call.name] if message.function_call else []


def _ground(intent: Intent) -> list[Piece]:
    """What all messages stand on besides the tools and the system prompt: what adds words of the gateway's to that."""
    # Behind tools there is an end.
    pieces: list[Piece] = [b""] if intent.tools else []
    more = (intent.functions, intent.web_search, _words_of_form(intent), intent.verbosity)
    pieces.append(_NOTHING_MORE if more == _NOTHING else _encoded(more))
    return pieces


def _update_in_steps(hasher: "Hasher", data: bytes) -> Iterator[None]:
    """Hash what may be long."""
    if len(data) <= _BYTES_A_STEP:
        hasher.update(data)
        return
    view = memoryview(data)
    for start in range(0, len(data), _BYTES_A_STEP):
        hasher.update(view[start : start + _BYTES_A_STEP])
        yield


def _words_of_form(intent: Intent) -> str | None:
    """What the form of the answer adds to the system prompt: a schema that is sent by itself adds nothing."""
    if intent.format is None:
        return None
    try:
        return write_format(intent.format, Adjustments()).words
    except TranslationError:
        # The translation tells what is wrong with it.
        return None


def _see(message: Message, pieces: list[Piece], calls: dict[str, int]) -> None:
    """Add what is seen of a message, piece by piece; `calls` are the places of the latest calls, by their ids."""
    pieces.append(_ROLES.get(message.role) or message.role.encode())
    content: Piece = message.content
    if len(content) <= _SHORT_BYTES:
        content = bytes(content)
        is_text = content[0] == _QUOTE
    else:
        is_text = memoryview(content)[0] == _QUOTE
    if is_text:
        pieces.append(content)
    elif content != _NULL:
        _see_parts(without_marks(content), pieces)
    elif message.role == "assistant":
        # Clients make one of the other.
        pieces.append(_EMPTY)
    # What is no content says what it is: a part of the content may look the same.
    if message.tool_call_id is not None:
        place = calls.get(message.tool_call_id)
        pieces.append(b"answers" + _encoded(message.tool_call_id) if place is None else b"answers%d" % place)
    if message.tool_calls:
        calls.clear()
        for place, call in enumerate(message.tool_calls):
            calls.setdefault(call.id, place)
        pieces.append(b"calls" + _encoded(_functions(message.tool_calls)))
    if message.name or message.function_call is not None or not (message.refusal is NULL or is_null(message.refusal)):
        pieces.append(b"more" + _encoded((message.name, _bare(message.function_call), message.refusal)))
    if not (message.is_error is NULL or is_null(message.is_error)):
        pieces.append(b"error" + bytes(message.is_error))


def _functions(calls: list[Call]) -> list[FunctionCall | CustomCall | None]:
    """What is called, without the echoes that a client may leave out the next time."""
    if len(calls[0].__struct_fields__) > _CALL_FIELDS:
        return [_bare(call.function) or call.custom for call in calls]
    return [call.function or call.custom for call in calls]


def _bare(function: FunctionCall | None) -> FunctionCall | None:
    return None if function is None else FunctionCall(function.name, function.arguments)


def _see_parts(content: Piece, pieces: list[Piece]) -> None:
    """Add the parts of a content; a single text is the same as a content that is that text."""
    try:
        pieces += [part.text for part in TEXT_PARTS_DECODER.decode(content)]
        return
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        pieces += RAW_LIST_DECODER.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # The translation tells what is wrong with it.
        pieces.append(content)
