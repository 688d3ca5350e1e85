"""Server-sent events: bytes to events, incremental, linear in time and bounded in memory.

The rules are those of the HTML standard, section "Interpreting an event stream": lines end with LF, CR LF or CR,
comments start with a colon, an event without data is dropped, several data lines are joined with LF.
"""

from typing import NamedTuple

DEFAULT_MAX_EVENT_BYTES = 32 * 1024 * 1024
DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"

_BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One dispatched event: its name (empty when it had none) and its data."""

    name: bytes
    data: bytes


class EventTooLargeError(ValueError):
    """An event grew beyond the bound; whoever sends such a thing does not speak the protocol."""


class EventDecoder:
    """Cuts a byte stream into events, whatever pieces it comes in.

    Each byte is looked at once: an unfinished line is kept in pieces and joined when its end arrives.
    """

    __slots__ = ("_after_cr", "_at_start", "_data", "_data_size", "_line", "_line_size", "_max_event_bytes", "_name")

    def __init__(self, max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._line: list[bytes] = []
        self._line_size = 0
        self._name = b""
        self._data: list[bytes] = []
        self._data_size = 0
        self._after_cr = False
        self._at_start = True

    @property
    def is_between_events(self) -> bool:
        """Whether the next byte begins an event, or a line that belongs to none."""
        return not (self._line or self._data or self._name or self._after_cr or self._at_start)

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete, in order; `EventTooLargeError` beyond the bound."""
        if self._after_cr and data:
            # The CR at the end of the last read has already ended its line: an LF now belongs to it.
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if not data:
            return []
        lines = data.splitlines()
        self._after_cr = data.endswith(b"\r")
        rest = b"" if data.endswith((b"\n", b"\r")) else lines.pop()
        events: list[Event] = []
        for line in lines:
            self._take_line(line, events)
        if rest:
            self._line.append(rest)
            self._line_size += len(rest)
            self._check_size()
        return events

    def end(self) -> list[Event]:
        """The event that was complete but for its last line end when the body ended.

        The standard drops it. Recorded bodies end like this, though, and whether what is there is whole
        can be told by its JSON: that is the reader's to say.
        """
        events: list[Event] = []
        self._take_line(b"", events)
        if self._data:
            self._dispatch(events)
        return events

    def _take_line(self, line: bytes, events: list[Event]) -> None:
        if self._line:
            self._line.append(line)
            line = b"".join(self._line)
            self._line.clear()
            self._line_size = 0
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if not line:
            self._dispatch(events)
            return
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
            # An empty line is kept too, as the line feed it will become.
            self._data_size += len(value) + 1
            self._check_size()
        elif field == b"event":
            self._name = value.removeprefix(b" ")

    def _dispatch(self, events: list[Event]) -> None:
        if self._data:
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            events.append(Event(self._name, data))
            self._data.clear()
            self._data_size = 0
        self._name = b""

    def _check_size(self) -> None:
        if self._line_size + self._data_size > self._max_event_bytes:
            raise EventTooLargeError(f"An event is larger than {self._max_event_bytes} bytes.")
