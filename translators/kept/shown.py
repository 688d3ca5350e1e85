"""Whether a client still shows what was said: only then does a turn go back as it was made."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import orjson
from msgspec import Raw, Struct

from translators.answers.filters import FenceStripper, TextFilter
from translators.answers.json_value import JsonValue
from translators.answers.recorder import THINKING, Block
from translators.answers.shape import INPUT_PROPERTY, VALUE_PROPERTY
from translators.intent import CustomCall, FunctionCall, Message
from translators.kept.echoes import signed_thinking
from translators.messages.content import TEXT_TYPES
from translators.messages.names import is_legal_property, upstream_property_name, upstream_tool_name
from translators.messages.native_shapes import CALL
from translators.reading import is_null, is_text
from translators.wire.chat_parts import PARTS_DECODER


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


# Calls in Anthropic's form are among the message's calls as well.
_COUNTED_ELSEWHERE: Final = frozenset({*THINKING, CALL})
# Arguments that are spelled otherwise, every character as an escape in an escaped text, are no longer than that.
_LONGER: Final = 64
# How clients write down that there are no arguments.
_NOTHING: Final[tuple[object, ...]] = (None, [], "", {})
# What a chat completion tells of, or a client sends back; others may have fields of these names with other values.
_TOLD: Final = frozenset({"text", "tool_use", *THINKING})
_PART_DECODER: Final = msgspec.json.Decoder(_Part)


def shows(blocks: Sequence[Block], message: Message, previous: Message | None = None) -> bool:
    """Whether a message says what these blocks do: the same words, calls and arguments, and no other thinking.

    Beside the same calls the words may be missing, or stand behind those of the assistant's `previous` message: some
    clients drop the one, some repeat the other. What the calls' ids are does not count: whose they are, the key says.
    """
    parts = [_PART_DECODER.decode(block.json) for block in blocks if block.type in _TOLD]
    said = _said(message)
    if said is None:
        return False
    words = "".join([part.text for part in parts if part.type == "text"])
    uses = [part for part in parts if part.type == "tool_use"]
    return (
        (_are_same_words(said.strip(), words) or (bool(uses) and _are_words_of_a_call(said.strip(), words, previous)))
        and _calls_are_same(uses, message)
        and _thinks_same(parts, message)
    )


def _are_same_words(said: str, words: str) -> bool:
    return said == words.strip() or said in _as_json(words)


def _are_words_of_a_call(said: str, words: str, previous: Message | None) -> bool:
    """Whether nothing is said, or the last words of the message before and perhaps these."""
    if not said:
        return True
    earlier = _said(previous) if previous is not None else None
    if earlier is None:
        return False
    # What was there before is at the front: where these words end alike, they may as well be part of it.
    return any(earlier.strip().endswith(rest) for rest in {said, said.removesuffix(words.strip()).strip()} if rest)


def _said(message: Message) -> str | None:
    """The text of a message; None where it holds more than text, or what no answer that is kept holds."""
    if not is_null(message.refusal):
        return None
    content = message.content
    if is_null(content):
        return ""
    try:
        if is_text(content):
            return msgspec.json.decode(content, type=str)
        parts = [part for part in PARTS_DECODER.decode(content) if part.type not in _COUNTED_ELSEWHERE]
        if any(part.type not in TEXT_TYPES for part in parts):
            return None
        return "".join([msgspec.json.decode(part.text, type=str) for part in parts])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _as_json(words: str) -> tuple[str, ...]:
    """The words as they may have been given out where JSON was asked for."""
    filters: tuple[TextFilter, ...] = (FenceStripper(), JsonValue())
    return tuple([(text_filter.feed(words) + text_filter.end()).strip() for text_filter in filters])


def _calls_are_same(uses: Sequence[_Part], message: Message) -> bool:
    if not all(use.id for use in uses):
        # Nothing could be said to answer such a call.
        return False
    if not message.tool_calls and message.function_call is not None:
        # The legacy form has place for one call, and that has no id.
        return len(uses) == 1 and _is_same_call(uses[0], message.function_call)
    calls = message.tool_calls or ()
    return len(uses) == len(calls) and all(
        _is_same_call(use, call.function or call.custom) for use, call in zip(uses, calls, strict=True)
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
            arguments = _value(given)
        if arguments in _NOTHING:
            # Languages without a notation for an empty map write it so; wrapped values are values.
            return made == {} or _equal(made, {VALUE_PROPERTY: arguments})
        return _equal(_with_legal_names(made), _with_legal_names(arguments)) or _equal(
            made, {VALUE_PROPERTY: arguments}
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _with_legal_names(value: object) -> object:
    """Arguments by the names that their properties have upstream: a client has its own for some of them."""
    if not isinstance(value, dict) or all(map(is_legal_property, value)):
        return value
    return {upstream_property_name(name): item for name, item in value.items()}


def _equal(made: object, given: object) -> bool:
    """Whether two values are the same in JSON: 1 is 1.0, but it is not true."""
    if isinstance(made, dict) and isinstance(given, dict):
        return made.keys() == given.keys() and all(_equal(made[name], given[name]) for name in made)
    if isinstance(made, list) and isinstance(given, list):
        return len(made) == len(given) and all(map(_equal, made, given))
    return made == given and isinstance(made, bool) == isinstance(given, bool)


def _value(raw: Raw) -> object:
    return None if is_null(raw) else msgspec.json.decode(raw)


def _thinks_same(parts: Sequence[_Part], message: Message) -> bool:
    """Whether the client sends no thinking, or just what was thought: its own is what counts."""
    sent = signed_thinking(message)
    if not sent:
        return True
    made = [(part.type, part.signature or part.data, part.thinking) for part in parts if part.type in THINKING]
    return made == [_told(block) for block in sent]


def _told(block: dict[str, Any]) -> tuple[str, str, str]:
    fields = orjson.loads(orjson.dumps(block))
    return fields["type"], fields.get("signature") or fields.get("data"), fields.get("thinking", "")
