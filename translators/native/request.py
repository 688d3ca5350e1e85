"""A native request: its model and whether it streams are read, the rest goes on as the bytes that came."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec
import orjson
from msgspec import Raw

from translators.errors import TranslationError
from translators.hosts import SAMPLING_VERSION
from translators.prefixes import messages_prefix
from translators.reading import Decoder, check_in_steps, checked_body, decode, is_null
from translators.steps import in_one_go
from translators.structure import Members, check_values

# Upstream refuses a request without a version; whoever sends none was written before there was a choice.
DEFAULT_VERSION: Final = SAMPLING_VERSION

# What costs more, reaches out, or belongs to one workspace, as `translation.allow_native` has it.
RESTRICTED: Final = ("speed", "inference_geo", "mcp_servers", "container")

# What the same list calls the ids of uploaded files: they stand in blocks, not in a field of their own.
FILE_IDS: Final = "file_ids"
_FILE_ID: Final = b"file_id"
# The letters of that name as escapes begin like this: no encoder writes them so, but a parser reads them.
_ESCAPED_LETTERS: Final = (b"\\u005", b"\\u006")
# Upstream takes 100,000 messages; a tool's result inside of one, a document there and an image in that are the deepest
# it knows.
MAX_BLOCKS: Final = 250_000
MAX_DEPTH: Final = 8

_BRACKET: Final = ord("[")
_NULL: Final = Raw(b"null")
_T = TypeVar("_T")


class _Body(msgspec.Struct):
    model: str
    stream: bool | None = None
    speed: Raw = _NULL
    inference_geo: Raw = _NULL
    mcp_servers: Raw = _NULL
    container: Raw = _NULL
    tools: Raw = _NULL
    system: Raw = _NULL
    messages: Raw = _NULL


class _History(msgspec.Struct):
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
    restricted: tuple[str, ...] = ()
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
    return _read_fields(checked_body(body))


def read_native_in_steps(body: bytes) -> Generator[None, None, Asked]:
    """What `read_native` gives, in steps; a body that is costly to read is refused."""
    if not body.isascii():
        yield from check_in_steps(body)
    yield from check_values(body)
    return _read_fields(body)


def _read_fields(body: bytes) -> Asked:
    read = decode(_BODY_DECODER, body)
    restricted = tuple(name for name in RESTRICTED if not is_null(getattr(read, name)))
    prefix = messages_prefix(read.model, read.tools, read.system, read.messages)
    return Asked(read.model, bool(read.stream), restricted, prefix)


def check_restricted(asked: Asked, body: bytes, allowed: frozenset[str]) -> None:
    """Raises `TranslationError` for a restricted field, or the id of a file, that is not among what is allowed."""
    in_one_go(check_restricted_in_steps(asked, body, allowed))


def check_restricted_in_steps(asked: Asked, body: bytes, allowed: frozenset[str]) -> Generator[None, None, None]:
    """What `check_restricted` does, in steps."""
    for name in asked.restricted:
        if name not in allowed:
            raise _not_allowed(name)
    if FILE_IDS not in allowed and (place := (yield from _place_of_file_id(body))) is not None:
        raise _not_allowed(place)


def place_of_file_id(body: bytes) -> str | None:
    """Where a body that `read_native` has accepted names an uploaded file; None where it does not.

    Only blocks count: a tool may well have an argument of that name. Nearly every body is told by a search for it.
    """
    return in_one_go(_place_of_file_id(body))


def _place_of_file_id(body: bytes) -> Generator[None, None, str | None]:
    # What is rarer is looked for first: nothing is as quick to search as a single byte.
    may_be_escaped = b"\\" in body and b"\\u00" in body and any(letter in body for letter in _ESCAPED_LETTERS)
    if _FILE_ID not in body and not may_be_escaped:
        return None
    try:
        yield
        return (yield from _Search(may_be_escaped).place_in(_HISTORY_DECODER.decode(body).messages, "messages"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TranslationError(f"The body is not valid JSON: {error}") from error


class _Search:
    """The search for a block that names an uploaded file, through lists of messages and of blocks."""

    def __init__(self, may_be_escaped: bool) -> None:
        self._may_be_escaped = may_be_escaped
        self._blocks = 0

    def place_in(self, items: Raw, path: str, depth: int = 1) -> Generator[None, None, str | None]:
        """Where one stands in a list, if it is a list, and in the lists inside of it."""
        if memoryview(items)[0] != _BRACKET:
            return None
        if depth > MAX_DEPTH:
            # Each level is read once more.
            raise TranslationError("messages: content is nested too deeply.", param="messages")
        for index, item in enumerate(_LIST_DECODER.decode(items)):
            yield
            self._count()
            if self._may_name_file(item) and (block := _read(_BLOCK_DECODER, item)) is not None:
                place = f"{path}.{index}"
                source = _read(_BLOCK_DECODER, block.source) or _Block()
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


def _not_allowed(place: str) -> TranslationError:
    return TranslationError(f"{place}: not allowed with the gateway's own keys.", param=place)


def _read(decoder: Decoder[_T], raw: Raw) -> _T | None:
    """The value, or None where it is of another type: whether it may be is upstream's to say."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError:
        return None


def _is(raw: Raw, text: str) -> bool:
    return _read(_KEY_DECODER, raw) == text
