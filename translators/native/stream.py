"""A native stream: passed on unchanged, and watched for its beginning, its end, errors and usage."""

import re
from typing import Final

import msgspec
from msgspec import Raw

from translators.errors import ErrorKind, Failure
from translators.native.answer import word_in
from translators.native.errors import NATIVE_RULES, in_upstreams_words, is_native_error, with_answer
from translators.native.made import Made
from translators.sse import DEFAULT_MAX_EVENT_BYTES, Event, EventDecoder, EventTooLargeError
from translators.upstream_errors import CUT_OFF, streamed_failure
from translators.usage import Usage
from translators.wire.messages import ANY_EVENT_DECODER, ErrorObject, UsageCounts

PING: Final = b'event: ping\ndata: {"type": "ping"}\n\n'

# The first of these events is the first content; before it another key can still take over.
_CONTENT: Final = frozenset(
    {"content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"}
)
_DELTA: Final = b"content_block_delta"
_MESSAGE_DELTA: Final = "message_delta"
_NULL: Final = Raw(b"null")
# A longer error is not passed on as upstream wrote it.
MAX_TOLD_BYTES: Final = 64 * 1024
# Two line ends in a row; CR LF counts as one.
_BLANK_LINE: Final = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
# The longest part of a blank line that can be at the end of a piece.
_SEAM_BYTES: Final = 3


class _StartedMessage(msgspec.Struct):
    id: Raw = _NULL
    model: Raw = _NULL
    usage: UsageCounts | None = None


class _Delta(msgspec.Struct):
    stop_reason: Raw = _NULL


class _Watched(msgspec.Struct):
    """What is read of any event."""

    type: str
    message: _StartedMessage | None = None
    content_block: Raw = _NULL
    usage: UsageCounts | None = None
    delta: Raw = _NULL
    error: ErrorObject | None = None


_DECODER: Final = msgspec.json.Decoder(_Watched)
_DELTA_DECODER: Final = msgspec.json.Decoder(_Delta)


class NativeStream:
    """One stream: bytes in, and the same bytes out, in whole events, held back until the first content.

    If the stream fails before that, nothing has been returned. An `error` event is returned only as `failure`, because
    what upstream says about the pool's keys must be filtered first.
    """

    # Native streams are never cut by the gateway.
    is_cut = False

    def __init__(self, max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES) -> None:
        self.usage = Usage()
        self.made = Made()
        self.failure: Failure | None = None
        self.stop_reason: str | None = None
        self.is_done = False
        self.seen_bytes = 0
        self._events = WholeEvents(max_event_bytes)
        self._decoder = EventDecoder(max_event_bytes)
        self._held = bytearray()
        self._max_held_bytes = max_event_bytes
        self._has_content = False
        self._has_passed = False

    @property
    def is_over(self) -> bool:
        return self.is_done or self.failure is not None

    def feed(self, data: bytes) -> bytes:
        """The bytes that can be sent now; afterwards `failure` and `is_done` tell the state."""
        self.seen_bytes += len(data)
        try:
            whole = self._events.feed(data)
            events = self._decoder.feed(whole)
        except EventTooLargeError as error:
            self.failure = _protocol_failure(str(error))
            return b""
        self._take_all(events)
        return self._release(whole if self.failure is None else _before_error(whole))

    def end(self) -> bytes:
        """The rest, if the body ended properly; an end without `message_stop` is a failure."""
        rest = self._events.rest()
        last = [*self._decoder.feed(rest), *self._decoder.end()]
        # Drop an incomplete event.
        self._take_all([event for event in last if _read(event) is not None])
        if self.failure is None and not self.is_done:
            self.failure = CUT_OFF
        return self._release(rest) if self.is_done else b""

    def _release(self, data: bytes) -> bytes:
        if self._has_passed:
            return data
        if self.failure is not None:
            return b""
        self._held += data
        if not self._has_content:
            if len(self._held) > self._max_held_bytes:
                self.failure = _protocol_failure(f"Upstream sent {len(self._held)} bytes before any content.")
                self._held.clear()
            return b""
        self._has_passed = True
        released = bytes(self._held)
        self._held.clear()
        return released

    def _take_all(self, events: list[Event]) -> None:
        for event in events:
            if self.failure is None and not self.is_done:
                self._take(event)

    def _take(self, event: Event) -> None:
        if self._has_passed and event.name == _DELTA:
            # Only signatures matter here, to know whose key made them.
            if self.made.is_thinking:
                self.made.take_delta(event.data)
            return
        self.seen_bytes -= len(event.data)
        watched = _read(event)
        if watched is None:
            # After content the caller gets it: the gateway cannot retry any more.
            if not self._has_passed:
                self.failure = _protocol_failure("Upstream sent an event that cannot be read.")
            return
        self._note_message(watched)
        self._has_content = self._has_content or watched.type in _CONTENT
        self._note_made(watched, event.data)
        self.is_done = watched.type == "message_stop"
        if watched.type == "error":
            self.failure = self._told(streamed_failure(watched.error or ErrorObject()), event.data)

    def _note_message(self, watched: _Watched) -> None:
        if (message := watched.message) is not None:
            if message.usage is not None:
                self.usage.begin(word_in(message.model) or "", message.usage)
        elif watched.usage is not None:
            self.usage.update(watched.usage)
        if watched.type == _MESSAGE_DELTA:
            self.stop_reason = _stop_reason_in(watched.delta)

    def _note_made(self, watched: _Watched, data: bytes) -> None:
        if watched.type == "content_block_start":
            self.made.begin_block(watched.content_block)
        elif watched.type == "message_start" and watched.message is not None:
            self.made.begin(watched.message.id)
        elif self.made.is_thinking and watched.type == _DELTA.decode():
            self.made.take_delta(data)

    def _told(self, failure: Failure, data: bytes) -> Failure:
        status = NATIVE_RULES[failure.kind].status
        if len(data) > MAX_TOLD_BYTES:
            return failure
        # After content the error is passed on whatever its kind; before, the rules for whole answers apply.
        if self._has_passed and is_native_error(data):
            return in_upstreams_words(failure, status, data)
        return with_answer(failure, status, data, None)


