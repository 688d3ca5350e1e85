"""`make fuzz`: looks for what must not be for as long as it is let; each finding is made small and saved."""

import argparse
import json
import random
import time
from pathlib import Path

from tests.fuzz.finding import Finding, case, saved, shrunk, tried
from tests.fuzz.targets import TARGETS, Target

_ROUND = 100


def main() -> int:
    """Fuzz the named targets, or all; the status says whether anything was found."""
    options = _options()
    if options.again is not None:
        return _again(options.again)
    start = random.SystemRandom().randrange(10**9) * 1000 if options.seed is None else options.seed
    print(f"Seed {start}; findings go to .fuzz/. Stop with Ctrl-C.", flush=True)
    targets = [TARGETS[name] for name in options.targets or TARGETS]
    found: dict[tuple[str, str, str], int] = {}
    until = time.monotonic() + options.seconds if options.seconds else float("inf")
    count = 0
    try:
        while time.monotonic() < until:
            for target in targets:
                _round(target, start + count, found)
            count += _ROUND
    except KeyboardInterrupt:
        pass
    print(f"{count} cases of each of {len(targets)} targets: {len(found)} kinds of findings.")
    return 1 if found else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="target", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=float, default=0, help="for how long; until stopped without it")
    parser.add_argument("--seed", type=int, help="the number of the first case")
    parser.add_argument("--again", type=Path, help="try a saved finding again")
    options = parser.parse_args()
    if unknown := set(options.targets) - TARGETS.keys():
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    return options


def _round(target: Target, first: int, found: dict[tuple[str, str, str], int]) -> None:
    for number in range(first, first + _ROUND):
        is_recorded = number % 3 == 0 and bool(target.recorded())
        finding = tried(target, number, case(target, number, is_recorded=is_recorded))
        if finding is not None:
            _report(finding, found)


def _report(finding: Finding, found: dict[tuple[str, str, str], int]) -> None:
    kind = (finding.target.name, *finding.kind)
    found[kind] = found.get(kind, 0) + 1
    if found[kind] == 1:
        small = shrunk(finding)
        print(f"\n{small.told()}\n  saved: {saved(small)}", flush=True)


def _again(path: Path) -> int:
    record = json.loads(path.read_text("utf-8"))
    finding = tried(TARGETS[record["target"]], record["number"], record["input"].encode("latin-1"))
    if finding is None:
        print("Nothing is found any more.")
        return 0
    raise finding.error


if __name__ == "__main__":
    raise SystemExit(main())
