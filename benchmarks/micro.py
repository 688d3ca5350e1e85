"""What the parts cost, without any network: translator, decoder, request translation, pool, store."""

import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle

from benchmarks.bodies import requests
from benchmarks.in_memory import in_memory
from benchmarks.observing import observing
from benchmarks.responses import responses_events
from benchmarks.store import store
from benchmarks.turns import turns
from benchmarks.visits import visits
from gateway.keypool import Key, KeyPool, LeaseRequest, Outcome
from tests.support.messages import text_stream
from translators.answers.shape import PLAIN, AnswerShape
from translators.chat.read import read_request
from translators.chat.stream import ChatStream, StreamFrame
from translators.messages.options import Options, Target
from translators.messages.request import write_request
from translators.models import model_table
from translators.sse import EventDecoder
from translators.usage import Usage

# Of bodies above this the memory is told too.
_LARGE = 5_000_000
_ROUND_SECONDS = 0.005
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
    recorded = _microseconds(lambda: _one_by_one(events, AnswerShape(keeps_blocks=True)), seconds) / len(events)
    yield "event, translated and recorded (one in a read)", f"{recorded:.2f} µs"
    yield from responses_events(events, lambda action: _microseconds(action, seconds))
    for name, request in requests():
        microseconds = _microseconds(partial(_translate, request), seconds)
        peak = f", peak {_peak_mb(request):.0f} MB" if len(request) > _LARGE else ""
        yield f"request of {name}, read and written", f"{_duration(microseconds)}{peak}"
    for keys in (1, 10, 1_000, 10_000):
        yield f"key of {keys:,}, leased and released", f"{_microseconds(_leasing(keys), seconds):.2f} µs"
    yield from in_memory(lambda action: _microseconds(action, seconds))
    yield from observing(lambda action: _microseconds(action, seconds))
    yield from visits(lambda action: _microseconds(action, seconds))
    yield from turns(lambda action: _microseconds(action, seconds))
    yield from store(seconds)


def _one_by_one(events: list[bytes], shape: AnswerShape = PLAIN) -> None:
    stream = ChatStream(StreamFrame(1), shape)
    for event in events:
        stream.feed(event)


def _translate(body: bytes) -> None:
    write_request(read_request(body, 8).intent, _TARGET, Options())


def _leasing(keys: int) -> Callable[[], None]:
    """A lease from its beginning to its end; ten keys in each workspace, a new conversation each time."""
    pool = KeyPool(Key(f"key-{number}", workspace=f"workspace-{number // 10}") for number in range(keys))
    lease_requests = cycle([LeaseRequest(_MODEL, 250, b"%d" % number, streams=True) for number in range(10_000)])
    outcome = Outcome.success(Usage(50, 200, 0, 300))

    def lease_one() -> None:
        lease = pool.acquire(1.0, next(lease_requests))
        assert lease is not None
        pool.answered(lease, {}, 1.0)
        pool.release(lease, outcome, 1.0)

    return lease_one


def _peak_mb(request: bytes) -> float:
    """What is allocated at most while a request is read and written, its own bytes not counted."""
    tracemalloc.start()
    _translate(request)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def _duration(microseconds: float) -> str:
    return f"{microseconds:.1f} µs" if microseconds < 1000 else f"{microseconds / 1000:.2f} ms"


def _microseconds(action: Callable[[], object], seconds: float) -> float:
    """The fastest of as many rounds as fit into the time: other work on the machine only makes rounds slower."""
    runs = max(1, int(_ROUND_SECONDS / _seconds(action, 1)))
    ends_at = time.perf_counter() + seconds
    fastest = _seconds(action, runs)
    while time.perf_counter() < ends_at:
        fastest = min(fastest, _seconds(action, runs))
    return fastest / runs * 1e6


def _seconds(action: Callable[[], object], runs: int) -> float:
    began_at = time.perf_counter()
    for _ in range(runs):
        action()
    return time.perf_counter() - began_at
