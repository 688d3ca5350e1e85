"""What an event costs through the Responses door."""

from collections.abc import Callable, Iterator

from translators.responses.frame import ResponsesFrame
from translators.responses.stream import ResponsesStream


def responses_events(
    events: list[bytes], microseconds: Callable[[Callable[[], object]], float]
) -> Iterator[tuple[str, str]]:
    """The same as for chat completions, to be compared with them."""
    body = b"".join(events)
    whole = microseconds(lambda: _stream().feed(body)) / len(events)
    yield "event, as one of a response (many in a read)", f"{whole:.2f} µs"
    singly = microseconds(lambda: _one_by_one(events)) / len(events)
    yield "event, as one of a response (one in a read)", f"{singly:.2f} µs"


def _stream() -> ResponsesStream:
    return ResponsesStream(ResponsesFrame("resp_0", 1, "claude", lambda: 2))


def _one_by_one(events: list[bytes]) -> None:
    stream = _stream()
    for event in events:
        stream.feed(event)
