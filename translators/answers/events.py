"""Parses upstream's bytes into Messages events: unknown events are skipped, malformed ones raise an error."""

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from translators.errors import json_problem
from translators.sse import DEFAULT_MAX_EVENT_BYTES, Event, EventDecoder, EventTooLargeError
from translators.structure import MAX_SEPARATORS, separators
from translators.wire.messages import (
    ANY_EVENT_DECODER,
    EVENT_DECODER,
    KNOWN_EVENTS,
    ErrorEvent,
    ErrorObject,
    StreamEvent,
)

# Larger events are checked before they are parsed.
_LARGE_BYTES: Final = 64 * 1024
# The maximum length of an error that is not JSON.
_MAX_MESSAGE_BYTES: Final = 16 * 1024


class _Kind(msgspec.Struct):
    type: str = ""
    delta: "_Kind | None" = None


_KIND_DECODER: Final = msgspec.json.Decoder(_Kind)


class MalformedEventError(ValueError):
    """Upstream sent something that is not a Messages event."""


class EventReader:
    """Reads typed events from pieces of a stream; events of unknown types are counted and skipped.

    `observe` is called with the whole data of each valid event.
    """

    __slots__ = ("_decoder", "_observe", "unknown_events")

    def __init__(
        self, max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES, *, observe: Callable[[bytes], None] | None = None
    ) -> None:
        self._decoder = EventDecoder(max_event_bytes)
        self._observe = observe
        self.unknown_events = 0

    @property
    def is_between_events(self) -> bool:
        """Whether no part of another event has arrived."""
        return self._decoder.is_between_events

    def feed(self, data: bytes) -> Iterator[StreamEvent]:
        """The events that these bytes complete; raises `MalformedEventError` if one is invalid."""
        try:
            events = self._decoder.feed(data)
        except EventTooLargeError as error:
            raise MalformedEventError(str(error)) from error
        for event in events:
            if (known := self._read(event)) is not None:
                yield known

    def end(self) -> Iterator[StreamEvent]:
        """The last event, if only its line end was missing; an incomplete event is dropped."""
        for event in self._decoder.end():
            try:
                known = self._read(event)
            except MalformedEventError:
                return
            if known is not None:
                yield known

    def _read(self, event: Event) -> StreamEvent | None:
        if len(event.data) > _LARGE_BYTES:
            _check_large(event.data)
        try:
            if not event.data.isascii():
                # The JSON decoder does not validate raw slices; a client must never receive invalid UTF-8.
                event.data.decode()
            known = EVENT_DECODER.decode(event.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return self._read_unusual(event, error)
        if self._observe is not None:
            self._observe(event.data)
        return known

    def _read_unusual(self, event: Event, error: Exception) -> StreamEvent | None:
        """Skip an event of an unknown type; accept an error that is not JSON; raise for anything else."""
        try:
            event_type = ANY_EVENT_DECODER.decode(event.data).type
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if event.name == b"error":
                return ErrorEvent(ErrorObject(message=event.data[:_MAX_MESSAGE_BYTES].decode("utf-8", "replace")))
            raise MalformedEventError(f"Upstream sent an event that cannot be read: {json_problem(error)}") from error
        if event_type in KNOWN_EVENTS:
            what = f"Upstream sent a {event_type} event that cannot be read: {json_problem(error)}"
            raise MalformedEventError(what) from error
        self.unknown_events += 1
        return None


def _check_large(data: bytes) -> None:
    """Reject events that would take many times their size when parsed; texts and files do not."""
    if separators(data) > MAX_SEPARATORS:
        raise MalformedEventError(f"Upstream sent an event with more than {MAX_SEPARATORS} values.")
    try:
        kind = _KIND_DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # The caller parses it next, and reports what is wrong.
        return
    if kind.type == "error" or (kind.delta is not None and kind.delta.type == "citations_delta"):
        raise MalformedEventError(f"Upstream sent an event of type {kind.type} larger than {_LARGE_BYTES} bytes.")
