"""Messages events out of upstream's bytes: patient with what is new, strict with what is broken."""

from collections.abc import Callable, Iterator

import msgspec

from translators.sse import DEFAULT_MAX_EVENT_BYTES, Event, EventDecoder, EventTooLargeError
from translators.wire.messages import (
    ANY_EVENT_DECODER,
    EVENT_DECODER,
    KNOWN_EVENTS,
    ErrorEvent,
    ErrorObject,
    StreamEvent,
)


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
                return ErrorEvent(ErrorObject(message=event.data.decode("utf-8", "replace")))
            raise MalformedEventError(f"Upstream sent an event that cannot be read: {error}") from error
        if event_type in KNOWN_EVENTS:
            raise MalformedEventError(f"Upstream sent a {event_type} event that cannot be read: {error}") from error
        self.unknown_events += 1
        return None
