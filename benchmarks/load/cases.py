"""The cases: each puts one kind of load on one system and gives its figures, by the names that `report.py` explains."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from benchmarks.load.bench import Bench, CaseError, Figures
from benchmarks.load.client import LoadConnection, Tally, connect
from benchmarks.load.figures import median, quantile
from benchmarks.load.measure import resident_kb
from benchmarks.load.upstream import Behaviour

REQUEST_CONNECTIONS: Final = 16
FULL_STREAMS: Final = 32
PACED_STREAMS: Final = 200
INTERVAL_SECONDS: Final = 0.02
_OPENED_AT_ONCE: Final = 50
# So many others, so often: an event is due every millisecond, which is how exactly a stall is seen.
STALL_STREAMS: Final = 10
STALL_INTERVAL_SECONDS: Final = 0.01
STALL_SECONDS: Final = 0.3
_FEWEST_STALLS: Final = 3
_FEWEST_BODIES: Final = 6
_MOST_BODIES: Final = 2000


async def memory(bench: Bench) -> Figures:
    """What a system holds that has just been started, and what open streams add while nothing comes."""
    await bench.upstream.behave(Behaviour("silent"))
    request, tally, pid = bench.request(stream=True), Tally(), bench.running.pid
    idle = resident_kb(pid)
    streams: list[LoadConnection] = []
    try:
        for _ in range(0, bench.scale.open_streams, _OPENED_AT_ONCE):
            more = await connect(bench.running.access, request, tally, _OPENED_AT_ONCE)
            streams += more
            await bench.begun(more)
        open_upstream = (await bench.upstream.stats()).open_streams
        held = resident_kb(pid) - idle
    finally:
        await bench.hang_up(streams)
    if open_upstream < len(streams):
        raise CaseError(f"{len(streams)} streams were asked for, {open_upstream} were open upstream")
    return {"memory.idle": idle * 1024, "memory.stream": held * 1024 / len(streams)}


async def requests(bench: Bench) -> Figures:
    """Requests of 1 KB, not streamed, as many as the system can take."""
    await bench.upstream.behave(Behaviour("json"))
    async with bench.connected(bench.request(), REQUEST_CONNECTIONS) as (senders, tally):
        await bench.begun(senders)
        await asyncio.sleep(min(0.3, bench.scale.window_seconds / 3))
        window = await bench.window(tally)
    seen = window.tally
    if not seen.answers:
        raise CaseError(f"no answer within {window.seconds:.1f} s")
    return {
        "request.per_second": seen.answers / window.seconds,
        "request.p50": median(seen.latencies),
        "request.p99": quantile(seen.latencies, 0.99),
        **bench.of_process(window.cpu("request", seen.answers)),
    }


async def first_event(bench: Bench) -> Figures:
    """Short streams one after another: the time until the first event, and what a whole short stream costs."""
    await bench.upstream.behave(Behaviour("finite", events=20))
    request, count = bench.request(stream=True), bench.scale.first_events
    await bench.rounds(request, max(count // 10, 3))
    window = await bench.rounds(request, count)
    return {
        "first.p50": quantile(window.tally.first_events, 0.5),
        "first.p99": quantile(window.tally.first_events, 0.99),
        **bench.of_process(window.cpu("short", count)),
    }


async def paced(bench: Bench) -> Figures:
    """Streams with an event every 20 ms, each of which is on its way alone."""
    await bench.upstream.behave(Behaviour("paced", interval_seconds=INTERVAL_SECONDS))
    async with bench.connected(bench.request(stream=True), PACED_STREAMS, reads_stamps=True) as (streams, tally):
        await bench.begun(streams)
        await asyncio.sleep(0.5)
        before = await bench.upstream.stats()
        window = await bench.window(tally)
        after = await bench.upstream.stats()
    seen = window.tally
    return {
        "paced.p50": quantile(seen.delays, 0.5),
        "paced.p99": quantile(seen.delays, 0.99),
        "paced.per_second": seen.events / window.seconds,
        "paced.late": (after.late - before.late) / max(after.paced - before.paced, 1),
        **bench.of_process(window.cpu("paced", seen.events)),
    }


async def full(bench: Bench) -> Figures:
    """Streams whose events come as fast as upstream can write them, each by itself."""
    return await _full_speed(bench, "full", Behaviour("endless"))


async def bulk(bench: Bench) -> Figures:
    """Streams whose events come in large blocks, many in a read."""
    return await _full_speed(bench, "bulk", Behaviour("bulk"))


async def _full_speed(bench: Bench, name: str, behaviour: Behaviour) -> Figures:
    await bench.upstream.behave(behaviour)
    async with bench.connected(bench.request(stream=True), FULL_STREAMS) as (streams, tally):
        # All stand before any runs: under such a load, some systems take seconds for each new stream.
        await bench.begun(streams)
        await bench.upstream.go()
        await asyncio.sleep(0.3)
        window = await bench.window(tally)
    seen = window.tally
    return {
        f"{name}.per_second": seen.events / window.seconds,
        f"{name}.events_per_read": seen.events / max(seen.reads, 1),
        **bench.of_process(window.cpu(name, seen.events)),
    }


async def bodies(bench: Bench) -> Figures:
    """Larger requests, not streamed: a number of them that takes about a window's time."""
    await bench.upstream.behave(Behaviour("json"))
    figures: Figures = {}
    for kind in bench.scale.bodies:
        if kind == "1 KB":
            continue
        try:
            figures |= await _bodies(bench, kind)
        except CaseError as error:
            bench.notes.append(f"requests of {kind}: {error}")
    return figures


