"""Where the gateway's time goes: a sampling profiler (py-spy) where there is one, cProfile where not."""

import asyncio
import pstats
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import uvloop

from benchmarks.load.bench import Bench, Scale
from benchmarks.load.cases import CASES
from benchmarks.load.client import UpstreamControl
from benchmarks.load.running import Running, cores, settle, started, upstream
from benchmarks.load.targets import System, dragoman
from benchmarks.load.upstream import Behaviour

Stack = tuple[str, ...]
"""Frames from the outside in, each as `function (file)`."""

_SECONDS: Final = 5.0
_TOP: Final = 25
_REST: Final = "event loop, and what is nobody's"
# The innermost frame that is somebody's decides. The first that fits counts, so the narrow ones come first.
ROWS: Final[Sequence[tuple[str, str]]] = (
    ("gateway/accounts/", "auth"),
    ("gateway/keypool/", "pool"),
    ("gateway/kept_turns/", "kept turns"),
    ("gateway/telemetry/metrics", "metrics"),
    ("gateway/telemetry/", "log"),
    ("logging/", "log"),
    ("translators/", "translation"),
    ("gateway/upstream/", "upstream"),
    ("httpx2/", "upstream"),
    ("httpcore2/", "upstream"),
    ("h11/", "upstream"),
    ("anyio/", "upstream"),
    ("gateway/service/", "service"),
    ("gateway/doors/", "doors"),
    ("gateway/edge/", "edge"),
    ("starlette/", "edge"),
    ("gateway/http/", "server"),
    ("gateway/process/", "server"),
    ("uvicorn/", "server"),
)
# What every stack begins with says nothing.
_OUTER: Final = ("gateway/process/serving", "uvicorn/server", "uvicorn/main")


def row_of(stack: Stack) -> str:
    """Whose time a sample was."""
    for frame in reversed(stack):
        file = _file(frame)
        if any(part in file for part in _OUTER):
            continue
        for part, row in ROWS:
            if part in file:
                return row
    return _REST


def parse_raw(text: str) -> Iterator[tuple[Stack, float]]:
    """What `py-spy record --format raw` writes: `frame;frame;frame count`, line numbers dropped."""
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        if stack:
            yield tuple(re.sub(r":\d+\)$", ")", frame) for frame in stack.split(";")), float(count)


def summary(samples: Iterable[tuple[Stack, float]], seconds_each: float) -> list[str]:
    """By row, then by function: the share of the time, and the time for each request or event."""
    rows: Counter[str] = Counter()
    own: Counter[str] = Counter()
    for stack, weight in samples:
        rows[row_of(stack)] += weight  # type: ignore[assignment]
        own[stack[-1]] += weight  # type: ignore[assignment]
    total = sum(rows.values()) or 1
    lines = [
        f"  {count / total:>5.1%} {count / total * seconds_each * 1e6:>8.2f} µs  {row}"
        for row, count in rows.most_common()
    ]
    lines += ["", f"  the {_TOP} functions with the most time of their own"]
    return lines + [
        f"  {count / total:>5.1%} {count / total * seconds_each * 1e6:>8.2f} µs  {name}"
        for name, count in own.most_common(_TOP)
    ]


def profile(settings: Mapping[str, Any], names: Sequence[str]) -> str:
    """Run these cases on the gateway alone, and say where its time went in each."""
    layout = cores()
    settle(layout.load)
    with tempfile.TemporaryDirectory() as folder, upstream(layout.load) as port:
        work = Path(folder)
        control = UpstreamControl(port)
        system = dragoman(port, work, settings)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            take = _with_py_spy if _py_spy() else _with_cprofile
            return "\n".join(take(runner, control, system, layout.system, work, name) for name in names)


def _with_py_spy(
    runner: asyncio.Runner, control: UpstreamControl, system: System, core: int, work: Path, name: str
) -> str:
    with started(system, core, work) as running:
        figures = runner.run(_load(name, running, control, 2.0))
        raw = work / f"{name}.raw"
        command = [
            _py_spy() or "",
            "record",
            "--pid",
            str(running.pid),
            "--duration",
            str(int(_SECONDS)),
            "--rate",
            "400",
        ]
        with subprocess.Popen([*command, "--format", "raw", "--output", raw], stdout=-3, stderr=-3) as recording:
            runner.run(_load(name, running, control, _SECONDS + 0.5))
            recording.wait()
        return _text(name, figures, parse_raw(raw.read_text("utf-8")), "py-spy")


def _with_cprofile(
    runner: asyncio.Runner, control: UpstreamControl, system: System, core: int, work: Path, name: str
) -> str:
    with started(system, core, work) as running:
        figures = runner.run(_load(name, running, control, 2.0))
    file = work / f"{name}.stats"
    command = (sys.executable, "-m", "cProfile", "-o", file, *system.command[1:])
    with started(replace(system, command=command), core, work) as running:
        runner.run(_load(name, running, control, _SECONDS))
    return _text(name, figures, _samples_of(pstats.Stats(str(file))), "cProfile, which makes calls look dearer")


async def _load(name: str, running: Running, control: UpstreamControl, seconds: float) -> dict[str, float]:
    try:
        return await CASES[name](Bench(running, control, Scale(window_seconds=seconds, rounds=1)))
    finally:
        await control.behave(Behaviour())


def _text(name: str, figures: Mapping[str, float], samples: Iterable[tuple[Stack, float]], by: str) -> str:
    cpu = next(value for figure, value in figures.items() if figure.endswith(".cpu"))
    head = f"{name}: {cpu * 1e6:.1f} µs CPU each without a profiler; shares by {by}"
    return "\n".join([head, *summary(samples, cpu), ""])


def _samples_of(stats: pstats.Stats) -> Iterator[tuple[Stack, float]]:
    """Each function's own time; that of built-in ones is split among their callers."""
    entries: Mapping[Any, Any] = stats.stats  # type: ignore[attr-defined]
    for function, (_, _, own_time, _, callers) in entries.items():
        if function[0] != "~" or not callers:
            yield (_frame(function),), own_time
            continue
        for caller, (_, _, time_for_caller, _) in callers.items():
            yield (_frame(caller), _frame(function)), time_for_caller


def _frame(function: tuple[str, int, str]) -> str:
    file, _, name = function
    return f"{name} ({file})"


def _file(frame: str) -> str:
    return frame.rpartition("(")[2].rstrip(")").replace("\\", "/")


def _py_spy() -> str | None:
    return shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
