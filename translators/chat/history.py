"""What can be seen of a conversation: digests by which its turns are known again when a client sends it back.

Clients send a turn as they were given it, and once written a message stays as it is: what stood before a turn when it
was made stands before it in all later requests. Left out is what a client cannot be relied on to send (thinking), what
moves without meaning anything (cache marks), and the ids of calls, which some clients spell anew: a result says by
its call's place what it answers.
"""

from collections.abc import Generator, Iterable, Iterator
from hashlib import blake2b, sha256
from typing import Final, Protocol, TypeAlias

import msgspec
from msgspec import Raw, Struct

from translators.adjustments import Adjustments
from translators.chat.formats import write_format
from translators.errors import TranslationError
from translators.marks import without_marks
from translators.reading import is_null, is_text
from translators.wire.chat import RAW_LIST_DECODER, TEXT_PARTS_DECODER, ChatMessage, ChatRequest

DIGEST_BYTES: Final = 16
# So many pieces of what is seen make a step: about 0.2 ms; and so many messages, where they come in parts.
_PIECES_A_STEP: Final = 256
_MESSAGES_A_STEP: Final = 128
_BYTES_A_STEP: Final = 2**20
_SYSTEM_ROLES: Final = frozenset({"system", "developer"})
# What is seen is JSON, and names of roles: no piece holds this.
_END: Final = b"\0"
_EMPTY: Final = b'""'
_PLACE: Final = b"place"
_encoded: Final = msgspec.json.Encoder().encode

Piece: TypeAlias = bytes | Raw


class Hasher(Protocol):
    """What digests bytes."""

    def update(self, data: bytes | memoryview, /) -> None: ...


class SeenTurn(Struct, frozen=True, gc=False):
    """A turn of the assistant's: where it stands among the messages, and digests of what is seen before and with it."""

    index: int
    before: bytes
    after: bytes


class History(Struct, frozen=True):
    """A conversation: `ground` digests its tools and system prompt, `end` all that is seen of its messages."""

    ground: bytes
    turns: tuple[SeenTurn, ...]
    end: bytes


def has_history(request: ChatRequest) -> bool:
    """Whether an answer may hold what no chat completion shows, or an earlier one may have."""
    return bool(request.tools or request.functions or request.web_search_options) or not is_null(
        request.context_management
    )


def history_in_steps(request: ChatRequest, scope: bytes) -> Generator[None, None, History]:
    """The history of a request; `scope` (whose it is) keeps those of different callers apart.

    No step takes long, unless a single message does.
    """
    ground = yield from _ground(request)
    messages = request.messages
    # Of one length: what a scope ends with must not pass for the beginning of a conversation.
    hasher = blake2b(blake2b(scope, digest_size=DIGEST_BYTES).digest(), digest_size=DIGEST_BYTES)
    turns: list[SeenTurn] = []
    pieces: list[Piece] = []
    calls: dict[str, int] = {}
    seen = 0
    for index in range(_leading(messages), len(messages)):
        message = messages[index]
        is_turn = message.role == "assistant"
        if is_turn:
            seen_before = _END.join(pieces)
            if len(seen_before) > _BYTES_A_STEP:
                yield from _update_in_steps(hasher, seen_before)
            else:
                hasher.update(seen_before)
            pieces.clear()
            before = hasher.copy().digest()
        _see(message, pieces, calls)
        seen += len(pieces)
        if is_turn:
            hasher.update(_END.join((b"", *pieces, b"")))
            pieces.clear()
            turns.append(SeenTurn(index, before, hasher.copy().digest()))
        if seen > _PIECES_A_STEP or index % _MESSAGES_A_STEP == 0:
            seen = 0
            yield
    yield from _update_in_steps(hasher, _END.join(pieces))
    return History(ground, tuple(turns), hasher.digest())


def turn_key(before: bytes, model: str, names: Iterable[str]) -> bytes:
    """What a turn is kept under: what stood before it, who made it, and the calls in it (ids, or a function's name)."""
    return blake2b(before + _encoded((model, *names)), digest_size=DIGEST_BYTES).digest()


def place_key(before: bytes, model: str) -> bytes:
    """What tells which turn with calls was made last behind `before`, whatever its calls are named by."""
    return blake2b(before + _encoded(model), digest_size=DIGEST_BYTES, person=_PLACE).digest()


def names_of_calls(message: ChatMessage) -> list[str]:
    """What tells the calls of a turn from those of another in its place."""
    if message.tool_calls:
        return [call.id for call in message.tool_calls]
    # The legacy form has one call, without an id.
    return [message.function_call.name] if message.function_call else []


def _leading(messages: list[ChatMessage]) -> int:
    """How many system messages the conversation begins with."""
    return next((index for index, item in enumerate(messages) if item.role not in _SYSTEM_ROLES), len(messages))


def _ground(request: ChatRequest) -> Generator[None, None, bytes]:
    """What all the messages stand on: tools, system prompt, and what adds words of the gateway's to it."""
    pieces: list[Piece] = [without_marks(_END.join(request.tools))] if request.tools else []
    more = (request.functions, request.web_search_options, _words_of_form(request), request.verbosity)
    pieces.append(_encoded(more))
    for message in request.messages[: _leading(request.messages)]:
        yield
        _see(message, pieces, {})
    # Mostly tools, and twice as quick as the other on them.
    hasher = sha256()
    yield from _update_in_steps(hasher, _END.join(pieces))
    return hasher.digest()[:DIGEST_BYTES]


def _update_in_steps(hasher: "Hasher", data: bytes) -> Iterator[None]:
    """Hash what may be long."""
    view = memoryview(data)
    hasher.update(view[:_BYTES_A_STEP])
    for start in range(_BYTES_A_STEP, len(data), _BYTES_A_STEP):
        yield
        hasher.update(view[start : start + _BYTES_A_STEP])


def _words_of_form(request: ChatRequest) -> str | None:
    """What the form of the answer adds to the system prompt: a schema that is sent by itself adds nothing."""
    try:
        return write_format(request.response_format, Adjustments()).words
    except TranslationError:
        # The translation tells what is wrong with it.
        return None


def _see(message: ChatMessage, pieces: list[Piece], calls: dict[str, int]) -> None:
    """Add what is seen of a message, piece by piece; `calls` are the places of the latest calls, by their ids."""
    pieces.append(message.role.encode())
    content = message.content
    if is_text(content):
        pieces.append(content)
    elif not is_null(content):
        _see_parts(without_marks(content), pieces)
    elif message.role == "assistant":
        # Clients make one of the other.
        pieces.append(_EMPTY)
    # What is no content says what it is: a part of the content may look the same.
    if message.tool_call_id is not None:
        pieces.append(b"answers" + _encoded(calls.get(message.tool_call_id, message.tool_call_id)))
    if message.tool_calls:
        calls.clear()
        for call in message.tool_calls:
            calls.setdefault(call.id, len(calls))
        pieces.append(b"calls" + _encoded([call.function or call.custom for call in message.tool_calls]))
    if message.name or message.function_call is not None or not is_null(message.refusal):
        pieces.append(b"more" + _encoded((message.name, message.function_call, message.refusal)))


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
