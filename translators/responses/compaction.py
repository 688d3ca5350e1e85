"""What a conversation becomes when it is compacted: a summary that the model writes, or a block of upstream's own.

Either travels as the sealed content of a `compaction` item, as JSON objects: parts of a message that stands for what
was said, and upstream's block, sealed once more since only the model that made it may get it back.
"""

from collections.abc import Generator, Iterator, Sequence
from itertools import compress
from typing import Final, NamedTuple

import msgspec
import orjson
from msgspec import Raw, Struct
from msgspec.structs import replace

from translators.answers.recorder import THINKING
from translators.intent import Intent, Message, SealedTurn
from translators.reading import is_text
from translators.responses.frame import Sealer
from translators.responses.seals import Opener

SUMMARY_REQUEST: Final = """\
The conversation so far is about to be replaced by a summary, which you write now. From the next turn on you will see \
this summary and what the user and the developer have said, word for word, and nothing else of it: none of your own \
messages, none of your tool calls, none of their results.

Write down all that you will need to go on without asking or looking again:
1. what is wanted, with every requirement and preference that still holds;
2. what was done and found out so far, with the exact names, paths, commands, numbers, addresses, and lines of code or \
data that matter;
3. what was decided and why, and what was tried and did not work;
4. where things stand, including what the latest tool results say;
5. what is to be done next.

Do not go on with the task, do not call tools, and do not address anybody. Answer with the summary alone."""
_BEFORE: Final = (
    "<summary>\nThis summary, which you have written yourself, stands for the conversation up to here: for all that "
    "you and your tools have said. What others have said stands above, word for word. Go on from here.\n\n"
)
_AFTER: Final = "\n</summary>"
_SEALED: Final = "sealed"
# Stands for a block of upstream's own in the order of a turn.
_OWN: Final = "o"
_TEXT: Final = Raw(b'"text"')
_INPUT_TEXT: Final = Raw(b'"input_text"')
_PARTS: Final = msgspec.json.Decoder(list[dict[str, Raw]])
_NONE: Final = Raw(b'"none"')
_PLACE: Final = "input"
# Who may say something besides the model, and the field that stands for itself in each request.
SPEAKERS: Final = frozenset({"user", "system", "developer"})
INSTRUCTIONS: Final = "instructions"


class _Entry(Struct):
    """One object of a sealed content, or a block."""

    type: str = ""
    seal: str | None = None


class _Block(Struct):
    """A block of upstream's, as far as it can be read; what is encrypted in it is for upstream alone."""

    content: str | None = None


class Compacted(NamedTuple):
    """What a compaction item holds: upstream's own block, or else the parts of a message that stands for it."""

    own: bytes | None
    parts: Sequence[bytes]


_ENTRY_DECODER: Final = msgspec.json.Decoder(_Entry)
_BLOCK_DECODER: Final = msgspec.json.Decoder(_Block)
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class OwnWords(Message, gc=False):
    """A message that nobody has said: a summary of what was said before it, or the wish for one."""


def said_by_others(intent: Intent) -> Iterator[bytes]:
    """What others than the model have said in a conversation, as items: what is kept of it besides a summary."""
    for message, place in zip(intent.messages, intent.places or (), strict=True):
        if message.role in SPEAKERS and place != INSTRUCTIONS and not isinstance(message, OwnWords):
            yield b'{"type":"message","role":"%b","content":%b}' % (message.role.encode(), _as_sent(message))


def _as_sent(message: Message) -> bytes:
    """A content in the spelling of this API: texts may have been read into that of chat completions."""
    if is_text(message.content):
        return message.content
    try:
        parts = _PARTS.decode(message.content)
    except _UNREADABLE:
        return message.content
    for part in parts:
        if part.get("type") == _TEXT:
            part["type"] = _INPUT_TEXT
    return msgspec.json.encode(parts)


def summarizing(intent: Intent) -> Generator[None, None, Intent]:
    """The request for a summary of a conversation: the same, so that its cache is used, and a wish at its end.

    In steps.
    """
    messages = intent.messages
    if not intent.tools and any(message.tool_calls for message in messages):
        # The tools are left out, as the official SDKs do: what was thought before is bound to them.
        messages = yield from _without_thinking(messages)
    return replace(
        intent,
        messages=[*messages, OwnWords("user", Raw(orjson.dumps(SUMMARY_REQUEST)))],
        places=[*(intent.places or ()), _PLACE],
        tool_choice=_NONE if intent.tools else intent.tool_choice,
        format=None,
        compacts_from=None,
    )


def _without_thinking(messages: Sequence[Message]) -> Generator[None, None, list[Message]]:
    bare: list[Message] = []
    for message in messages:
        if isinstance(message, SealedTurn):
            stays = [_type_of(block) not in THINKING for block in message.own_blocks]
            own = iter(stays)
            order = "".join([letter for letter in message.order if letter != _OWN or next(own, False)])
            message = replace(message, own_blocks=tuple(compress(message.own_blocks, stays)), order=order)
            yield
        bare.append(message)
    return bare


def _type_of(block: bytes) -> str:
    try:
        return _ENTRY_DECODER.decode(block).type
    except _UNREADABLE:
        return ""


def summary_part(text: str) -> bytes:
    """A summary as the model is shown it."""
    return orjson.dumps({"type": "text", "text": f"{_BEFORE}{text.strip()}{_AFTER}"})


def sealed_summary(text: str, sealer: Sealer) -> str:
    """A summary as the content of a compaction item."""
    return sealer.summaries.seal([summary_part(text)])


def sealed_block(block: bytes, sealer: Sealer) -> str:
    """Upstream's own block as the content of a compaction item; with what can be read of it, for other models."""
    entries = [orjson.dumps({"type": _SEALED, "seal": sealer.seal([block])})]
    try:
        content = _BLOCK_DECODER.decode(block).content
    except _UNREADABLE:
        content = None
    if content and content.strip():
        entries.append(summary_part(content.encode("utf-8", "replace").decode()))
    return sealer.summaries.seal(entries)


def opened(text: str, opener: Opener) -> Compacted | None:
    """What the content of a compaction item holds; None for what cannot be opened."""
    entries = opener.summaries.open(text)
    if entries is None:
        return None
    parts = list[bytes]()
    for entry in entries:
        try:
            found = _ENTRY_DECODER.decode(entry)
        except _UNREADABLE:
            return None
        if found.type != _SEALED:
            parts.append(entry)
        elif found.seal and (blocks := opener.open(found.seal)):
            return Compacted(blocks[0], parts)
    return Compacted(None, parts) if parts else None
