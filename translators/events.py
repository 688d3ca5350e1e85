"""Messages events out of upstream's bytes: patient with what is new, strict with what is broken."""

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

# Larger events are looked at before they are read.
_LARGE_BYTES: Final = 64 * 1024
# Of an error that is no JSON so much is told.
_MAX_MESSAGE_BYTES: Final = 16 * 1024


class _Kind(msgspec.Struct):
    type: str = ""
    delta: "_Kind | None" = None


_KIND_DECODER: Final = msgspec.json.Decoder(_Kind)


class MalformedEventError(ValueError):
    """Upstream sent something that is not a Messages event."""


class EventReader:
    """Reads typed events from pieces of a stream; types that nobody knows yet are counted and passed over.

    `observe` is given the data of each event that could be read, whole.
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
        """Whether nothing of a further event has come yet."""
        return self._decoder.is_between_events

    def feed(self, data: bytes) -> Iterator[StreamEvent]:
        """The events that these bytes complete; raises `MalformedEventError` where one cannot be read."""
        try:
            events = self._decoder.feed(data)
        except EventTooLargeError as error:
            raise MalformedEventError(str(error)) from error
        for event in events:
            if (known := self._read(event)) is not None:
                yield known

    def end(self) -> Iterator[StreamEvent]:
        """The last event, where only its line end was missing; half an event is none."""
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
                # Raw slices are not looked into by the JSON decoder; a client must never get broken UTF-8.
                event.data.decode()
            known = EVENT_DECODER.decode(event.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return self._read_unusual(event, error)
        if self._observe is not None:
            self._observe(event.data)
        return known

    def _read_unusual(self, event: Event, error: Exception) -> StreamEvent | None:
        """An event of a type yet unknown is passed over; an error need not be JSON; anything else is broken."""
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
    """Refuse what would take many times its size once it is read: texts do not, nor do files."""
    if separators(data) > MAX_SEPARATORS:
        raise MalformedEventError(f"Upstream sent an event with more than {MAX_SEPARATORS} values.")
    try:
        kind = _KIND_DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # It is told below what is wrong with it, or that it is of no account.
        return
    if kind.type == "error" or (kind.delta is not None and kind.delta.type == "citations_delta"):
        raise MalformedEventError(f"Upstream sent an event of type {kind.type} larger than {_LARGE_BYTES} bytes.")
