"""Cases by number, what they bring up, and the smallest input that still does."""

import json
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import Final

from tests.fuzz.mutations import sent_events, written_events
from tests.fuzz.targets import Target
from tests.fuzz.trees import copied, parsed, places, put, value_at, written

FOLDER: Final = Path(__file__).resolve().parents[2] / ".fuzz"
# So many attempts to make a finding smaller.
_MOST_ATTEMPTS: Final = 800


@dataclass(frozen=True, slots=True)
class Finding:
    """An input that brings up what must not be; `number` draws the choices of the check."""

    target: Target
    number: int
    data: bytes
    error: BaseException

    @property
    def kind(self) -> tuple[str, str]:
        """What tells one finding from another: the exception, and the line that raised it."""
        frames = traceback.extract_tb(self.error.__traceback__)
        last = frames[-1]
        return type(self.error).__name__, f"{Path(last.filename).name}:{last.lineno}"

    def told(self) -> str:
        """The finding in words, and how to see it again."""
        where = " at ".join(self.kind)
        head = f"{self.target.name}, case {self.number}: {where}: {str(self.error)[:300]}"
        return f"{head}\n  input: {self.data[:600]!r}"


def case(target: Target, number: int, *, is_recorded: bool = False) -> bytes:
    """The input of one case: always the same for the same number, and the same recordings."""
    random = Random(f"{target.name} {number}")
    seeds = target.recorded() if is_recorded else target.seeds()
    return target.mutate(random.choice(seeds), random)


def tried(target: Target, number: int, data: bytes) -> Finding | None:
    """What an input brings up, None where all is well."""
    try:
        target.check(data, Random(f"{target.name} {number} choices"))
    except Exception as error:
        return Finding(target, number, data, error)
    return None


def shrunk(finding: Finding) -> Finding:
    """The same with as little input as can be had within so many attempts."""
    best, attempts, is_smaller = finding, _MOST_ATTEMPTS, True
    while is_smaller and attempts > 0:
        is_smaller = False
        for data in islice(_smaller(best.data), attempts):
            attempts -= 1
            again = tried(best.target, best.number, data)
            if again is not None and again.kind == finding.kind:
                best, is_smaller = again, True
                break
    return best


def _smaller(data: bytes) -> Iterator[bytes]:
    """Inputs that are a little smaller, the boldest first."""
    if b"data:" in data[:200]:
        yield from _smaller_streams(data)
    else:
        yield from _smaller_trees(data)
    size = len(data)
    step = size // 2
    while step >= 1 and size < 4000:
        yield from (data[:at] + data[at + step :] for at in range(0, size, step))
        step //= 2


def _smaller_streams(data: bytes) -> Iterator[bytes]:
    events = sent_events(data)
    plain = Random(0)
    for at in range(len(events)):
        yield written_events(events[:at] + events[at + 1 :], plain)


def _smaller_trees(data: bytes) -> Iterator[bytes]:
    try:
        tree = copied(parsed(data))
    except (ValueError, RecursionError):
        # No JSON, or nested too deeply to be looked into: then bytes are left out.
        return
    for number in range(len(places(tree))):
        copy = copied(tree)
        parent, index = places(copy)[number]
        del parent[index]
        yield written(copy)
    for number in range(len(places(tree))):
        copy = copied(tree)
        parent, index = places(copy)[number]
        value = value_at(parent, index)
        if isinstance(value, str) and len(value) > 1:
            put(parent, index, value[: len(value) // 2])
            yield written(copy)


def saved(finding: Finding) -> Path:
    """The finding as a file, to be tried again with `python -m tests.fuzz --again FILE`."""
    FOLDER.mkdir(exist_ok=True)
    name, line = finding.kind
    path = FOLDER / f"{finding.target.name}-{name}-{line.replace(':', '-')}.json"
    lines = traceback.format_exception(finding.error)
    record = {
        "target": finding.target.name,
        "number": finding.number,
        "input": finding.data.decode("latin-1"),
        "error": "".join(lines)[-6000:],
    }
    path.write_text(json.dumps(record, indent=1), "utf-8")
    return path
