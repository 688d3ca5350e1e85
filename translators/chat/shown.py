"""Whether a client still shows what was said: only then does a turn go back as it was made."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import orjson
from msgspec import Raw, Struct

from translators.blocks import THINKING, Block
from translators.chat.content import TEXT_TYPES
from translators.chat.echoes import signed_thinking
from translators.chat.filters import FenceStripper
from translators.chat.names import caller_call_id, upstream_tool_name
from translators.chat.shape import INPUT_PROPERTY, VALUE_PROPERTY
from translators.reading import is_null, is_text
from translators.wire.chat import PARTS_DECODER, ChatMessage, CustomCall, FunctionCall


class _Part(Struct):
    """A block, as far as a chat completion shows it."""

    type: str
    text: str = ""
    thinking: str = ""
    data: str = ""
    signature: str = ""
    id: str = ""
    name: str = ""
    input: Raw = Raw(b"{}")


# Arguments that are spelled otherwise, every character as an escape in an escaped text, are no longer than that.
_LONGER: Final = 64
# What a chat completion tells of, or a client sends back; others may have fields of these names with other values.
_TOLD: Final = frozenset({"text", "tool_use", *THINKING})
_PART_DECODER: Final = msgspec.json.Decoder(_Part)


def shows(blocks: Sequence[Block], message: ChatMessage) -> bool:
    """Whether a message says what these blocks do: the same words, calls and arguments, and no other thinking."""
    parts = [_PART_DECODER.decode(block.json) for block in blocks if block.type in _TOLD]
    said = _said(message)
    if said is None:
        return False
    words = "".join([part.text for part in parts if part.type == "text"])
    if said.strip() != words.strip() and said.strip() != _without_fences(words):
        return False
    uses = [part for part in parts if part.type == "tool_use"]
    return _calls_are_same(uses, message) and _thinks_same(parts, message)


def _said(message: ChatMessage) -> str | None:
    """The text of a message; None where it holds more than text, or what no answer that is kept holds."""
    if not is_null(message.refusal):
        return None
    content = message.content
    if is_null(content):
        return ""
    try:
        if is_text(content):
            return msgspec.json.decode(content, type=str)
        parts = [part for part in PARTS_DECODER.decode(content) if part.type not in THINKING]
        if any(part.type not in TEXT_TYPES for part in parts):
            return None
        return "".join([msgspec.json.decode(part.text, type=str) for part in parts])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _without_fences(words: str) -> str:
    """The words as they were given out where JSON was asked for."""
    stripper = FenceStripper()
    return (stripper.feed(words) + stripper.end()).strip()


def _calls_are_same(uses: Sequence[_Part], message: ChatMessage) -> bool:
    if not all(use.id for use in uses):
        # Nothing could be said to answer such a call.
        return False
    if not message.tool_calls and message.function_call is not None:
        # The legacy form has place for one call, and that has no id.
        return len(uses) == 1 and _is_same_call(uses[0], message.function_call)
    calls = message.tool_calls or ()
    return len(uses) == len(calls) and all(
        call.id == caller_call_id(use.id) and _is_same_call(use, call.function or call.custom)
        for use, call in zip(uses, calls, strict=True)
    )


def _is_same_call(use: _Part, call: FunctionCall | CustomCall | None) -> bool:
    return call is not None and upstream_tool_name(call.name) == use.name and _is_same_input(use, call)


def _is_same_input(use: _Part, call: FunctionCall | CustomCall) -> bool:
    """Whether a client has left the arguments what they were; how they are spelled does not count."""
    try:
        made = msgspec.json.decode(use.input)
        if isinstance(call, CustomCall):
            return _equal(made, {INPUT_PROPERTY: _value(call.input) or ""})
        given = call.arguments
        if is_text(given):
            if len(given) > _LONGER * (len(use.input) + _LONGER):
                # However it is spelled.
                return False
            text = msgspec.json.decode(given, type=str).strip() or "{}"
            if text.encode() == bytes(use.input):
                return True
            arguments = msgspec.json.decode(text)
        else:
            arguments = _value(given) or {}
        return _equal(made, arguments) or _equal(made, {VALUE_PROPERTY: arguments})
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _equal(made: object, given: object) -> bool:
    """Whether two values are the same in JSON: 1 is 1.0, but it is not true."""
    if isinstance(made, dict) and isinstance(given, dict):
        return made.keys() == given.keys() and all(_equal(made[name], given[name]) for name in made)
    if isinstance(made, list) and isinstance(given, list):
        return len(made) == len(given) and all(map(_equal, made, given))
    return made == given and isinstance(made, bool) == isinstance(given, bool)


def _value(raw: Raw) -> object:
    return None if is_null(raw) else msgspec.json.decode(raw)


def _thinks_same(parts: Sequence[_Part], message: ChatMessage) -> bool:
    """Whether the client sends no thinking, or just what was thought: its own is what counts."""
    sent = signed_thinking(message)
    if not sent:
        return True
    made = [(part.type, part.signature or part.data, part.thinking) for part in parts if part.type in THINKING]
    return made == [_told(block) for block in sent]


def _told(block: dict[str, Any]) -> tuple[str, str, str]:
    fields = orjson.loads(orjson.dumps(block))
    return fields["type"], fields.get("signature") or fields.get("data"), fields.get("thinking", "")
