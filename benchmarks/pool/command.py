"""`python -m benchmarks pool`: what each strategy makes of the same traffic, in simulated time."""

import argparse
import re
from collections.abc import Sequence

from benchmarks.pool import costs as costs_report
from benchmarks.pool.buckets import BURST_SECONDS
from benchmarks.pool.report import headings, headline, row, table
from benchmarks.pool.scenario import Scenario
from benchmarks.pool.simulation import Patience
from benchmarks.pool.strategies import STRATEGIES
from benchmarks.pool.workloads import WORKLOADS
from benchmarks.pool.world import TIERS, Fault

_FAULTS = {fault.name.lower(): fault for fault in Fault}
_ALL_DOWN = "all-down"
_ORGANIZATION = re.compile(rf"({'|'.join(TIERS)}):(\d+)(?:\*(\d+))?")
_DEFAULT = Scenario()
_PATIENCE = Patience()


def main(arguments: Sequence[str]) -> None:
    """Simulate and print."""
    options = _parser().parse_args(arguments)
    if options.caching:
        _print_costs(options)
        return
    for workload in options.workload or ["chat"]:
        scenario = Scenario(
            options.organizations,
            workload,
            options.load,
            _minutes(options),
            options.seed,
            tuple(_FAULTS[name] for name in options.fault if name != _ALL_DOWN),
            _ALL_DOWN in options.fault,
            options.workers,
            options.warm_up,
            options.burst,
            Patience(options.queue_timeout, options.first_byte),
            options.signed,
        )
        print(headline(scenario), flush=True)
        rows = [row(name, scenario, scenario.run(name)) for name in options.strategy or STRATEGIES]
        print("", table([headings(scenario), *rows]), "", sep="\n", flush=True)


def _print_costs(options: argparse.Namespace) -> None:
    """One table for all workloads; organizations and load are those where nothing is refused."""
    rows: list[tuple[str, ...]] = [costs_report.HEADINGS]
    for workload in options.workload or costs_report.WORKLOADS:
        scenario = Scenario(
            costs_report.ORGANIZATIONS,
            workload,
            costs_report.LOAD,
            _minutes(options),
            options.seed,
            warm_up_minutes=options.warm_up,
        )
        rows += costs_report.costs(scenario)
    print(f"{_minutes(options):g} min, seed {options.seed}; tokens a request, dollars a thousand requests")
    print("", table(rows), "", sep="\n", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks pool", description=__doc__)
    parser.add_argument(
        "--organizations",
        type=_organizations,
        default=_DEFAULT.organizations,
        metavar="TIER:KEYS[*TIMES],...",
        help=f"each with its tier ({', '.join(TIERS)}) and its number of keys; start:3,start:2,start:1 unless told",
    )
    parser.add_argument("--workload", action="append", choices=WORKLOADS, help="chat unless told")
    parser.add_argument("--strategy", action="append", choices=STRATEGIES, help="all unless told")
    parser.add_argument("--load", type=float, default=0.95, help="share of the most that the limits allow")
    parser.add_argument("--minutes", type=float, default=10.0, help="simulated, and counted")
    parser.add_argument("--warm-up", type=float, default=_DEFAULT.warm_up_minutes, help="minutes before, not counted")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        choices=[*_FAULTS, _ALL_DOWN],
        help="in the second minute, for a minute, to the first key, host or organization",
    )
    parser.add_argument("--workers", type=int, default=1, help="processes, each with its share of every limit")
    parser.add_argument("--burst", type=float, default=BURST_SECONDS, help="seconds' worth that a bucket holds")
    parser.add_argument("--queue-timeout", type=float, default=_PATIENCE.queue_seconds, help="seconds in the line")
    parser.add_argument("--first-byte", type=float, default=_PATIENCE.first_byte_seconds, help="seconds for a head")
    parser.add_argument("--signed", type=float, default=0.0, help="share of conversations with signed thinking")
    parser.add_argument("--caching", action="store_true", help="what each setting of prompt_caching costs, instead")
    parser.add_argument("--quick", action="store_true", help="two minutes only; four where there is a fault")
    return parser


def _organizations(text: str) -> tuple[tuple[str, int], ...]:
    matches = [_ORGANIZATION.fullmatch(item) for item in text.split(",")]
    found = [match.groups() for match in matches if match is not None]
    if len(found) < len(matches):
        raise argparse.ArgumentTypeError(f"expected TIER:KEYS or TIER:KEYS*TIMES, TIER one of {', '.join(TIERS)}")
    return tuple((tier, int(keys)) for tier, keys, times in found for _ in range(int(times or 1)))


def _minutes(options: argparse.Namespace) -> float:
    # A fault is over after two minutes, and what then comes back wants to be seen.
    quick = 4.0 if options.fault else 2.0
    return quick if options.quick else float(options.minutes)
