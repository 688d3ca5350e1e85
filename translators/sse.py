"""Server-sent events: bytes to events, incremental, linear in time and bounded in memory.

The rules are those of the HTML standard, section "Interpreting an event stream": lines end with LF, CR LF or CR,
comments start with a colon, an event without data is dropped, several data lines are joined with LF.
"""

from typing import NamedTuple

DEFAULT_MAX_EVENT_BYTES = 32 * 1024 * 1024
DONE = b"data: [DONE]\n\n"

_BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One dispatched event: its name (empty if it had none) and its data."""

    name: bytes
    data: bytes


class EventTooLargeError(ValueError):
    """An event exceeded the size limit, so the sender does not speak the protocol."""


class EventDecoder:
    """Splits a byte stream into events, however it is divided into pieces.

    Each byte is processed once, and an unfinished event takes no more memory than its bytes, even if it arrives one
    byte at a time.
    """

    __slots__ = ("_after_cr", "_at_start", "_data", "_line", "_max_event_bytes", "_more_data", "_name")

    def __init__(self, max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._line = bytearray()
        self._name = b""
        # The first data line, usually the only one, and any further ones.
        self._data: bytes | None = None
        self._more_data = bytearray()
        self._after_cr = False
        self._at_start = True

    @property
    def is_between_events(self) -> bool:
        """Whether the next byte begins an event, or a line that belongs to none."""
        return not (self._line or self._data is not None or self._name or self._after_cr or self._at_start)

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete, in order; raises `EventTooLargeError` beyond the size limit."""
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
            self._line += rest
            self._check_size()
        return events

    def end(self) -> list[Event]:
        """The event that was complete except for its last line end when the body ended.

        The standard drops it, but recorded bodies end like this. Its JSON shows whether it is complete, which is for
        the reader to check.
        """
        events: list[Event] = []
        self._take_line(b"", events)
        if self._data is not None:
            self._dispatch(events)
        return events

    def _take_line(self, line: bytes, events: list[Event]) -> None:
        if self._line:
            self._line += line
            line = bytes(self._line)
            self._line.clear()
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if not line:
            self._dispatch(events)
            return
        field, _, value = line.partition(b":")
        if field == b"data":
            value = value.removeprefix(b" ")
            if self._data is None:
                self._data = value
            else:
                self._more_data += b"\n" + value
            self._check_size()
        elif field == b"event":
            self._name = value.removeprefix(b" ")

    def _dispatch(self, events: list[Event]) -> None:
        if self._data is not None:
            events.append(Event(self._name, self._data + self._more_data if self._more_data else self._data))
            self._data = None
            self._more_data.clear()
        self._name = b""

    def _check_size(self) -> None:
        if len(self._line) + len(self._data or b"") + len(self._more_data) > self._max_event_bytes:
            raise EventTooLargeError(f"An event is larger than {self._max_event_bytes} bytes.")
