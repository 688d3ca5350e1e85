"""`python -m benchmarks`: prints every figure with the machine it was measured on."""

import argparse
import os
import platform
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.footprint import footprint
from benchmarks.load.cases import CASES
from benchmarks.load.peers import install
from benchmarks.load.profile import profile
from benchmarks.load.report import report
from benchmarks.load.run import READY, Options, run
from benchmarks.load.soak import soak
from benchmarks.load.targets import parse_settings
from benchmarks.micro import micro
from benchmarks.pool.command import main as pool

_CASES = (*CASES, READY)
_EPILOG = "`python -m benchmarks pool --help`: strategies of load balancing, in simulated time."


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["pool"]:
        pool(given[1:])
        return
    options = _parser().parse_args(given)
    # So that what was started is ended, also where a time limit ends us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.command == "install-peers":
        install()
        return
    if options.command in ("all", "footprint", "micro"):
        print(f"Python {sys.version.split()[0]} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores\n")
    if options.command in ("all", "footprint"):
        _print(footprint())
    if options.command in ("all", "micro"):
        _print(micro(0.1 if options.quick else 0.5))
    settings = parse_settings(options.set)
    if options.command == "soak":
        _print(soak(settings, 10_000 if options.quick else 100_000, 200 if options.quick else 1_000))
    elif options.profile:
        print(profile(settings, options.only or ("request", "event-paced", "event-full")))
    elif options.command in ("all", "load"):
        what = Options(options.quick, options.only, options.peers, settings, options.against, options.responses)
        print("", report(*run(what)), sep="\n")


def _print(figures: Iterable[tuple[str, str]]) -> None:
    for name, figure in figures:
        print(f"{name:<58} {figure}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, epilog=_EPILOG)
    parser.add_argument(
        "command", nargs="?", default="all", choices=("all", "footprint", "micro", "load", "soak", "install-peers")
    )
    parser.add_argument("--quick", action="store_true", help="shorter and rougher")
    parser.add_argument(
        "--only", action="append", default=[], choices=_CASES, metavar="CASE", help=f"of the load: {', '.join(_CASES)}"
    )
    parser.add_argument("--peers", action="store_true", help="also the other gateways that are installed")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the gateway, like log.level=error",
    )
    parser.add_argument(
        "--against", action="append", default=[], type=Path, metavar="PATH", help="another source tree, in the same run"
    )
    parser.add_argument("--responses", action="store_true", help="also by way of /v1/responses, in the same run")
    parser.add_argument("--profile", action="store_true", help="where the time goes, instead of the table")
    return parser


main()
