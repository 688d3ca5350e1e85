"""Reads a chat-completions request from the caller's bytes, once."""

from collections.abc import Generator
from typing import Final

import msgspec

from translators.errors import TranslationError
from translators.limits import (
    MAX_MESSAGES,
    MAX_METADATA_BYTES,
    MAX_TOOLS,
    MAX_VALUES,
    check_length,
    too_many_values,
    too_much_metadata,
)
from translators.messages.native_shapes import may_have_native_shapes, read_native_shapes
from translators.other_bodies import mistaken_body
from translators.reading import check_in_steps, checked_body, decode, is_null
from translators.steps import in_one_go
from translators.unknown import unknown_in_steps
from translators.weight import values_in_steps
from translators.wire.chat import ECHOING_REQUEST_DECODER, KNOWN_REQUEST_DECODER, REQUEST_DECODER, ChatRequest
from translators.wire.raw import NULL, OBJECT_DECODER

# A body that is no larger cannot hold so many values that reading it takes long.
_WEIGHED_BYTES: Final = 2**20


def read_request(body: bytes) -> ChatRequest:
    """The caller's request, in one go; raises `TranslationError` with the `param` that is wrong."""
    body = checked_body(body)
    request = _read_known(body) or in_one_go(_read_again(body))
    if may_have_native_shapes(request):
        in_one_go(read_native_shapes(request))
    return request


def read_in_steps(body: bytes) -> Generator[None, None, ChatRequest]:
    """What `read_request` gives, in steps.

    The longest is the JSON decoder's: about 1 ms for 1 MB of short texts, 25 ms for as many values as are allowed.
    """
    if not body.isascii():
        yield from check_in_steps(body)
    if len(body) > _WEIGHED_BYTES and (yield from values_in_steps(body, MAX_VALUES)) > MAX_VALUES:
        raise too_many_values(None, MAX_VALUES)
    yield
    request = _read_known(body)
    if request is None:
        yield
        request = yield from _read_again(body)
    yield
    if may_have_native_shapes(request):
        yield from read_native_shapes(request)
    return request


def _read_known(body: bytes) -> ChatRequest | None:
    """The request; None where something is wrong with it, or a field known to nobody here."""
    try:
        known = KNOWN_REQUEST_DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    _check_sizes(known)
    known.unknown_fields, known.places, known.joined_tools = 0, None, None
    return known


def _read_again(body: bytes) -> Generator[None, None, ChatRequest]:
    """Tell the mistake, or count the fields that nobody here knows."""
    request: ChatRequest | None
    try:
        request = ECHOING_REQUEST_DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        request = None
    yield
    if request is not None:
        _check_sizes(request)
        request.unknown_fields, request.places, request.joined_tools = 0, None, None
        return request
    request = _decoded(body)
    _check_sizes(request)
    yield
    request.unknown_fields, request.places, request.joined_tools = (yield from unknown_in_steps(body)), None, None
    return request


def _decoded(body: bytes) -> ChatRequest:
    try:
        return decode(REQUEST_DECODER, body)
    except TranslationError as error:
        if error.failure.param != "messages":
            raise
        # Without a list of messages it may be another endpoint's.
        fields = decode(OBJECT_DECODER, body)
        if not is_null(fields.get("messages", NULL)):
            raise
        raise mistaken_body(fields.keys(), wanted="messages") or error from error


def _check_sizes(request: ChatRequest) -> None:
    """Refuse what is too long before anything goes through it."""
    if len(request.messages) > MAX_MESSAGES:
        check_length(request.messages, MAX_MESSAGES, "messages")
    if len(request.metadata) > MAX_METADATA_BYTES:
        raise too_much_metadata(request.metadata)
    if request.tools:
        check_length(request.tools, MAX_TOOLS, "tools")
    if request.functions:
        check_length(request.functions, MAX_TOOLS, "functions")
