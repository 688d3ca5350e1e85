"""Decodes and checks the body of a Responses request, once: its settings, and its items one by one.

The result tells the gateway what else to fetch: earlier items, and items that the body refers to. `request.py` makes an
intent of all of it.
"""

from collections.abc import Generator, Sequence
from typing import Final, cast

import msgspec
from msgspec import Raw, Struct

from translators.errors import TranslationError
from translators.limits import (
    MAX_MESSAGES,
    MAX_METADATA_BYTES,
    MAX_TOOLS,
    MAX_UNKNOWN_FIELDS,
    MAX_VALUES,
    check_length,
    too_many_fields,
    too_many_values,
    too_much_metadata,
)
from translators.other_bodies import mistaken_body
from translators.reading import check_in_steps, checked_body, decode, is_null, is_text, missing_parameter
from translators.steps import in_one_go
from translators.unknown import unknown_in
from translators.weight import fields_in_steps, values_in_steps
from translators.wire.raw import NULL, OBJECT_DECODER, RAW_LIST_DECODER
from translators.wire.responses import (
    BODY,
    BODY_DECODER,
    INPUT_DECODER,
    ITEM_DECODER,
    ITEM_FIELDS,
    ITEM_TEXTS_DECODER,
    KNOWN_BODY_DECODER,
    KNOWN_INPUT_DECODER,
    KNOWN_ITEM_DECODER,
    METADATA_DECODER,
    Item,
    ResponsesBody,
)

REFERENCE: Final = "item_reference"
REASONING: Final = "reasoning"
ADDITIONAL_TOOLS: Final = "additional_tools"
CONFIGURATION_UPDATE: Final = "configuration_update"
NOT_SIMPLE: Final = frozenset({ADDITIONAL_TOOLS, CONFIGURATION_UPDATE})
# The most different items that a body may refer to. Each has to be looked up.
MAX_REFERENCES: Final = 5_000
# The types of most items.
_PLAIN: Final = frozenset(
    {"message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"}
)
NO_ITEMS: Final = Raw(b"[]")
# A body or an item that is no larger cannot hold so many values that reading it takes long.
_WEIGHED_BYTES: Final = 2**20
# Of items so many bytes make a step, to which each item adds some.
_BYTES_A_STEP: Final = 32 * 1024
_BYTES_AN_ITEM: Final = 256
_ARRAY: Final = ord("[")
# Fields of chat completions, with their names here. They are refused: ignoring a limit or a format would do harm.
_MOVED: Final = {
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
    "verbosity": "text.verbosity",
    "functions": "tools",
    "function_call": "tool_choice",
}


class ReadBody(Struct, frozen=True):
    """A body, read; `references` are the ids of the items that it refers to, each once.

    `unsealed` are those of reasoning items that have come back without their seals: what is stored may have them.
    `is_simple` says that no item changes what stands beside the conversation, `is_plain` that there are only messages,
    thoughts, calls and their outputs.
    """

    body: ResponsesBody
    items: Sequence[Item]
    references: Sequence[str]
    unsealed: Sequence[str]
    is_simple: bool
    is_plain: bool
    data: bytes

    @property
    def continues(self) -> bool:
        """Whether anything stands before these items."""
        return self.body.previous_response_id is not None or self.body.conversation is not None

    @property
    def previous_response_id(self) -> str | None:
        """The response whose items stand before these."""
        return self.body.previous_response_id

    @property
    def conversation(self) -> str | None:
        """The id of the conversation whose items stand before these."""
        given = self.body.conversation
        return given if given is None or isinstance(given, str) else given.id

    def place(self, index: int) -> str:
        """Where an item stands in the body."""
        return "input" if is_text(self.body.input) else f"input[{index}]"

    def texts(self) -> list[Raw]:
        """The items as they were sent; a text of the user's as one."""
        if is_text(self.body.input):
            return [Raw(b'{"type":"message","role":"user","content":%b}' % self.body.input)]
        if not self.items:
            return []
        try:
            return ITEM_TEXTS_DECODER.decode(self.data).input
        except msgspec.ValidationError:
            # Of several fields of this name the last counts, whatever the others are.
            return RAW_LIST_DECODER.decode(INPUT_DECODER.decode(self.data).input)


