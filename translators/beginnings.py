"""Fingerprints of how a prompt begins, which show how much of it another request has in common.

There is a boundary after the tools, after each part of the system prompt, and after each part of the first turn. A part
is an entry of the client's list of parts, or a message that is a plain text. Each boundary has a fingerprint of
everything before it, in the client's bytes and complete, since two documents can be the same for pages. Fingerprints
use Python's own hash, the fastest one (0.25 ms for 1 MB), so they are valid in one process only, and never sent.
"""

from collections.abc import Generator, Hashable, Iterable, Iterator
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from translators.estimate import BYTES_A_TOKEN
from translators.intent import Intent, Message
from translators.limits import MAX_PARTS as MAX_PARTS_OF_CONTENT
from translators.steps import in_one_go
from translators.wire.raw import NULL, RAW_LIST_DECODER

# The maximum number of parts of the system prompt, and of the first turn, that have boundaries of their own.
MAX_PARTS: Final = 8
# Nothing beyond this size is compared: longer repetitions are rare, and comparing would cost 1 ms.
MAX_BYTES: Final = 4 * 1024 * 1024
# Above this size the content is not split into parts, and nothing from there on is compared.
_PARTED_BYTES: Final = 2 * MAX_BYTES
# The number of parts per step, about 0.2 ms.
_PARTS_A_STEP: Final = 512
# Fields of Messages itself that do.
_NATIVE_SETTINGS: Final = ("thinking", "output_config", "speed", "mcp_servers")
_SYSTEM_ROLES: Final = frozenset({"system", "developer"})


class Sharing(NamedTuple):
    """How much of a prompt another request had recently.

    `depth` counts the common parts: the tools, then each part of the system prompt, then each part of the first turn.
    `system` and `first_turn` are the numbers of parts of these two. `is_asked_again` says that several answers to the
    same prompt are requested.
    """

    depth: int = 0
    system: int = 0
    first_turn: int = 0
    is_asked_again: bool = False


NOT_SHARED: Final = Sharing()


class Beginnings(NamedTuple):
    """The boundaries of one request, in order: their fingerprints, and their depths as in `Sharing`."""

    fingerprints: tuple[int, ...] = ()
    depths: tuple[int, ...] = ()
    system: int = 0
    first_turn: int = 0

    def sharing(self, seen: int, *, is_asked_again: bool = False) -> Sharing:
        """The result if the first `seen` fingerprints have been seen before."""
        return Sharing(self.depths[seen - 1] if seen else 0, self.system, self.first_turn, is_asked_again)


NOTHING: Final = Beginnings()


def beginnings(intent: Intent, scope: Hashable, minimum_tokens: int) -> Beginnings:
    """The boundaries after which a request is long enough to be cached; none if the request is short.

    `scope` is what else requests must have in common: the model, and whose keys they use.
    """
    return in_one_go(beginnings_in_steps(intent, scope, minimum_tokens))


def beginnings_in_steps(intent: Intent, scope: Hashable, minimum_tokens: int) -> Generator[None, None, Beginnings]:
    """The steps of `beginnings`."""
    shortest = minimum_tokens * BYTES_A_TOKEN
    tools = intent.tools_text() if intent.tools else b""
    if intent.functions:
        tools = b"".join((tools, *intent.functions))
    if len(tools) + _opening_bytes(intent.messages) < shortest:
        return NOTHING
    yield
    system, first_turn = _opening(intent.messages)
    system_parts = yield from _parts(system)
    turn_parts = yield from _parts(first_turn)
    chained = hash((scope, _settings(intent)))
    sizes: int = 0
    fingerprints: list[int] = []
    depths: list[int] = []
    for number, (depth, part, is_boundary) in enumerate(_numbered(tools, intent, system_parts, turn_parts)):
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
    tools: bytes, intent: Intent, system: list[bytes], first_turn: list[bytes]
) -> Iterator[tuple[int, bytes, bool]]:
    """Everything that is hashed, in order: depth, bytes, and whether a boundary follows."""
    yield 1, tools, True
    depth = 1
    for parts in (system, first_turn):
        if parts is first_turn:
            # Another tool choice has the same cache up to here, but another one from here on.
            yield depth, bytes(intent.tool_choice), False
        for number, part in enumerate(parts, 1):
            depth += 1
            yield depth, part, number <= MAX_PARTS or number == len(parts)


def _opening_bytes(messages: list[Message]) -> int:
    """The size of everything before the first answer."""
    size = 0
    for message in messages:
        if message.role == "assistant":
            break
        size += len(message.content)
    return size


def _opening(messages: list[Message]) -> tuple[list[Message], list[Message]]:
    """The system messages at the beginning, and the messages between them and the first answer."""
    leading = next((at for at, message in enumerate(messages) if message.role not in _SYSTEM_ROLES), len(messages))
    end = next((at for at, message in enumerate(messages) if message.role == "assistant"), len(messages))
    return messages[:leading], messages[leading:end]


def _parts(messages: list[Message]) -> Generator[None, None, list[bytes]]:
    """The parts of messages. If a message has parts of several kinds, their order may change: it is a single part."""
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
            # The translation reports what is wrong with it.
            pass
    return [whole]


def _settings(intent: Intent) -> Hashable:
    """Settings that are not part of the prompt, but separate caches or add to the system prompt."""
    wish, form, native = intent.reasoning, intent.format, intent.native
    return (
        None if wish is None else (wish.field, wish.effort, wish.budget, wish.display),
        intent.hides_reasoning,
        intent.verbosity,
        None if form is None else (form.type, bytes(form.schema)),
        *(bytes(native.get(field, NULL)) for field in _NATIVE_SETTINGS),
        intent.web_search is not None,
    )
