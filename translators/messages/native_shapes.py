"""Anthropic's own shapes in a conversation, as the messages that they stand for.

Editors send them for models called claude-...: a `system` beside the messages, calls as `tool_use` parts of the
assistant's messages, results as `tool_result` parts of the user's. The parts stay in their contents, where the content
writer passes over them, so that the places of their neighbours are what the caller knows.
"""

from collections.abc import Generator, Iterator
from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from translators.errors import TranslationError
from translators.intent import Call, FunctionCall, Intent, Message
from translators.limits import MAX_ID, MAX_PARTS, check_length, check_text
from translators.reading import decode, is_null, missing_parameter
from translators.wire.chat_parts import PARTS_DECODER, ContentPart

CALL: Final = "tool_use"
RESULT: Final = "tool_result"
# How both types begin, in bytes.
_SIGN: Final = b'"tool_'
_ARRAY: Final = ord("[")
_OBJECT: Final = ord("{")
# Searched in pieces, each of which takes 0.1 ms.
_PIECE_BYTES: Final = 256 * 1024
_MESSAGES_A_STEP: Final = 1_024


class UnreadShapesError(Exception):
    """A request that seemed to have none of Anthropic's shapes has them: it is to be read and written once more."""


def may_have_native_shapes(intent: Intent) -> bool:
    """Whether it is worth a closer look; of nearly all requests it is not.

    Calls without tools are rare enough to be found while they are written: `UnreadShapesError`.
    """
    if intent.tools is not None:
        for message in intent.messages:
            if message.role != "tool" and memoryview(message.content)[0] == _ARRAY:
                return True
    return False


def read_native_shapes(intent: Intent, system: Raw | UnsetType = UNSET) -> Generator[None, None, None]:
    """Put what Anthropic's shapes stand for among the messages, in steps; raises `TranslationError` with the place.

    `system` is the field of that name, beside the messages.
    """
    results: dict[int, list[tuple[Message, str]]] = {}
    for index, message in enumerate(intent.messages):
        if index % _MESSAGES_A_STEP == 0:
            yield
        if message.role in ("user", "assistant") and (yield from _may_hold_parts(message.content)):
            path = f"messages[{index}].content"
            parts = decode(PARTS_DECODER, message.content, path)
            check_length(parts, MAX_PARTS, path)
            if message.role == "assistant":
                _add_calls(message, parts, path)
            elif found := list(_results(parts, path)):
                results[index] = found
            yield
    intent.places = ()
    if results or system is not UNSET:
        _spread(intent, results, system)


def _may_hold_parts(content: Raw) -> Generator[None, None, bool]:
    """Whether a content may hold calls or results; images of many megabytes are searched as well."""
    view = memoryview(content)
    if view[0] != _ARRAY:
        return False
    for begin in range(0, len(view), _PIECE_BYTES):
        if begin:
            yield
        if _SIGN in bytes(view[begin : begin + _PIECE_BYTES + len(_SIGN)]):
            return True
    return False


def _add_calls(message: Message, parts: list[ContentPart], path: str) -> None:
    """The calls in a content, behind those that the message has as OpenAI has them; some clients send both."""
    known = {call.id for call in message.tool_calls or ()}
    calls = [_call(part, f"{path}[{number}]") for number, part in enumerate(parts) if part.type == CALL]
    if calls:
        message.tool_calls = [*(message.tool_calls or ()), *(call for call in calls if call.id not in known)]


def _call(part: ContentPart, path: str) -> Call:
    if part.id is None or part.name is None:
        raise missing_parameter(f"{path}.{'id' if part.id is None else 'name'}")
    check_text(part.id, MAX_ID, f"{path}.id")
    if not is_null(part.input) and memoryview(part.input)[0] != _OBJECT:
        where = f"{path}.input"
        raise TranslationError(f"Invalid type for '{where}': expected an object.", param=where, code="invalid_type")
    mark = UNSET if is_null(part.cache_control) else part.cache_control
    return Call(part.id, function=FunctionCall(part.name, part.input), cache_control=mark)


def call_places(message: Message, path: str) -> dict[str, str]:
    """Where a content (at `path`) has calls in Anthropic's form, by their ids."""
    try:
        parts = PARTS_DECODER.decode(message.content)
    except msgspec.DecodeError:
        return {}
    return {part.id: f"{path}[{number}]" for number, part in enumerate(parts) if part.type == CALL and part.id}


def _results(parts: list[ContentPart], path: str) -> Iterator[tuple[Message, str]]:
    """The results in a content as messages of their own, each with the place of what it says."""
    for number, part in enumerate(parts):
        if part.type == RESULT:
            if part.tool_use_id is None:
                raise missing_parameter(f"{path}[{number}].tool_use_id")
            result = Message(
                "tool",
                part.content,
                tool_call_id=part.tool_use_id,
                cache_control=part.cache_control,
                is_error=part.is_error,
            )
            yield result, f"{path}[{number}].content"


def _spread(intent: Intent, results: dict[int, list[tuple[Message, str]]], system: Raw | UnsetType) -> None:
    """Add the system prompt and the results to the messages, and note where all of them come from."""
    messages: list[Message] = []
    places: list[str] = []
    if system is not UNSET and not is_null(system):
        messages.append(Message("system", system))
        places.append("system")
    for index, message in enumerate(intent.messages):
        for result, place in results.get(index, ()):
            messages.append(result)
            places.append(place)
        messages.append(message)
        places.append(f"messages[{index}].content")
    intent.messages, intent.places = messages, places
