"""The table: one row a measure, one column a system, each with its ratio to nginx in the same run."""

import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.load.cases import FULL_STREAMS, INTERVAL_SECONDS, PACED_STREAMS
from benchmarks.load.figures import median, spread
from benchmarks.load.run import READY, Result
from benchmarks.load.running import Cores
from benchmarks.load.traffic import BODIES, STALLS

_NOISY: Final = 0.25
_SATURATED: Final = 0.9
# Up to this size no body is to hold others up for long.
_GOAL_MEGABYTES: Final = 4


def duration(seconds: float) -> str:
    """A time with three digits at most, in the unit that suits it."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    if seconds >= 1e-2:
        return f"{seconds * 1e3:.0f} ms"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.1f} ms"
    micro = seconds * 1e6
    return f"{micro:.0f} µs" if micro >= 100 else f"{micro:.1f} µs" if micro >= 10 else f"{micro:.2f} µs"


def rate(per_second: float) -> str:
    """So many a second, with two or three digits."""
    if per_second >= 1e6:
        return f"{per_second / 1e6:.1f} M/s"
    if per_second >= 10_000:
        return f"{per_second / 1e3:.0f} k/s"
    if per_second >= 1_000:
        return f"{per_second / 1e3:.1f} k/s"
    return f"{per_second:.0f} /s"


def size(count: float) -> str:
    """So many bytes."""
    return f"{count / 2**20:.0f} MB" if count >= 2**20 else f"{count / 2**10:.1f} KB"


@dataclass(frozen=True, slots=True)
class Row:
    """One measure. `is_added`: what comes on top of the direct way. `busy`: the share of its core that it used."""

    key: str
    label: str
    shown: Callable[[float], str] = duration
    is_added: bool = False
    has_ratio: bool = True
    busy: str = ""


_PACE: Final = f"{PACED_STREAMS} streams, one event every {INTERVAL_SECONDS * 1000:.0f} ms"
ROWS: Final = (
    Row("request.cpu", "CPU a request of 1 KB, not streamed"),
    Row("short.cpu", "CPU a stream of 20 events, begin to end"),
    Row("full.cpu", f"CPU an event, {FULL_STREAMS} streams at full speed"),
    Row("bulk.cpu", f"CPU an event, {FULL_STREAMS} streams in large blocks"),
    Row("paced.cpu", f"CPU an event, {_PACE}"),
    *(Row(f"body {kind}.cpu", f"CPU a request of {kind}") for kind in BODIES if kind != "1 KB"),
    Row("first.p50", "time to the first token, added", is_added=True, has_ratio=False),
    Row("paced.p50", "delay of an event, added, p50", is_added=True, has_ratio=False),
    Row("paced.p99", "delay of an event, added, p99", is_added=True, has_ratio=False),
    Row("stall none.max", "longest delay of an event, added", is_added=True, has_ratio=False),
    *(Row(f"stall {kind}.max", f"the same beside a body of {kind}", is_added=True, has_ratio=False) for kind in STALLS),
    *(
        Row(f"stall {kind}.p99", f"99 % of the events beside {kind}, added", is_added=True, has_ratio=False)
        for kind, (megabytes, _) in STALLS.items()
        if megabytes == _GOAL_MEGABYTES
    ),
    Row("request.per_second", "requests of 1 KB", rate, has_ratio=False, busy="request.busy"),
    Row("full.per_second", "events, each written by itself", rate, has_ratio=False, busy="full.busy"),
    Row("bulk.per_second", "events in large blocks", rate, has_ratio=False, busy="bulk.busy"),
    Row("memory.idle", "resident memory, idle", size, has_ratio=False),
    Row("memory.stream", "resident memory an open stream", size),
    Row(READY, "time to the first answer after the start", has_ratio=False),
)


def report(layout: Cores, results: Sequence[Result]) -> str:
    """The whole text: machine, table, notes."""
    return "\n".join([machine(layout), "", *markdown(table(results)), "", *_notes(results)])


def table(results: Sequence[Result]) -> list[list[str]]:
    """A row for each measure that anybody has, a column for each system."""
    base = {result.system.name: result for result in results}
    shown = [row for row in ROWS if any(row.key in result.rounds for result in results)]
    header = ["", *(f"{result.system.name} {result.system.version}".strip() for result in results)]
    return [header, *([row.label, *(_cell(row, result, base) for result in results)] for row in shown)]


def machine(layout: Cores) -> str:
    """What this was measured on."""
    apart = (
        f"systems on core {layout.system}, upstream and load generator on core {layout.load}"
        if layout.are_apart
        else "ONE CORE FOR ALL: systems, upstream and load generator take it from each other"
    )
    return (
        f"Python {sys.version.split()[0]}, {platform.system()} {platform.release().split('-')[0]}, "
        f"{_processor()} ({platform.machine()}), {os.cpu_count()} cores; {apart}"
    )


def markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table that is also one to the eye; numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| "
        + " | ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        + " |"
        for row in rows
    ]
    rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]) + "|"
    return [lines[0], rule, *lines[1:]]


def _cell(row: Row, result: Result, base: Mapping[str, Result]) -> str:
    value = result.get(row.key)
    if value is None:
        return "-"
    is_base = result.system.name in ("direct", "nginx")
    direct, nginx = (base[name].get(row.key) if name in base else None for name in ("direct", "nginx"))
    text = row.shown(value)
    if row.is_added and direct is not None:
        text = f"({text})" if result.system.name == "direct" else row.shown(max(value - direct, 0.0))
    if row.busy and (result.system.name == "direct" or (result.get(row.busy) or 0.0) < _SATURATED):
        text = f"≥ {text}"
    if spread(result.rounds[row.key]) > _NOISY:
        text = f"~{text}"
    if row.has_ratio and not is_base and nginx:
        text = f"{text} ({times(value / nginx)})"
    return text


def times(ratio: float) -> str:
    """A ratio with two or three digits."""
    return f"{ratio:.0f}×" if ratio >= 10 else f"{ratio:.1f}×"  # noqa: RUF001


def _notes(results: Sequence[Result]) -> list[str]:
    notes = [
        "In brackets: × nginx in the same run; of `direct` the times themselves, which are taken off the others.",  # noqa: RUF001
        "≥: the system did not have or use its whole core, so it may do more. ~: rounds lie more than 25 % apart.",
    ]
    if others := [share for result in results for name in result.rounds for share in _others(result, name)]:
        notes.append(f"Other processes used {median(others):.0%} of the systems' core meanwhile (median).")
    for result in results:
        for problem, count in {text: result.problems.count(text) for text in result.problems}.items():
            notes.append(f"{result.system.name}: {problem}" + (f" ({count} times)" if count > 1 else ""))
        if (held := result.get("paced.per_second")) is not None:
            share = held / (PACED_STREAMS / INTERVAL_SECONDS)
            if share < 0.98:
                notes.append(f"{result.system.name}: could not hold the pace, {share:.0%} of the events came in time")
    return notes


def _others(result: Result, name: str) -> list[float]:
    return result.rounds[name] if name.endswith(".others") else []


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
