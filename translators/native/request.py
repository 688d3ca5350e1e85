"""A native request: its model and whether it streams are read, the rest goes on as the bytes that came."""

import re
from dataclasses import dataclass
from typing import Final

import msgspec
import orjson

from translators.errors import TranslationError
from translators.hosts import SAMPLING_VERSION
from translators.reading import checked_body, decode

# Upstream refuses a request without a version; whoever sends none was written before there was a choice.
DEFAULT_VERSION: Final = SAMPLING_VERSION

# Strings and brackets: whatever else there is in JSON is of no account for finding a member of the outer object.
_TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]', re.DOTALL)
_COLON: Final = re.compile(rb"\s*:\s*")


class _Body(msgspec.Struct):
    model: str
    stream: bool | None = None


_BODY_DECODER: Final = msgspec.json.Decoder(_Body)
_KEY_DECODER: Final = msgspec.json.Decoder(str)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the gateway has to know of a native body."""

    model: str
    streams: bool


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
    return Asked(read.model, bool(read.stream))


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