def read_body(body: bytes) -> ReadBody:
    """The caller's request, in one go; raises `TranslationError` with the `param` that is wrong."""
    body = checked_body(body)
    if (known := _read_known(body)) is not None:
        return known
    return in_one_go(_read_unknown(body))


def read_body_in_steps(body: bytes) -> Generator[None, None, ReadBody]:
    """What `read_body` gives, in steps."""
    if not body.isascii():
        yield from check_in_steps(body)
    if len(body) > _WEIGHED_BYTES and (yield from values_in_steps(body, MAX_VALUES)) > MAX_VALUES:
        raise too_many_values(None, MAX_VALUES)
    yield
    known = _read_known(body)
    yield
    return known if known is not None else (yield from _read_unknown(body))


def read_item(data: bytes | Raw, place: str) -> Item:
    """An item from the store, which stands at `place` as far as the caller knows."""
    item: Item = decode(ITEM_DECODER, data, place)
    if item.type is None:
        item.type = _type_of(item)
    return item


def _read_unknown(body: bytes) -> Generator[None, None, ReadBody]:
    """A body with something that nobody knows in it, without an input, or with a mistake."""
    request = yield from _read_again(body)
    _check(request)
    items, unknown = yield from _items(request)
    request.unknown_fields += unknown
    return _complete(body, request, items)


def _complete(body: bytes, request: ResponsesBody, items: list[Item]) -> ReadBody:
    """What is read, with what the items refer to."""
    if len(items) > MAX_MESSAGES:
        check_length(items, MAX_MESSAGES, "input")
    references: dict[str, None] = {}
    unsealed: dict[str, None] = {}
    is_simple = is_plain = True
    for item in items:
        kind = item.type
        if kind in _PLAIN:
            continue
        if kind == REASONING:
            if item.encrypted_content is None and item.id:
                unsealed[item.id] = None
            continue
        if kind is None:
            kind = item.type = _type_of(item)
            if kind in _PLAIN:
                continue
        if kind == REFERENCE:
            references[item.id or ""] = None
        is_plain = False
        is_simple = is_simple and kind not in NOT_SIMPLE
    if not (references or unsealed):
        return ReadBody(request, items, (), (), is_simple, is_plain, body)
    check_length(references, MAX_REFERENCES, "input")
    found = tuple(filter(None, references)) if references else ()
    # Of thoughts without seals the latest count, since nothing goes back behind one that is lost.
    return ReadBody(request, items, found, tuple(unsealed)[-MAX_REFERENCES:], is_simple, is_plain, body)


def _type_of(item: Item) -> str:
    """The type of an item that has left it out, as messages and references may."""
    is_reference = item.role is None and item.id is not None and is_null(item.content)
    return REFERENCE if is_reference else "message"


def _read_known(body: bytes) -> ReadBody | None:
    """The request; None where something is wrong with it, or a field known to nobody here."""
    try:
        known = KNOWN_INPUT_DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    given, known.unknown_fields = known.input, 0
    if given is NULL:
        return None
    _check(known)
    if isinstance(given, str):
        # The text as it was sent.
        known.input = text = INPUT_DECODER.decode(body).input
        return ReadBody(known, [Item("message", "user", text)], (), (), True, True, body)
    known.input = NO_ITEMS
    return _complete(body, known, cast(list[Item], given))


def _read_again(body: bytes) -> Generator[None, None, ResponsesBody]:
    """Tell the mistake, or count the fields that nobody here knows."""
    try:
        known: ResponsesBody = KNOWN_BODY_DECODER.decode(body)
        known.unknown_fields = 0
        return known
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    request = decode(BODY_DECODER, body)
    yield
    if len(body) > _WEIGHED_BYTES and (yield from fields_in_steps(body, MAX_UNKNOWN_FIELDS)) > MAX_UNKNOWN_FIELDS:
        raise too_many_fields(MAX_UNKNOWN_FIELDS)
    names = OBJECT_DECODER.decode(body).keys()
    if is_null(request.input) and (is_null(request.prompt) or not _is_template(request.prompt)):
        mistaken = mistaken_body(names, wanted="input")
        if mistaken is not None:
            raise mistaken
    for name, moved in _MOVED.items():
        if name in names:
            message = f"Unsupported parameter: '{name}'. In the Responses API, this parameter is '{moved}'."
            raise TranslationError(message, param=name, code="unsupported_parameter")
    request.unknown_fields = unknown_in(body, BODY)
    return request


