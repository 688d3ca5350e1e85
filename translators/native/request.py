"""A native request: its model and whether it streams are read, the rest goes on as the bytes that came."""

import re
from dataclasses import dataclass
from typing import Final

import msgspec
import orjson

from translators.errors import TranslationError
from translators.hosts import SAMPLING_VERSION
from translators.reading import checked_body, decode, is_null

# Upstream refuses a request without a version; whoever sends none was written before there was a choice.
DEFAULT_VERSION: Final = SAMPLING_VERSION

# Strings and brackets: whatever else there is in JSON is of no account for finding a member of the outer object.
_TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]', re.DOTALL)
_COLON: Final = re.compile(rb"\s*:\s*")

# What costs more, reaches out, or belongs to one workspace, as `translation.allow_native` has it.
RESTRICTED: Final = ("speed", "inference_geo", "mcp_servers", "container")

_NULL: Final = msgspec.Raw(b"null")


class _Body(msgspec.Struct):
    model: str
    stream: bool | None = None
    speed: msgspec.Raw = _NULL
    inference_geo: msgspec.Raw = _NULL
    mcp_servers: msgspec.Raw = _NULL
    container: msgspec.Raw = _NULL


_BODY_DECODER: Final = msgspec.json.Decoder(_Body)
_KEY_DECODER: Final = msgspec.json.Decoder(str)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the gateway has to know of a native body."""

    model: str
    streams: bool
    restricted: tuple[str, ...] = ()


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
    restricted = tuple(name for name in RESTRICTED if not is_null(getattr(read, name)))
    return Asked(read.model, bool(read.stream), restricted)


def check_restricted(asked: Asked, allowed: frozenset[str]) -> None:
    """Raises `TranslationError` for a restricted field that is not among the allowed ones."""
    for name in asked.restricted:
        if name not in allowed:
            raise TranslationError(f"{name}: not allowed with the gateway's own keys.", param=name)


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
