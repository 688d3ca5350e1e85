"""What a translation costs, without any network."""

import json
import time
from collections.abc import Callable, Iterator

from tests.support.messages import text_stream
from translators.chat.request import Options, Target, read_request, write_request
from translators.chat.stream import ChatStream, StreamFrame
from translators.models import model_table
from translators.sse import EventDecoder

_SECONDS = 0.5
_MODEL = "claude-sonnet-5-5"
_TARGET = Target(_MODEL, model_table().row(_MODEL))


def micro() -> Iterator[tuple[str, str]]:
    """Name and figure of each measure."""
    events = text_stream(" ".join(["words"] * 1000))
    body = b"".join(events)
    yield (
        "event, decoded only (many in a read)",
        f"{_microseconds(lambda: EventDecoder().feed(body)) / len(events):.2f} µs",
    )
    whole = _microseconds(lambda: ChatStream(StreamFrame(1)).feed(body)) / len(events)
    yield "event, translated (many in a read)", f"{whole:.2f} µs"
    yield "event, translated (one in a read)", f"{_microseconds(lambda: _one_by_one(events)) / len(events):.2f} µs"
    for name, request in _requests():
        yield f"request of {name}, read and written", f"{_microseconds(lambda r=request: _translate(r)):.0f} µs"  # type: ignore[misc]


def _one_by_one(events: list[bytes]) -> None:
    stream = ChatStream(StreamFrame(1))
    for event in events:
        stream.feed(event)


def _translate(body: bytes) -> None:
    write_request(read_request(body), _TARGET, Options())


def _requests() -> Iterator[tuple[str, bytes]]:
    for name, turns in (("1 KB", 4), ("100 KB", 400), ("1 MB, 4,000 messages", 4000)):
        messages = [{"role": ("user", "assistant")[n % 2], "content": "x" * 220} for n in range(turns - 1)]
        yield name, json.dumps({"model": "gpt-5", "messages": messages}).encode()


def _microseconds(action: Callable[[], object]) -> float:
    """The mean of as many runs as fit into half a second."""
    runs = 0
    began_at = time.perf_counter()
    while (elapsed := time.perf_counter() - began_at) < _SECONDS:
        action()
        runs += 1
    return elapsed / runs * 1e6