async def _bodies(bench: Bench, kind: str) -> Figures:
    request = bench.request(kind)
    first = (await bench.rounds(request, 2)).seconds / 2
    count = min(max(int(bench.scale.window_seconds / 2 / first), _FEWEST_BODIES), _MOST_BODIES)
    return (await bench.rounds(request, count, connections=2)).cpu(f"body {kind}", count // 2 * 2)


async def stall(bench: Bench) -> Figures:
    """How late the events of other streams are while large requests, one after another, go through the same system."""
    await bench.upstream.behave(Behaviour("paced", interval_seconds=STALL_INTERVAL_SECONDS))
    request = bench.request(stream=True)
    async with bench.connected(request, STALL_STREAMS, reads_stamps=True) as (streams, tally):
        await bench.begun(streams)
        # The streams that run go on; what is asked from here on is answered whole.
        await bench.upstream.behave(Behaviour("json"))
        await asyncio.sleep(0.3)
        figures = _lateness("none", (await bench.window(tally)).tally)
        for kind in bench.scale.stalls:
            try:
                figures |= _lateness(kind, await _beside(bench, tally, kind))
            except (CaseError, TimeoutError) as error:
                bench.notes.append(f"{kind}: {error or type(error).__name__}")
    return figures


async def _beside(bench: Bench, tally: Tally, kind: str) -> Tally:
    """What the tallied streams see while requests of one kind run, one after another."""
    request = bench.request(kind)
    await bench.rounds(request, 1)
    # Making it has held up whoever reads the streams.
    await asyncio.sleep(5 * STALL_INTERVAL_SECONDS)
    tally.clear()
    began_at, sent = time.perf_counter(), 0
    while sent < _FEWEST_STALLS or time.perf_counter() - began_at < STALL_SECONDS:
        await bench.rounds(request, 1)
        sent += 1
    await asyncio.sleep(2 * STALL_INTERVAL_SECONDS)
    return tally.copy()


def _lateness(kind: str, seen: Tally) -> Figures:
    if not seen.delays:
        raise CaseError("no event came meanwhile")
    return {f"stall {kind}.max": max(seen.delays), f"stall {kind}.p99": quantile(seen.delays, 0.99)}


# Memory comes first: a process that has worked keeps what it once had, and open streams would find room there. Full
# speed comes last: some systems swallow more than they can deliver, and choke on it for minutes.
CASES: Final[Mapping[str, Callable[[Bench], Awaitable[Figures]]]] = {
    "memory": memory,
    "request": requests,
    "first-event": first_event,
    "bodies": bodies,
    "stall": stall,
    "event-paced": paced,
    "event-full": full,
    "event-bulk": bulk,
}
ONCE: Final = frozenset({"memory"})
NEEDS_PROCESS: Final = frozenset({"memory", "bodies"})