class WholeEvents:
    """Cuts a stream only after blank lines, so that a `ping` can be written between two pieces."""

    def __init__(self, max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._kept = bytearray()
        self._seam = b""

    def feed(self, data: bytes) -> bytes:
        """The bytes up to the end of the last complete event; raises `EventTooLargeError` for one that does not end."""
        end = _end_of_last_blank_line(self._seam + data) - len(self._seam)
        if end <= 0:
            self._keep(data)
            return b""
        whole = bytes(self._kept + data[:end]) if self._kept else data[:end]
        self._kept.clear()
        self._seam = b""
        self._keep(data[end:])
        return whole

    def rest(self) -> bytes:
        """The bytes after the last complete event."""
        return bytes(self._kept)

    def _keep(self, data: bytes) -> None:
        if not data:
            return
        self._kept += data
        self._seam = (self._seam + data[-_SEAM_BYTES:])[-_SEAM_BYTES:]
        if len(self._kept) > self._max_event_bytes:
            raise EventTooLargeError(f"An event is larger than {self._max_event_bytes} bytes.")


def _end_of_last_blank_line(data: bytes) -> int:
    """The position behind it; 0 if there is none."""
    if b"\r" not in data:
        return data.rfind(b"\n\n") + 2 if b"\n\n" in data else 0
    end = 0
    for found in _BLANK_LINE.finditer(data):
        end = found.end()
    return end


def _read(event: Event) -> _Watched | None:
    """Read an event; None if it is not one. Fields of an unexpected type count as absent."""
    try:
        return _DECODER.decode(event.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return _Watched(ANY_EVENT_DECODER.decode(event.data).type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Anthropic's SDK uses the data of such an event as the message.
        message = event.data[:MAX_TOLD_BYTES].decode("utf-8", "replace")
        return _Watched("error", error=ErrorObject(message=message)) if event.name == b"error" else None


def _stop_reason_in(delta: Raw) -> str | None:
    try:
        return word_in(_DELTA_DECODER.decode(delta).stop_reason)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _before_error(data: bytes) -> bytes:
    """The complete events before the first `error`."""
    decoder = EventDecoder()
    start = 0
    for found in _BLANK_LINE.finditer(data):
        for event in decoder.feed(data[start : found.end()]):
            if (watched := _read(event)) is not None and watched.type == "error":
                return data[:start]
        start = found.end()
    return data


def _protocol_failure(message: str) -> Failure:
    return Failure(ErrorKind.PROTOCOL_ERROR, message)
