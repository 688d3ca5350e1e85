"""Whether memory stays flat: many requests and streams, then clients that leave in the middle."""

import asyncio
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import uvloop

from benchmarks.load.client import Tally, UpstreamControl, all_begun, all_done, connect
from benchmarks.load.measure import resident_kb
from benchmarks.load.running import Running, cores, settle, started, upstream
from benchmarks.load.targets import dragoman
from benchmarks.load.upstream import Behaviour

_CONNECTIONS: Final = 20
_STAGES: Final = 10
_PATIENCE_SECONDS: Final = 900.0


def soak(settings: Mapping[str, Any], requests: int, disconnects: int) -> Iterator[tuple[str, str]]:
    """Name and figure of each stage: resident memory, and what was left open."""
    layout = cores()
    settle(layout.load)
    with tempfile.TemporaryDirectory() as folder, upstream(layout.load) as port:
        work = Path(folder)
        control = UpstreamControl(port)
        with (
            started(dragoman(port, work, settings), layout.system, work) as running,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            yield "resident memory, just started", _memory(running)
            for stage in range(_STAGES):
                runner.run(_requests(running, control, requests // _STAGES))
                yield f"after {requests // _STAGES * (stage + 1):,} requests, half of them streams", _memory(running)
            left = runner.run(_disconnects(running, control, disconnects))
            yield (
                f"after {disconnects:,} disconnects in mid-stream",
                f"{_memory(running)}, {left} streams left upstream",
            )
            runner.run(_requests(running, control, requests // _STAGES))
            yield f"after {requests // _STAGES:,} more requests", _memory(running)


async def _requests(running: Running, control: UpstreamControl, count: int) -> None:
    """So many requests, first whole answers, then short streams."""
    for behaviour, stream in ((Behaviour("json"), False), (Behaviour("finite"), True)):
        await control.behave(behaviour)
        tally, request = Tally(), running.access.request(stream=stream)
        rounds = max(count // 2 // _CONNECTIONS, 1)
        connections = await connect(running.access, request, tally, _CONNECTIONS, rounds=rounds)
        await all_done(connections, _PATIENCE_SECONDS)
        if tally.failures:
            raise RuntimeError(f"the soak test saw failures: {dict(tally.failures)}")
    await control.behave(Behaviour())


async def _disconnects(running: Running, control: UpstreamControl, count: int) -> int:
    """So many clients that leave while events come; gives the streams that stayed open upstream."""
    await control.behave(Behaviour("paced", interval_seconds=0.01))
    request = running.access.request(stream=True)
    for _ in range(count // 50):
        streams = await connect(running.access, request, Tally(), 50)
        await all_begun(streams)
        for stream in streams:
            stream.stop()
        await all_done(streams)
    left = await control.quiet()
    await control.behave(Behaviour())
    return left


def _memory(running: Running) -> str:
    return f"{resident_kb(running.pid) / 1024:.1f} MB"
