"""The cases: each puts one kind of load on one system and gives its figures, by the names that `report.py` explains."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.load.client import LoadConnection, Tally, UpstreamControl, all_begun, all_done, connect
from benchmarks.load.figures import median, quantile
from benchmarks.load.measure import cpu_seconds, resident_kb
from benchmarks.load.running import Running
from benchmarks.load.traffic import BODIES
from benchmarks.load.upstream import Behaviour

REQUEST_CONNECTIONS: Final = 16
FULL_STREAMS: Final = 32
PACED_STREAMS: Final = 200
INTERVAL_SECONDS: Final = 0.02
_OPENED_AT_ONCE: Final = 50

Figures = dict[str, float]


class CaseError(Exception):
    """A system did not answer as it should; its figures would mean nothing."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How long and how much is measured."""

    window_seconds: float = 1.5
    rounds: int = 3
    first_events: int = 200
    open_streams: int = 2000
    bodies: tuple[str, ...] = BODIES
    starts: int = 3


QUICK: Final = Scale(0.6, 1, 60, 300, ("100 KB", "1 MB", "50 tools"), 1)
SLOW: Final = Scale(2.0, 1, 50, 300, ("100 KB", "1 MB", "1 MB image", "50 tools"), 1)


@dataclass(frozen=True, slots=True)
class Bench:
    """What a case works with."""

    running: Running
    upstream: UpstreamControl
    scale: Scale


async def requests(bench: Bench) -> Figures:
    """Requests of 1 KB, not streamed, as many as the system can take."""
    return await _requests(bench, "1 KB", "request", REQUEST_CONNECTIONS)


async def bodies(bench: Bench) -> Figures:
    """Larger requests, not streamed."""
    figures: Figures = {}
    for kind in bench.scale.bodies:
        if kind != "1 KB":
            measured = await _requests(bench, kind, f"body {kind}", 2 if kind.startswith("10 MB") else 4)
            figures |= {name: value for name, value in measured.items() if name.endswith("cpu")}
    return figures


async def full(bench: Bench) -> Figures:
    """Streams whose events come as fast as upstream can write them, each by itself."""
    return await _full_speed(bench, "full", Behaviour("endless"))


async def bulk(bench: Bench) -> Figures:
    """Streams whose events come in large blocks, many in a read."""
    return await _full_speed(bench, "bulk", Behaviour("bulk"))


async def _full_speed(bench: Bench, name: str, behaviour: Behaviour) -> Figures:
    await bench.upstream.behave(behaviour)
    tally = Tally()
    streams = await connect(bench.running.access, bench.running.access.request(stream=True), tally, FULL_STREAMS)
    await all_begun(streams)
    await asyncio.sleep(0.3)
    window = await _window(bench, tally)
    await _hang_up(bench, streams, tally)
    events = max(tally.events, 1)
    return _with_cpu(
        bench,
        {
            f"{name}.per_second": tally.events / window.seconds,
            f"{name}.events_per_read": events / max(tally.reads, 1),
        },
        {f"{name}.cpu": window.cpu_seconds / events, f"{name}.busy": window.cpu_seconds / window.seconds},
    )


async def paced(bench: Bench) -> Figures:
    """Streams with an event every 20 ms, each of which is on its way alone."""
    await bench.upstream.behave(Behaviour("paced", interval_seconds=INTERVAL_SECONDS))
    tally = Tally()
    request = bench.running.access.request(stream=True)
    streams = await connect(bench.running.access, request, tally, PACED_STREAMS, reads_stamps=True)
    await all_begun(streams)
    await asyncio.sleep(0.5)
    before = await bench.upstream.stats()
    window = await _window(bench, tally)
    after = await bench.upstream.stats()
    await _hang_up(bench, streams, tally)
    sent = max(after.paced - before.paced, 1)
    return _with_cpu(
        bench,
        {
            "paced.p50": quantile(tally.delays, 0.5),
            "paced.p99": quantile(tally.delays, 0.99),
            "paced.per_second": tally.events / window.seconds,
            "paced.late": (after.late - before.late) / sent,
        },
        {"paced.cpu": window.cpu_seconds / max(tally.events, 1), "paced.busy": window.cpu_seconds / window.seconds},
    )


