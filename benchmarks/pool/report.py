"""A simulation's figures as a table."""

from collections import Counter
from collections.abc import Sequence

from benchmarks.pool.scenario import FAULT_SECONDS, Scenario
from benchmarks.pool.simulation import Simulation
from benchmarks.pool.tally import quantile

_HEADINGS = (
    "strategy",
    "asked/min",
    "answers/min",
    "of max",
    "upstream 429",
    "callers' 429",
    "quiet callers'",
    "failed",
    "wait p50",
    "p99",
    "longest",
    "at home",
    "cached input",
    "$/1000",
)


def headline(scenario: Scenario) -> str:
    """What was simulated."""
    _, most, _ = scenario.traffic
    kinds = Counter(scenario.organizations)
    layout = ", ".join(f"{tier}:{keys}" + (f"*{times}" if times > 1 else "") for (tier, keys), times in kinds.items())
    workers = f" and {scenario.workers} workers" if scenario.workers > 1 else ""
    signed = f", {scenario.signed:.0%} signed" if scenario.signed else ""
    return (
        f"{len(scenario.keys)} keys ({layout}){workers}, workload {scenario.workload}, {scenario.load:.0%} of at most "
        f"{most:,.0f} requests/min, {scenario.minutes:g} min, seed {scenario.seed}{signed}"
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns, as Markdown; figures stand on the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        [
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in rows
    ]
    rule = ["-" * (width - 1) + (":" if place else "-") for place, width in enumerate(widths)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (lines[0], rule, *lines[1:]))


def headings(scenario: Scenario) -> tuple[str, ...]:
    """The names of the columns."""
    return _HEADINGS + (("fault met", "90% within", "back after") if _has_fault(scenario) else ())


def row(strategy: str, scenario: Scenario, simulation: Simulation) -> tuple[str, ...]:
    """The figures of one strategy."""
    tally = simulation.tally
    _, most, _ = scenario.traffic
    per_minute = tally.answers / tally.minutes
    figures = (
        strategy,
        f"{tally.requests / tally.minutes:,.0f}",
        f"{per_minute:,.0f}",
        _percent(per_minute, most),
        f"{tally.limited_upstream:,} ({_percent(tally.limited_upstream, tally.attempts)})",
        f"{tally.limited_callers:,} ({_percent(tally.limited_callers, tally.requests)})",
        _percent(tally.quiet_limited, tally.quiet_requests),
        f"{tally.failed_callers:,}",
        f"{quantile(tally.waits, 0.5):.2f} s",
        f"{quantile(tally.waits, 0.99):.2f} s",
        f"{max(tally.waits, default=0.0):.1f} s",
        _percent(tally.later_turns_at_home, tally.later_turns),
        _percent(tally.read_tokens, tally.input_tokens),
        f"{tally.cost / max(1, tally.answers) * 1000:.2f}",
    )
    return figures + (_fault_figures(scenario, simulation) if _has_fault(scenario) else ())


def _has_fault(scenario: Scenario) -> bool:
    return bool(scenario.faults) or scenario.all_down


def _fault_figures(scenario: Scenario, simulation: Simulation) -> tuple[str, str, str]:
    """How many attempts met the fault, when most had, and how soon after its end its target let a request in."""
    met = [moment - scenario.fault_begins_at for moment, _ in simulation.troubled]
    over_at = scenario.fault_begins_at + FAULT_SECONDS
    befallen = {
        key.name
        for key in scenario.keys
        if any(trouble.concerns(key, scenario.fault_begins_at) for trouble in scenario.world().troubles)
    }
    back = next((moment - over_at for moment, name in simulation.let_in if moment > over_at and name in befallen), None)
    return f"{len(met):,}", f"{quantile(met, 0.9):.1f} s", "never" if back is None else f"{back:.1f} s"


def _percent(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "-"
