"""Runs the cases: the systems side by side, each case on one after the other, round by round; peers one by one."""

import asyncio
import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import uvloop

from benchmarks.load.bench import QUICK, SLOW, Bench, CaseError, Figures, Scale
from benchmarks.load.cases import CASES, NEEDS_PROCESS, ONCE
from benchmarks.load.client import UpstreamControl
from benchmarks.load.figures import median
from benchmarks.load.peers import peers
from benchmarks.load.running import Cores, StartError, cores, settle, started, upstream
from benchmarks.load.targets import System, direct, dragoman, nginx
from benchmarks.load.upstream import Behaviour

READY: Final = "ready"


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured: `only` these cases, with these `settings`, and `against` other source trees.

    `responses` also measures the gateway by way of `/v1/responses`.
    """

    quick: bool = False
    only: Sequence[str] = ()
    with_peers: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    against: Sequence[Path] = ()
    responses: bool = False


@dataclass(slots=True)
class Result:
    """What was measured of one system: every figure once a round, and what went wrong."""

    system: System
    rounds: dict[str, list[float]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, figures: Figures) -> None:
        """Take in the figures of a round."""
        for name, value in figures.items():
            self.rounds.setdefault(name, []).append(value)

    def get(self, name: str) -> float | None:
        """The median of the rounds."""
        return median(self.rounds[name]) if name in self.rounds else None


def run(options: Options) -> tuple[Cores, list[Result]]:
    """Measure, and give the results in the order of the table's columns."""
    layout = cores()
    settle(layout.load)
    scale = QUICK if options.quick else Scale()
    with tempfile.TemporaryDirectory() as folder, upstream(layout.load) as port:
        work = Path(folder)
        control = UpstreamControl(port)
        ours = [
            dragoman(port, work, options.settings),
            *(dragoman(port, work, options.settings, name=root.name, root=root) for root in options.against),
        ]
        if options.responses:
            ours.append(dragoman(port, work, options.settings, name="responses", dialect="responses"))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            session = Session(runner, control, options, layout, work)
            results = session.measure([direct(port), nginx(port, work), *ours], scale)
            for peer in peers(port, work) if options.with_peers else ():
                results += session.measure([peer], SLOW)
    return layout, results


@dataclass(slots=True)
class Session:
    """What all measurements of one run share."""

    runner: asyncio.Runner
    control: UpstreamControl
    options: Options
    layout: Cores
    work: Path

    def measure(self, systems: Sequence[System], scale: Scale) -> list[Result]:
        """Start these systems and run the cases on them, turn and turn about."""
        results = [Result(system) for system in systems]
        with contextlib.ExitStack() as running:
            benches = [(result, bench) for result in results for bench in self._start(result, scale, running)]
            for name in CASES:
                if self.options.only and name not in self.options.only:
                    continue
                for _ in range(1 if name in ONCE else scale.rounds):
                    for result, bench in benches:
                        if bench.running.pid or name not in NEEDS_PROCESS:
                            self.runner.run(self._case(name, result, bench))
        return results

    def _start(self, result: Result, scale: Scale, running: contextlib.ExitStack) -> Iterator[Bench]:
        """Start a system, several times where the time to ready is wanted, and leave it running."""
        system = result.system
        if system.missing:
            result.problems.append(system.missing)
            return
        is_timed = system.command and (not self.options.only or READY in self.options.only)
        try:
            for _ in range(scale.starts - 1 if is_timed else 0):
                with started(system, self.layout.system, self.work) as one:
                    result.add({READY: one.ready_seconds})
            one = running.enter_context(started(system, self.layout.system, self.work))
        except StartError as error:
            result.problems.append(f"did not start: {error}")
            return
        if is_timed:
            result.add({READY: one.ready_seconds})
        yield Bench(one, self.control, scale)

    async def _case(self, name: str, result: Result, bench: Bench) -> None:
        try:
            result.add(await CASES[name](bench))
        except (CaseError, TimeoutError, EOFError, OSError) as error:
            result.problems.append(f"{name}: {error or type(error).__name__}")
        finally:
            result.problems += [f"{name}: {note}" for note in bench.notes]
            bench.notes.clear()
            await self.control.behave(Behaviour())
