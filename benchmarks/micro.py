"""What a translation costs, without any network."""

import base64
import json
import random
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeAlias

from tests.support.messages import text_stream
from translators.chat.request import Options, Target, read_request, write_request
from translators.chat.stream import ChatStream, StreamFrame
from translators.models import model_table
from translators.sse import EventDecoder

_Json: TypeAlias = dict[str, Any]

_SECONDS = 1.0
_ROUND_SECONDS = 0.005
# Of bodies above this the memory is told too.
_LARGE = 5_000_000
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
    for name, request in requests():
        microseconds = _microseconds(partial(_translate, request))
        peak = f", peak {_peak_mb(request):.0f} MB" if len(request) > _LARGE else ""
        yield f"request of {name}, read and written", f"{_duration(microseconds)}{peak}"


def _one_by_one(events: list[bytes]) -> None:
    stream = ChatStream(StreamFrame(1))
    for event in events:
        stream.feed(event)


def _translate(body: bytes) -> None:
    write_request(read_request(body), _TARGET, Options())


def requests() -> Iterator[tuple[str, bytes]]:
    """What callers send, from a question to the largest body that is taken."""
    yield "1 KB", _body(_texts(3, 220))
    yield "100 KB", _body(_texts(399, 220))
    yield "1 MB, 2,000 messages", _body(_texts(1999, 490))
    yield "1 MB, 2,000 messages in parts", _body(_in_parts(_texts(1999, 440)))
    yield "1 MB, 4,000 messages", _body(_texts(3999, 220))
    yield "1 MB, 1,000 calls and results", _body(_tool_loop(1000, 780), tools=_tools(5))
    yield "42 KB, 50 tools", _body(_texts(3, 220), tools=_tools(50))
    yield "10 MB, 10 images", _body(_images(10, 786_000))
    yield "32 MB, 8 messages", _body(_texts(7, 4_570_000))
    yield "32 MB, 62,000 messages", _body(_texts(61_999, 480))


def _body(messages: list[_Json], **fields: Any) -> bytes:
    return json.dumps({"model": "gpt-5", "messages": messages, **fields}).encode()


def _texts(count: int, size: int) -> list[_Json]:
    return [{"role": ("user", "assistant")[n % 2], "content": "x" * size} for n in range(count)]


def _in_parts(messages: list[_Json]) -> list[_Json]:
    return [{**message, "content": [{"type": "text", "text": message["content"]}]} for message in messages]


def _tool_loop(count: int, size: int) -> list[_Json]:
    messages: list[_Json] = [{"role": "user", "content": "Go"}]
    for n in range(count):
        function = {"name": "tool_1", "arguments": json.dumps({"argument_0": "y" * 100})}
        call = {"id": f"call_{n}", "type": "function", "function": function}
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": f"call_{n}", "content": "r" * size})
    return messages


def _tools(count: int) -> list[_Json]:
    argument = {"type": "string", "description": "What to look for, in words."}
    parameters = {"type": "object", "properties": {f"argument_{n}": argument for n in range(6)}, "required": []}
    function = {"description": "Looks something up. " * 8, "parameters": parameters}
    return [{"type": "function", "function": {"name": f"tool_{n}", **function}} for n in range(count)]


def _images(count: int, size: int) -> list[_Json]:
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(size)).decode()
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
    return [{"role": "user", "content": [{"type": "text", "text": "Look."}, *[image] * count]}]


def _peak_mb(request: bytes) -> float:
    """What is allocated at most while a request is read and written, its own bytes not counted."""
    tracemalloc.start()
    _translate(request)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def _duration(microseconds: float) -> str:
    return f"{microseconds:.1f} µs" if microseconds < 1000 else f"{microseconds / 1000:.2f} ms"


def _microseconds(action: Callable[[], object]) -> float:
    """The fastest of as many rounds as fit into the time: other work on the machine only makes rounds slower."""
    runs = max(1, int(_ROUND_SECONDS / _seconds(action, 1)))
    ends_at = time.perf_counter() + _SECONDS
    fastest = _seconds(action, runs)
    while time.perf_counter() < ends_at:
        fastest = min(fastest, _seconds(action, runs))
    return fastest / runs * 1e6


def _seconds(action: Callable[[], object], runs: int) -> float:
    began_at = time.perf_counter()
    for _ in range(runs):
        action()
    return time.perf_counter() - began_at
