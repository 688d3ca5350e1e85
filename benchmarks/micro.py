"""What the pure parts cost, without any network: translator, decoder, request translation, pool."""

import time
from collections.abc import Callable, Iterator

from benchmarks.load.traffic import BODIES, request_body
from gateway.keypool import SUCCESS, Key, KeyPool
from tests.support.messages import text_stream
from translators.chat.request import Options, Target, read_request, write_request
from translators.chat.stream import ChatStream, StreamFrame
from translators.models import model_table
from translators.sse import EventDecoder

_MODEL = "claude-sonnet-5-5"
_TARGET = Target(_MODEL, model_table().row(_MODEL))


def micro(seconds: float = 0.5) -> Iterator[tuple[str, str]]:
    """Name and figure of each measure, each taken for so many seconds."""
    events = text_stream(" ".join(["words"] * 1000))
    body = b"".join(events)
    decoded = _microseconds(lambda: EventDecoder().feed(body), seconds) / len(events)
    yield "event, decoded only (many in a read)", f"{decoded:.2f} µs"
    whole = _microseconds(lambda: ChatStream(StreamFrame(1)).feed(body), seconds) / len(events)
    yield "event, translated (many in a read)", f"{whole:.2f} µs"
    singly = _microseconds(lambda: _one_by_one(events), seconds) / len(events)
    yield "event, translated (one in a read)", f"{singly:.2f} µs"
    for kind in BODIES:
        request = request_body(kind, "chat", "gpt-5")
        name = f"request of {kind}, read and written"
        yield name, f"{_microseconds(lambda r=request: _translate(r), seconds):.0f} µs"  # type: ignore[misc]
    for keys in (1, 100):
        pool = KeyPool(Key(f"key-{number}") for number in range(keys))
        yield f"key of {keys}, leased and released", f"{_microseconds(lambda p=pool: _lease(p), seconds):.2f} µs"  # type: ignore[misc]


def _one_by_one(events: list[bytes]) -> None:
    stream = ChatStream(StreamFrame(1))
    for event in events:
        stream.feed(event)


def _translate(body: bytes) -> None:
    write_request(read_request(body), _TARGET, Options())


def _lease(pool: KeyPool) -> None:
    lease = pool.acquire(1.0, _MODEL)
    assert lease is not None
    pool.release(lease, SUCCESS, 1.0)


def _microseconds(action: Callable[[], object], seconds: float) -> float:
    """The mean of as many runs as fit into the time."""
    runs = 0
    began_at = time.perf_counter()
    while (elapsed := time.perf_counter() - began_at) < seconds:
        action()
        runs += 1
    return elapsed / runs * 1e6
