"""How a prompt begins, boundary by boundary: what tells how much of it another request had, too.

The boundaries are the end of the tools, of each part of the system prompt, of each part of the first turn. A part is
one that the client wrote: an entry of a list of parts, or a message that is a text. Each boundary has a fingerprint of
everything before it, in the client's bytes and whole: two documents may be the same for pages. Fingerprints are those
of one process (Python's own hash, the quickest there is: 0.25 ms for 1 MB), so they are compared there, and never
sent.
"""

from collections.abc import Generator, Hashable, Iterable, Iterator
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from translators.estimate import BYTES_A_TOKEN
from translators.limits import MAX_PARTS as MAX_PARTS_OF_CONTENT
from translators.steps import in_one_go
from translators.wire.chat import ChatMessage, ChatRequest
from translators.wire.raw import RAW_LIST_DECODER

# So many parts of the system prompt, and of the first turn, have a boundary of their own; besides there is their end.
MAX_PARTS: Final = 8
# Behind so many bytes nothing is compared any more: what would have to be said twice that long is rare, and costs 1 ms.
MAX_BYTES: Final = 4 * 1024 * 1024
# What is far longer is one part: where it stands, nothing is compared any more.
_PARTED_BYTES: Final = 2 * MAX_BYTES
# So many make a step: about 0.2 ms.
_PARTS_A_STEP: Final = 512
_SYSTEM_ROLES: Final = frozenset({"system", "developer"})


class Sharing(NamedTuple):
    """How much of a prompt another request had lately.

    `depth` counts what is the same: the tools are 1, each part of the system prompt and then of the first turn is one
    more; `system` and `first_turn` are how many parts these have. `is_asked_again` says that several answers are asked
    for.
    """

    depth: int = 0
    system: int = 0
    first_turn: int = 0
    is_asked_again: bool = False


NOT_SHARED: Final = Sharing()


class Beginnings(NamedTuple):
    """The boundaries of one request, the first one first: the fingerprint of each, and its depth as in `Sharing`."""

    fingerprints: tuple[int, ...] = ()
    depths: tuple[int, ...] = ()
    system: int = 0
    first_turn: int = 0

    def sharing(self, seen: int, *, is_asked_again: bool = False) -> Sharing:
        """What it means that so many of the fingerprints have been seen."""
        return Sharing(self.depths[seen - 1] if seen else 0, self.system, self.first_turn, is_asked_again)


NOTHING: Final = Beginnings()


def beginnings(request: ChatRequest, scope: Hashable, minimum_tokens: int) -> Beginnings:
    """The boundaries of a request behind which it is long enough to be cached; none for a short one.

    `scope` is what requests have to have in common besides: the model, and whose keys they use.
    """
    return in_one_go(beginnings_in_steps(request, scope, minimum_tokens))


def beginnings_in_steps(
    request: ChatRequest, scope: Hashable, minimum_tokens: int
) -> Generator[None, None, Beginnings]:
    """What `beginnings` gives, in steps."""
    shortest = minimum_tokens * BYTES_A_TOKEN
    tools = request.tools_text() if request.tools else b""
    if request.functions:
        tools = b"".join((tools, *request.functions))
    if len(tools) + _opening_bytes(request.messages) < shortest:
        return NOTHING
    yield
    system, first_turn = _opening(request.messages)
    system_parts = yield from _parts(system)
    turn_parts = yield from _parts(first_turn)
    chained = hash((scope, _settings(request)))
    sizes: int = 0
    fingerprints: list[int] = []
    depths: list[int] = []
    for number, (depth, part, is_boundary) in enumerate(_numbered(tools, request, system_parts, turn_parts)):
        if number % _PARTS_A_STEP == _PARTS_A_STEP - 1:
            yield
        sizes += len(part)
        if sizes > MAX_BYTES:
            break
        chained = hash((chained, part))
        if is_boundary and sizes >= shortest:
            fingerprints.append(chained)
            depths.append(depth)
    return Beginnings(tuple(fingerprints), tuple(depths), len(system_parts), len(turn_parts))


def _numbered(
    tools: bytes, request: ChatRequest, system: list[bytes], first_turn: list[bytes]
) -> Iterator[tuple[int, bytes, bool]]:
    """Everything that is chained: its depth, its bytes, and whether there is a boundary behind it."""
    yield 1, tools, True
    depth = 1
    for parts in (system, first_turn):
        if parts is first_turn:
            # Another choice of tools has the same cache up to here, and another one behind it.
            yield depth, bytes(request.tool_choice), False
        for number, part in enumerate(parts, 1):
            depth += 1
            yield depth, part, number <= MAX_PARTS or number == len(parts)


def _opening_bytes(messages: list[ChatMessage]) -> int:
    """How much is said up to the first answer."""
    size = 0
    for message in messages:
        if message.role == "assistant":
            break
        size += len(message.content)
    return size


def _opening(messages: list[ChatMessage]) -> tuple[list[ChatMessage], list[ChatMessage]]:
    """The system messages at the beginning, and what follows them up to the first answer."""
    leading = next((at for at, message in enumerate(messages) if message.role not in _SYSTEM_ROLES), len(messages))
    end = next((at for at, message in enumerate(messages) if message.role == "assistant"), len(messages))
    return messages[:leading], messages[leading:end]


def _parts(messages: list[ChatMessage]) -> Generator[None, None, list[bytes]]:
    """The parts of messages; where not all of them are of one kind, their order may change, and they are one part."""
    roles = {message.role in _SYSTEM_ROLES for message in messages}
    if len(roles) > 1 or any(message.role in ("tool", "function") for message in messages):
        pieces: list[bytes | Raw] = []
        for message in messages:
            pieces += (message.role.encode(), b":", message.content)
            if len(pieces) % _PARTS_A_STEP == 0:
                yield
        return [b"".join(pieces)]
    parts: list[bytes] = []
    done = 0
    for message in messages:
        parts += _parts_of(message.content)
        if len(parts) - done > _PARTS_A_STEP:
            done = len(parts)
            yield
    return parts


def _parts_of(content: Raw) -> Iterable[bytes]:
    whole = bytes(content)
    if whole[:1] == b"[" and len(whole) <= _PARTED_BYTES:
        try:
            parts = RAW_LIST_DECODER.decode(whole)
            if len(parts) <= MAX_PARTS_OF_CONTENT:
                return map(bytes, parts)
        except msgspec.DecodeError:
            # The writer says what is wrong with it.
            pass
    return [whole]


_amounts: Final = attrgetter("effort", "max_tokens", "exclude", "enabled")


def _settings(request: ChatRequest) -> Hashable:
    """What is no part of the prompt, and separates caches all the same, or adds words to the system prompt."""
    form = request.response_format
    return (
        request.reasoning_effort,
        request.verbosity,
        None if request.reasoning is None else _amounts(request.reasoning),
        None if form is None else (form.type, bytes(form.json_schema.schema) if form.json_schema else b""),
        *(bytes(field) for field in (request.thinking, request.output_config, request.speed, request.mcp_servers)),
        request.web_search_options is not None,
    )
