"""Reads a chat-completions request from the caller's bytes, once."""

from collections.abc import Generator
from typing import Final

import msgspec
from msgspec import UNSET, Struct

from translators.chat.intent import intent_of
from translators.chat.unknown import unknown_in_steps
from translators.errors import TranslationError
from translators.intent import Intent
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
from translators.weight import values_in_steps
from translators.wire.chat import ECHOING_REQUEST_DECODER, KNOWN_REQUEST_DECODER, REQUEST_DECODER, ChatRequest
from translators.wire.raw import NULL, OBJECT_DECODER

# A body that is no larger cannot hold so many values that reading it takes long.
_WEIGHED_BYTES: Final = 2**20


class ChatTask(Struct, frozen=True):
    """A request, read: what is wanted, of which model (the caller's name), how many times; and what only this API has.

    `metadata` is the caller's JSON, None for none.
    """

    intent: Intent
    model: str
    choices: int = 1
    include_usage: bool = False
    metadata: str | None = None


def read_request(body: bytes, max_choices: int) -> ChatTask:
    """The caller's request, in one go; raises `TranslationError` with the `param` that is wrong."""
    body = checked_body(body)
    read = _read_known(body)
    request, unknown = (read, 0) if read is not None else in_one_go(_read_again(body))
    intent = intent_of(request, unknown)
    if _speaks_anthropics(request) or may_have_native_shapes(intent):
        in_one_go(read_native_shapes(intent, request.system))
    return _task(request, intent, max_choices)


def read_in_steps(body: bytes, max_choices: int) -> Generator[None, None, ChatTask]:
    """What `read_request` gives, in steps.

    The longest is the JSON decoder's: about 1 ms for 1 MB of short texts, 25 ms for as many values as are allowed.
    """
    if not body.isascii():
        yield from check_in_steps(body)
    if len(body) > _WEIGHED_BYTES and (yield from values_in_steps(body, MAX_VALUES)) > MAX_VALUES:
        raise too_many_values(None, MAX_VALUES)
    yield
    request, unknown = _read_known(body), 0
    if request is None:
        yield
        request, unknown = yield from _read_again(body)
    yield
    intent = intent_of(request, unknown)
    if _speaks_anthropics(request) or may_have_native_shapes(intent):
        yield from read_native_shapes(intent, request.system)
    return _task(request, intent, max_choices)


def _speaks_anthropics(request: ChatRequest) -> bool:
    """Whether a request has fields that come with Anthropic's shapes in contents."""
    return request.system is not UNSET or request.stop_sequences is not None


def _task(request: ChatRequest, intent: Intent, max_choices: int) -> ChatTask:
    """The task; what cannot be answered at all is refused, whatever the operator wants."""
    choices = 1 if request.n is None else request.n
    if not 1 <= choices <= max_choices:
        raise TranslationError(
            f"Invalid 'n': expected a number of choices from 1 to {max_choices}, but got {choices} instead.",
            param="n",
            code="integer_above_max_value" if choices > 1 else "integer_below_min_value",
        )
    if "audio" in (request.modalities or ()):
        raise TranslationError("Claude neither hears nor speaks.", param="modalities", code="unsupported_value")
    options = request.stream_options
    metadata = None if is_null(request.metadata) else bytes(request.metadata).decode()
    return ChatTask(intent, request.model, choices, bool(options and options.include_usage), metadata)


def _read_known(body: bytes) -> ChatRequest | None:
    """The request; None where something is wrong with it, or a field known to nobody here."""
    try:
        known = KNOWN_REQUEST_DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    _check_sizes(known)
    return known


def _read_again(body: bytes) -> Generator[None, None, tuple[ChatRequest, int]]:
    """Tell the mistake, or count the fields that nobody here knows: the request, and how many there are."""
    request: ChatRequest | None
    try:
        request = ECHOING_REQUEST_DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        request = None
    yield
    if request is not None:
        _check_sizes(request)
        return request, 0
    request = _decoded(body)
    _check_sizes(request)
    yield
    return request, (yield from unknown_in_steps(body))


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
