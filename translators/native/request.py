"""A native request: its model and whether it streams are read, the rest goes on as the bytes that came."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec
import orjson
from msgspec import Raw

from translators.errors import TranslationError
from translators.hosts import SAMPLING_VERSION
from translators.members import OBJECT, Members, each_once
from translators.native.sessions import session_of
from translators.prefixes import messages_prefix
from translators.reading import Decoder, check_in_steps, checked_body, decode, is_null
from translators.steps import in_one_go
from translators.structure import check_values
from translators.wire.chat import ModelName

# Upstream refuses a request without a version; whoever sends none was written before there was a choice.
DEFAULT_VERSION: Final = SAMPLING_VERSION

# What `translation.allow_native` calls the ids of uploaded files: they stand in blocks, not in a field of their own.
FILE_IDS: Final = "file_ids"
_FILE_ID: Final = b"file_id"
# The letters of that name as escapes begin like this: no encoder writes them so, but a parser reads them.
_ESCAPED_LETTERS: Final = (b"\\u005", b"\\u006")
# Upstream takes 100,000 messages; a tool's result inside of one, a document there and an image in that are the deepest
# it knows.
MAX_BLOCKS: Final = 250_000
MAX_DEPTH: Final = 8

_BRACE: Final = ord("{")
_BRACKETS: Final = b"[{"
_NULL: Final = Raw(b"null")
_T = TypeVar("_T")


class _Body(msgspec.Struct):
    model: ModelName
    stream: bool | None = None
    tools: Raw = _NULL
    system: Raw = _NULL
    messages: Raw = _NULL
    metadata: Raw = _NULL
    thread: Raw = _NULL


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
    """What the gateway has to know of a native body; `prefix` is the same for all that begin alike.

    `session` is what the body itself says that it is part of, `thread` the field of that name as it stands.
    """

    model: str
    streams: bool
    prefix: bytes | None = None
    session: str | None = None
    thread: bytes | None = None


@dataclass(frozen=True, slots=True)
class NativeRequest:
    """A native request as it goes upstream; the same for every host.

    `left_out` says why no thinking goes with it that came before some point of its history; "" where all of it does.
    """

    body: bytes
    streams: bool = False
    version: str = DEFAULT_VERSION
    betas: tuple[str, ...] = ()
    adjusted: str | None = None
    left_out: str = ""


def read_native(body: bytes) -> Asked:
    """What a body asks for; `TranslationError` unless it is a JSON object with a text for `model`."""
    return _read_fields(checked_body(body))


def read_native_in_steps(body: bytes) -> Generator[None, None, Asked]:
    """What `read_native` gives, in steps; a body that is costly to read is refused."""
    if not body.isascii():
        yield from check_in_steps(body)
    yield from check_values(body)
    return _read_fields(body)


def _read_fields(body: bytes) -> Asked:
    read = decode(_BODY_DECODER, body)
    prefix = messages_prefix(read.model, read.tools, read.system, read.messages)
    session = None if read.metadata is _NULL else session_of(read.metadata)
    # A copy: what is taken out of a body holds all of it.
    thread = None if read.thread is _NULL or is_null(read.thread) else bytes(read.thread)
    return Asked(read.model, bool(read.stream), prefix, session, thread)


def place_of_file_id(body: bytes) -> str | None:
    """Where a body that `read_native` has accepted names an uploaded file; None where it does not.

    Only blocks count: a tool may well have an argument of that name. Nearly every body is told by a search for it.
    Raises `TranslationError` where it hangs on a name that stands there twice.
    """
    return in_one_go(place_of_file_id_in_steps(body))


def place_of_file_id_in_steps(body: bytes) -> Generator[None, None, str | None]:
    """What `place_of_file_id` gives, in steps."""
    # What is rarer is looked for first: nothing is as quick to search as a single byte.
    may_be_escaped = b"\\" in body and b"\\u00" in body and any(letter in body for letter in _ESCAPED_LETTERS)
    if _FILE_ID not in body and not may_be_escaped:
        return None
    try:
        yield
        history, search = _HISTORY_DECODER.decode(body), _Search(may_be_escaped)
        for content, path in ((history.messages, "messages"), (history.system, "system")):
            if (place := (yield from search.place_in(content, path))) is not None:
                return place
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TranslationError(f"The body is not valid JSON: {error}") from error
    return None


class _Search:
    """The search for a block that names an uploaded file, through lists of messages and of blocks."""

    def __init__(self, may_be_escaped: bool) -> None:
        self._may_be_escaped = may_be_escaped
        self._blocks = 0

    def place_in(self, content: Raw, path: str, depth: int = 1) -> Generator[None, None, str | None]:
        """Where one stands in a content, and in the contents inside of it."""
        if memoryview(content)[0] not in _BRACKETS:
            return None
        if depth > MAX_DEPTH:
            # Each level is read once more.
            raise TranslationError("messages: content is nested too deeply.", param="messages")
        for place, item in _items(content, path):
            yield
            self._count()
            if not self._may_name_file(item):
                continue
            # An item may be nearly the whole body, and each time that it is read takes a turn.
            yield
            if (block := _read(_BLOCK_DECODER, item)) is None:
                continue
            yield
            each_once(OBJECT.read(item, place), place)
            yield
            source = _source_of(block, f"{place}.source")
            if _is(block.type, "container_upload"):
                return f"{place}.file_id"
            if _is(source.type, "file"):
                return f"{place}.source.file_id"
            # Results of tools hold blocks, and so do documents that are made of them.
            for inner, name in ((block.content, "content"), (source.content, "source.content")):
                if (found := (yield from self.place_in(inner, f"{place}.{name}", depth + 1))) is not None:
                    return found
        return None

    def _may_name_file(self, item: Raw) -> bool:
        return self._may_be_escaped or _FILE_ID in bytes(item)

    def _count(self) -> None:
        self._blocks += 1
        if self._blocks > MAX_BLOCKS:
            message = f"messages: more than {MAX_BLOCKS} messages and content blocks."
            raise TranslationError(message, param="messages")


def _items(content: Raw, path: str) -> Iterator[tuple[str, Raw]]:
    """What stands in a content, each with its place: results of Anthropic's own tools are no list, but one object."""
    if memoryview(content)[0] == _BRACE:
        yield path, content
        return
    for index, item in enumerate(_LIST_DECODER.decode(content)):
        yield f"{path}.{index}", item


def _source_of(block: _Block, place: str) -> _Block:
    """What a block has its content from; an empty one where that is no object."""
    source = _read(_BLOCK_DECODER, block.source)
    if source is None:
        return _Block()
    each_once(OBJECT.read(block.source, place), place)
    return source


def with_model(body: bytes, model: str) -> bytes:
    """The bytes of a body that `read_native` has accepted, with another `model` and nothing else changed."""
    return in_one_go(with_model_in_steps(body, model))


def with_model_in_steps(body: bytes, model: str) -> Generator[None, None, bytes]:
    """What `with_model` gives, in steps."""
    members = Members(body)
    yield
    if members.names.count("model") > 1:
        # Of two members with one name it is the last that counts, and nobody means that.
        raise TranslationError("The body has several members named 'model'.", param="model")
    start, end = members.span("model")
    return b"".join((body[:start], orjson.dumps(model), body[end:]))


def _read(decoder: Decoder[_T], raw: Raw) -> _T | None:
    """The value, or None where it is of another type: whether it may be is upstream's to say."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError:
        return None


def _is(raw: Raw, text: str) -> bool:
    return _read(_KEY_DECODER, raw) == text