def _is_template(prompt: Raw) -> bool:
    return not is_text(prompt) and memoryview(prompt)[0] != _ARRAY


def _check(request: ResponsesBody) -> None:
    """Refuse what cannot be, and what is too long before anything goes through it."""
    if request.prompt is not NULL and not is_null(request.prompt):
        if not _is_template(request.prompt) and (mistaken := mistaken_body(("prompt",), wanted="input")) is not None:
            raise mistaken
        message = "Prompt templates live at OpenAI: this gateway has none. Send the prompt itself as 'instructions'."
        raise TranslationError(message, param="prompt", code="unsupported_parameter")
    if request.previous_response_id is not None and request.conversation is not None:
        message = "'previous_response_id' and 'conversation' exclude each other: both say what stands before the input."
        raise TranslationError(message, param="previous_response_id", code="mutually_exclusive_parameters")
    if request.background and request.store is False:
        message = "A response in the background has to be stored: 'background' needs 'store'."
        raise TranslationError(message, param="background", code="invalid_value")
    if len(request.metadata) > MAX_METADATA_BYTES:
        raise too_much_metadata(request.metadata)
    if request.metadata is not NULL and not is_null(request.metadata):
        _check_metadata(request.metadata)
    if request.tools:
        check_length(request.tools, MAX_TOOLS, "tools")


def _check_metadata(metadata: Raw) -> None:
    try:
        METADATA_DECODER.decode(metadata)
    except msgspec.ValidationError as error:
        message = "Invalid type for 'metadata': expected an object whose values are strings."
        raise TranslationError(message, param="metadata", code="invalid_type") from error
    except msgspec.DecodeError:
        decode(METADATA_DECODER, metadata, "metadata")


def _items(request: ResponsesBody) -> Generator[None, None, tuple[list[Item], int]]:
    """The items of the input, and how many of their fields nobody here knows."""
    given = request.input
    if is_null(given):
        if request.previous_response_id is None and request.conversation is None:
            raise missing_parameter("input")
        return [], 0
    if is_text(given):
        return [Item("message", "user", given)], 0
    if memoryview(given)[0] != _ARRAY:
        message = "Invalid type for 'input': expected a string or an array of items."
        raise TranslationError(message, param="input", code="invalid_type")
    raws = RAW_LIST_DECODER.decode(given)
    check_length(raws, MAX_MESSAGES, "input")
    yield
    items, unknown, work = list[Item](), 0, 0
    for index, raw in enumerate(raws):
        try:
            item: Item = KNOWN_ITEM_DECODER.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            item = decode(ITEM_DECODER, raw, f"input[{index}]")
            unknown += yield from _unknown(raw)
        items.append(item)
        work += len(raw) + _BYTES_AN_ITEM
        if work > _BYTES_A_STEP:
            work = 0
            yield
    return items, unknown


def _unknown(item: Raw) -> Generator[None, None, int]:
    """How many fields of an item nobody knows; too many are refused."""
    is_heavy = len(item) > _WEIGHED_BYTES
    if is_heavy and (yield from fields_in_steps(bytes(item), MAX_UNKNOWN_FIELDS)) > MAX_UNKNOWN_FIELDS:
        raise too_many_fields(MAX_UNKNOWN_FIELDS)
    unknown = len(OBJECT_DECODER.decode(item).keys() - ITEM_FIELDS)
    if unknown > MAX_UNKNOWN_FIELDS:
        raise too_many_fields(MAX_UNKNOWN_FIELDS)
    return unknown