async def first_event(bench: Bench) -> Figures:
    """Short streams one after another: the time until the first event, and what a whole short stream costs."""
    await bench.upstream.behave(Behaviour("finite", events=20))
    access, count = bench.running.access, bench.scale.first_events
    request = access.request(stream=True)
    warm = Tally()
    await all_done(await connect(access, request, warm, 1, rounds=max(count // 10, 3)))
    tally = Tally()
    cpu = _cpu(bench)
    await all_done(await connect(access, request, tally, 1, rounds=count))
    cpu = _cpu(bench) - cpu
    _check(tally)
    return _with_cpu(
        bench,
        {"first.p50": quantile(tally.first_events, 0.5), "first.p99": quantile(tally.first_events, 0.99)},
        {"short.cpu": cpu / count},
    )


async def memory(bench: Bench) -> Figures:
    """What a system holds that has just been started, and what open streams add while nothing comes."""
    await bench.upstream.behave(Behaviour("silent"))
    access, tally, pid = bench.running.access, Tally(), bench.running.pid
    idle = resident_kb(pid)
    request = access.request(stream=True)
    streams: list[LoadConnection] = []
    for _ in range(0, bench.scale.open_streams, _OPENED_AT_ONCE):
        more = await connect(access, request, tally, _OPENED_AT_ONCE)
        await all_begun(more)
        streams += more
    open_upstream = (await bench.upstream.stats()).open_streams
    held = resident_kb(pid) - idle
    await _hang_up(bench, streams, tally)
    if open_upstream < len(streams):
        raise CaseError(f"{len(streams)} streams were asked for, {open_upstream} were open upstream")
    return {"memory.idle": idle * 1024, "memory.stream": held * 1024 / len(streams)}


# Memory comes first: a process that has worked keeps what it once had, and open streams would find room there.
CASES: Final[Mapping[str, Callable[[Bench], Awaitable[Figures]]]] = {
    "memory": memory,
    "request": requests,
    "first-event": first_event,
    "event-paced": paced,
    "event-full": full,
    "event-bulk": bulk,
    "bodies": bodies,
}
ONCE: Final = frozenset({"memory"})
NEEDS_PROCESS: Final = frozenset({"memory", "bodies"})


@dataclass(slots=True)
class _Window:
    seconds: float
    cpu_seconds: float


async def _requests(bench: Bench, kind: str, name: str, connections: int) -> Figures:
    await bench.upstream.behave(Behaviour("json"))
    access, tally = bench.running.access, Tally()
    request = access.request(kind)
    senders = await connect(access, request, tally, connections)
    await all_begun(senders)
    await asyncio.sleep(min(0.3, bench.scale.window_seconds / 3))
    window = await _window(bench, tally)
    # An answer at the edge of the window weighs much where there are few: end with one.
    await _hang_up(bench, senders, tally)
    answers = tally.answers
    if not answers:
        raise CaseError(f"no answer to a request of {kind} within {window.seconds:.1f} s")
    return _with_cpu(
        bench,
        {
            f"{name}.per_second": answers / window.seconds,
            f"{name}.p50": median(tally.latencies),
            f"{name}.p99": quantile(tally.latencies, 0.99),
        },
        {f"{name}.cpu": window.cpu_seconds / answers, f"{name}.busy": window.cpu_seconds / window.seconds},
    )


async def _window(bench: Bench, tally: Tally) -> _Window:
    """Clear the tally and let the load run for the window."""
    tally.clear()
    began_at, cpu = time.perf_counter(), _cpu(bench)
    await asyncio.sleep(bench.scale.window_seconds)
    return _Window(time.perf_counter() - began_at, _cpu(bench) - cpu)


async def _hang_up(bench: Bench, connections: list[LoadConnection], tally: Tally) -> None:
    # A copy of what counts: what still comes while hanging up is not part of the window.
    events, answers, reads = tally.events, tally.answers, tally.reads
    delays, latencies = tally.delays, tally.latencies
    tally.delays, tally.latencies = [], []
    for connection in connections:
        connection.stop()
    await all_done(connections)
    tally.events, tally.answers, tally.reads = events, answers, reads
    tally.delays, tally.latencies = delays, latencies
    _check(tally)
    if still_open := await bench.upstream.quiet():
        raise CaseError(f"{still_open} streams stayed open upstream after their clients had gone")


def _check(tally: Tally) -> None:
    if tally.failures:
        what, count = tally.failures.most_common(1)[0]
        raise CaseError(f"{sum(tally.failures.values())} failures, {count} times: {what}")


def _cpu(bench: Bench) -> float:
    return cpu_seconds(bench.running.pid) if bench.running.pid else 0.0


def _with_cpu(bench: Bench, figures: Figures, cpu: Figures) -> Figures:
    """The figures, with those of the CPU where there is a process that used it."""
    return figures | cpu if bench.running.pid else figures
