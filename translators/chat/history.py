"""What can be seen of a conversation: digests by which its turns are known again when a client sends it back.

Clients send a turn as they were given it, and once written a message stays as it is: what stood before a turn when it
was made stands before it in all later requests. Left out is what a client cannot be relied on to send (thinking), and
what moves without meaning anything (cache marks).
"""

import re
from collections.abc import Generator, Iterable
from hashlib import blake2b
from typing import Final, Protocol

import msgspec
from msgspec import Raw, Struct

from translators.reading import is_null, is_text
from translators.wire.chat import RAW_LIST_DECODER, TEXT_PARTS_DECODER, ChatMessage, ChatRequest

DIGEST_BYTES: Final = 16
# So many messages make a step: about 0.2 ms.
_MESSAGES_A_STEP: Final = 128
_SYSTEM_ROLES: Final = frozenset({"system", "developer"})
_MARK: Final = re.compile(rb',?\s*"(?:cache_control|prompt_cache_breakpoint)"\s*:\s*\{[^{}]*\}')
_MARK_NAMES: Final = (b"cache_control", b"prompt_cache_breakpoint")
_EMPTY: Final = b'""'


class _Hasher(Protocol):
    def update(self, data: bytes | Raw, /) -> None: ...
    def digest(self) -> bytes: ...
    def copy(self) -> "_Hasher": ...


class SeenTurn(Struct, frozen=True, gc=False):
    """A turn of the assistant's: where it stands among the messages, and the digest of what is seen before it."""

    index: int
    before: bytes


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


def read_history(request: ChatRequest, scope: bytes) -> History:
    """The history of a request; `scope` (whose it is) keeps those of different callers apart."""
    steps = history_in_steps(request, scope)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            history: History = end.value
            return history


def history_in_steps(request: ChatRequest, scope: bytes) -> Generator[None, None, History]:
    """What `read_history` gives, in steps of which none takes long, unless a single message does."""
    messages = request.messages
    leading = next((index for index, item in enumerate(messages) if item.role not in _SYSTEM_ROLES), len(messages))
    hasher = blake2b(scope, digest_size=DIGEST_BYTES)
    turns: list[SeenTurn] = []
    for index in range(leading, len(messages)):
        message = messages[index]
        if message.role == "assistant":
            turns.append(SeenTurn(index, hasher.copy().digest()))
        _see(hasher, message)
        if index % _MESSAGES_A_STEP == 0:
            yield
    return History(_ground(request, messages[:leading]), tuple(turns), hasher.digest())


def turn_key(before: bytes, model: str, names: Iterable[str]) -> bytes:
    """What a turn is kept under: what stood before it, who made it, and the calls in it (ids, or a function's name)."""
    hasher = blake2b(before, digest_size=DIGEST_BYTES)
    for name in (model, *names):
        hasher.update(b"\0%b" % name.encode("utf-8", "surrogatepass"))
    return hasher.digest()


def names_of_calls(message: ChatMessage) -> list[str]:
    """What tells the calls of a turn from those of another in its place."""
    if message.tool_calls:
        return [call.id for call in message.tool_calls]
    # The legacy form has one call, without an id.
    return [message.function_call.name] if message.function_call else []


def _ground(request: ChatRequest, leading: list[ChatMessage]) -> bytes:
    """What all the messages stand on: tools, system prompt, and what adds words of the gateway's to it."""
    hasher = blake2b(digest_size=DIGEST_BYTES)
    for tool in request.tools or ():
        _add(hasher, _unmarked(tool))
    form = request.response_format
    for value in (request.functions, request.web_search_options, form.type if form else None, request.verbosity):
        _add(hasher, msgspec.json.encode(value))
    for message in leading:
        _see(hasher, message)
    return hasher.digest()


def _see(hasher: _Hasher, message: ChatMessage) -> None:
    hasher.update(message.role.encode())
    _see_content(hasher, message.content)
    for more in (message.name, message.tool_call_id):
        if more:
            _add(hasher, more.encode("utf-8", "surrogatepass"))
    if message.tool_calls or message.function_call or not is_null(message.refusal):
        seen = (message.tool_calls, message.function_call, message.refusal)
        _add(hasher, msgspec.json.encode(seen))


def _see_content(hasher: _Hasher, content: Raw) -> None:
    """A text is the same as a single part with that text."""
    if is_null(content):
        return
    if is_text(content):
        _add_text(hasher, content)
        return
    unmarked = _unmarked(content)
    try:
        for part in TEXT_PARTS_DECODER.decode(unmarked):
            _add_text(hasher, part.text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        _see_parts(hasher, unmarked)


def _see_parts(hasher: _Hasher, content: bytes | Raw) -> None:
    try:
        parts = RAW_LIST_DECODER.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # The translation tells what is wrong with it.
        parts = [Raw(content)]
    for part in parts:
        hasher.update(b"\0part")
        _add(hasher, part)


def _add_text(hasher: _Hasher, text: Raw) -> None:
    if len(memoryview(text)) > len(_EMPTY):
        hasher.update(b"\0text")
        _add(hasher, text)


def _add(hasher: _Hasher, data: bytes | Raw) -> None:
    """Add a value behind its length, so that values never run into one another."""
    hasher.update(b"\0%d\0" % len(memoryview(data)))
    hasher.update(data)


def _unmarked(raw: Raw) -> bytes | Raw:
    """JSON without cache marks, which move from turn to turn."""
    text = bytes(raw)
    if any(name in text for name in _MARK_NAMES):
        return _MARK.sub(b"", text)
    return raw
