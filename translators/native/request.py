"""A native request: its model and whether it streams are read, the rest goes on as the bytes that came."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec
import orjson
from msgspec import Raw

from translators.errors import TranslationError
from translators.hosts import SAMPLING_VERSION
from translators.native.members import OBJECT, each_once
from translators.prefixes import messages_prefix
from translators.reading import Decoder, checked_body, decode
from translators.wire.chat import ModelName

# Upstream refuses a request without a version; whoever sends none was written before there was a choice.
DEFAULT_VERSION: Final = SAMPLING_VERSION

# Strings and brackets: whatever else there is in JSON is of no account for finding a member of the outer object.
_TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]', re.DOTALL)
_COLON: Final = re.compile(rb"\s*:\s*")

# What `translation.allow_native` calls the ids of uploaded files: they stand in blocks, not in a field of their own.
FILE_IDS: Final = "file_ids"
_FILE_ID: Final = b"file_id"
# The letters of that name as escapes begin like this: no encoder writes them so, but a parser reads them.
_ESCAPED_LETTERS: Final = (b"\\u005", b"\\u006")

_BRACE: Final = ord("{")
_NULL: Final = Raw(b"null")
_T = TypeVar("_T")


class _Body(msgspec.Struct):
    model: ModelName
    stream: bool | None = None
    tools: Raw = _NULL
    system: Raw = _NULL
    messages: Raw = _NULL


class _History(msgspec.Struct):
    system: Raw = _NULL
    messages: Raw = _NULL


class _Block(msgspec.Struct):
    """A message, a block or a source, as far as an id of a file can be in it."""

    type: Raw = _NULL
    source: Raw = _NULL
    content: Raw = _NULL


_BODY_DECODER: Final = msgspec.json.Decoder(_Body)
_KEY_DECODER: Final = msgspec.json.Decoder(str)
_HISTORY_DECODER: Final = msgspec.json.Decoder(_History)
_BLOCK_DECODER: Final = msgspec.json.Decoder(_Block)
_LIST_DECODER: Final = msgspec.json.Decoder(list[Raw])


@dataclass(frozen=True, slots=True)
class Asked:
    """What the gateway has to know of a native body; `prefix` is the same for all that begin alike."""

    model: str
    streams: bool
    prefix: bytes | None = None


@dataclass(frozen=True, slots=True)
class NativeRequest:
    """A native request as it goes upstream; the same for every host."""

    body: bytes
    streams: bool = False
    version: str = DEFAULT_VERSION
    betas: tuple[str, ...] = ()
    adjusted: str | None = None


def read_native(body: bytes) -> Asked:
    """What a body asks for; `TranslationError` unless it is a JSON object with a text for `model`."""
    body = checked_body(body)
    read = decode(_BODY_DECODER, body)
    prefix = messages_prefix(read.model, read.tools, read.system, read.messages)
    return Asked(read.model, bool(read.stream), prefix)


def place_of_file_id(body: bytes) -> str | None:
    """Where a body that `read_native` has accepted names an uploaded file; None where it does not.

    Only blocks count: a tool may well have an argument of that name. Nearly every body is told by a search for it.
    Raises `TranslationError` where it hangs on a name that stands there twice.
    """
    # What is rarer is looked for first: nothing is as quick to search as a single byte.
    may_be_escaped = b"\\" in body and b"\\u00" in body and any(letter in body for letter in _ESCAPED_LETTERS)
    if _FILE_ID not in body and not may_be_escaped:
        return None
    try:
        history = _HISTORY_DECODER.decode(body)
        lists = [(history.messages, "messages"), (history.system, "system")]
        while lists:
            items, path = lists.pop()
            for place, item in _items(items, path):
                if (block := _read(_BLOCK_DECODER, item)) is None:
                    continue
                each_once(OBJECT.read(item, place), place)
                source = _Block()
                if (found := _read(_BLOCK_DECODER, block.source)) is not None:
                    each_once(OBJECT.read(block.source, f"{place}.source"), f"{place}.source")
                    source = found
                if _is(block.type, "container_upload"):
                    return f"{place}.file_id"
                if _is(source.type, "file"):
                    return f"{place}.source.file_id"
                # Results of tools hold blocks, and so do documents that are made of them.
                lists += [(block.content, f"{place}.content"), (source.content, f"{place}.source.content")]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TranslationError(f"The body is not valid JSON: {error}") from error
    return None


def with_model(body: bytes, model: str) -> bytes:
    """The bytes of a body that `read_native` has accepted, with another `model` and nothing else changed."""
    start, end = _model_span(body)
    changed = b"".join((body[:start], orjson.dumps(model), body[end:]))
    if decode(_BODY_DECODER, changed).model != model:
        # Of two members with one name it is the last that counts, and nobody means that.
        raise TranslationError("The body has several members named 'model'.", param="model")
    return changed


def _model_span(body: bytes) -> tuple[int, int]:
    """Where the value of the outer object's first `model` stands, its quotes included."""
    depth = 0
    for token in _TOKEN.finditer(body):
        text = token[0]
        if text in b"{[":
            depth += 1
        elif text in b"}]":
            depth -= 1
        elif depth == 1 and (colon := _COLON.match(body, token.end())) and _KEY_DECODER.decode(text) == "model":
            value = _TOKEN.match(body, colon.end())
            assert value is not None, "read_native has seen that it is a text"
            return value.span()
    raise AssertionError("read_native has seen a model")


def _items(content: Raw, path: str) -> Iterator[tuple[str, Raw]]:
    """What stands in a content, each with its place: results of Anthropic's own tools are no list, but one object."""
    if memoryview(content)[0] == _BRACE:
        yield path, content
    for index, item in enumerate(_read(_LIST_DECODER, content) or []):
        yield f"{path}.{index}", item


def _read(decoder: Decoder[_T], raw: Raw) -> _T | None:
    """The value, or None where it is of another type: whether it may be is upstream's to say."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError:
        return None


def _is(raw: Raw, text: str) -> bool:
    return _read(_KEY_DECODER, raw) == text
