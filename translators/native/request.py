"""A native request: only what the gateway needs is read; the rest is passed on as the same bytes."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec
import orjson
from msgspec import Raw

from translators.errors import TranslationError, json_problem
from translators.hosts import SAMPLING_VERSION
from translators.members import OBJECT, Members, each_once
from translators.message_usage import STANDARD, Terms, terms_of
from translators.native.sessions import NOBODY, names_in
from translators.prefixes import messages_prefix
from translators.reading import Decoder, check_in_steps, checked_body, decode, is_null
from translators.steps import in_one_go
from translators.structure import check_values
from translators.wire.shared import ModelName

# Upstream refuses a request without a version; clients that send none were written when there was only one.
DEFAULT_VERSION: Final = SAMPLING_VERSION

# The name of uploaded files' ids in `translation.allow_native`: they are in blocks, not in a field of their own.
FILE_IDS: Final = "file_ids"
_FILE_ID: Final = b"file_id"
# Escapes of that name's letters begin like this: encoders do not write them, but parsers accept them.
_ESCAPED_LETTERS: Final = (b"\\u005", b"\\u006")
# Upstream accepts 100,000 messages; the deepest nesting that it accepts is an image in a document in a tool's result.
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
    max_tokens: Raw = _NULL
    thread: Raw = _NULL
    speed: Raw = _NULL
    inference_geo: Raw = _NULL


class _History(msgspec.Struct):
    system: Raw = _NULL
    messages: Raw = _NULL


class _Block(msgspec.Struct):
    """The parts of a message, a block or a source that can contain the id of a file."""

    type: Raw = _NULL
    source: Raw = _NULL
    content: Raw = _NULL


_BODY_DECODER: Final = msgspec.json.Decoder(_Body)
_KEY_DECODER: Final = msgspec.json.Decoder(str)
_HISTORY_DECODER: Final = msgspec.json.Decoder(_History)
_BLOCK_DECODER: Final = msgspec.json.Decoder(_Block)
_LIST_DECODER: Final = msgspec.json.Decoder(list[Raw])
_NUMBER_DECODER: Final = msgspec.json.Decoder(int | None)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the gateway needs of a native body; `prefix` is the same for all bodies that begin alike.

    `session` and `user` are what the body itself names, `thread` the field of that name as it was sent. `max_tokens` is
    None if it is no number, which upstream reports. `terms` are what changes the price.
    """

    model: str
    streams: bool
    prefix: bytes | None = None
    session: str | None = None
    thread: bytes | None = None
    user: str | None = None
    max_tokens: int | None = None
    terms: Terms = STANDARD


@dataclass(frozen=True, slots=True)
class NativeRequest:
    """A native request as it is sent upstream; the same for every host.

    `left_out` says why the thinking before some point of the history is not sent; "" if all of it is.
    """

    body: bytes
    streams: bool = False
    version: str = DEFAULT_VERSION
    betas: tuple[str, ...] = ()
    adjusted: str | None = None
    left_out: str = ""
    terms: Terms = STANDARD


def read_native(body: bytes) -> Asked:
    """Read a body; raises `TranslationError` unless it is a JSON object with a string as `model`."""
    return _read_fields(checked_body(body))


def read_native_in_steps(body: bytes) -> Generator[None, None, Asked]:
    """The same, in steps; a body that is expensive to read is refused."""
    if not body.isascii():
        yield from check_in_steps(body)
    yield from check_values(body)
    return _read_fields(body)


def _read_fields(body: bytes) -> Asked:
    read = decode(_BODY_DECODER, body)
    prefix = messages_prefix(read.model, read.tools, read.system, read.messages)
    named = NOBODY if read.metadata is _NULL else names_in(read.metadata)
    # A copy, since a slice of the body would keep all of it in memory.
    thread = None if read.thread is _NULL or is_null(read.thread) else bytes(read.thread)
    is_standard = read.speed is _NULL and read.inference_geo is _NULL
    terms = STANDARD if is_standard else terms_of(read.speed, read.inference_geo)
    limit = None if read.max_tokens is _NULL else _read(_NUMBER_DECODER, read.max_tokens)
    return Asked(read.model, bool(read.stream), prefix, named.session, thread, named.user, limit, terms)


def place_of_file_id(body: bytes) -> str | None:
    """The place where a body that `read_native` has accepted names an uploaded file, or None.

    Only blocks count: a tool can have an argument of that name. For nearly every body a search for the name is enough.
    Raises `TranslationError` if the result depends on a duplicate name.
    """
    return in_one_go(place_of_file_id_in_steps(body))


def place_of_file_id_in_steps(body: bytes) -> Generator[None, None, str | None]:
    """The same, in steps."""
    # The rarest pattern first: searching for a single byte is fastest.
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
        raise TranslationError(f"The body is not valid JSON: {json_problem(error)}") from error
    return None


class _Search:
    """Searches lists of messages and blocks for a block that names an uploaded file."""

    def __init__(self, may_be_escaped: bool) -> None:
        self._may_be_escaped = may_be_escaped
        self._blocks = 0

    def place_in(self, content: Raw, path: str, depth: int = 1) -> Generator[None, None, str | None]:
        """The place of one in a content, including nested contents."""
        if memoryview(content)[0] not in _BRACKETS:
            return None
        if depth > MAX_DEPTH:
            # Each level is decoded again.
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
            # Tool results contain blocks, and so do documents that consist of blocks.
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
    """The items of a content with their places. The results of Anthropic's own tools are one object, not a list."""
    if memoryview(content)[0] == _BRACE:
        yield path, content
        return
    for index, item in enumerate(_LIST_DECODER.decode(content)):
        yield f"{path}.{index}", item


def _source_of(block: _Block, place: str) -> _Block:
    """The source of a block; an empty one if it is not an object."""
    source = _read(_BLOCK_DECODER, block.source)
    if source is None:
        return _Block()
    each_once(OBJECT.read(block.source, place), place)
    return source


def with_model(body: bytes, model: str) -> bytes:
    """The bytes of a body that `read_native` has accepted, with only `model` replaced."""
    return in_one_go(with_model_in_steps(body, model))


def with_model_in_steps(body: bytes, model: str) -> Generator[None, None, bytes]:
    """The same, in steps."""
    return with_member_in_steps(body, "model", orjson.dumps(model))


def with_max_tokens_in_steps(body: bytes, limit: int) -> Generator[None, None, bytes]:
    """The bytes of a body that has `max_tokens`, with only these replaced; in steps."""
    return with_member_in_steps(body, "max_tokens", orjson.dumps(limit))


def with_member_in_steps(body: bytes, name: str, value: bytes) -> Generator[None, None, bytes]:
    """The bytes of a body with only the value of one member replaced, in steps."""
    members = Members(body)
    yield
    if members.names.count(name) > 1:
        # Of two members with the same name the last one counts, which nobody intends.
        raise TranslationError(f"The body has several members named '{name}'.", param=name)
    start, end = members.span(name)
    return b"".join((body[:start], value, body[end:]))


def _read(decoder: Decoder[_T], raw: Raw) -> _T | None:
    """The value, or None if it has another type; upstream reports whether that is allowed."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError:
        return None


def _is(raw: Raw, text: str) -> bool:
    return _read(_KEY_DECODER, raw) == text
