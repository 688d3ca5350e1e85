"""What the gateway weighs: installed size, time until it can be used, resident memory."""

import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

_RUNS = 5
_PAGES_TO_KB = os.sysconf("SC_PAGE_SIZE") // 1024


def footprint() -> Iterator[tuple[str, str]]:
    """Name and figure of each measure."""
    sizes = {found.name: _size_of(found) for found in _with_requirements("dragoman")}
    largest = ", ".join(f"{name} {size / 2**20:.1f}" for name, size in sorted(sizes.items(), key=lambda x: -x[1])[:3])
    total = sum(sizes.values()) / 2**20
    yield "installed, with all dependencies", f"{total:.1f} MB in {len(sizes)} packages (largest: {largest})"
    measured = sorted(_start() for _ in range(_RUNS))
    seconds, idle = measured[_RUNS // 2]
    yield f"time to ready, median of {_RUNS}", f"{seconds:.2f} s"
    yield "resident memory, idle", f"{idle / 1024:.0f} MB"


def _with_requirements(name: str, seen: set[str] | None = None) -> Iterator[Distribution]:
    seen = set() if seen is None else seen
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return
    if found.name in seen:
        return
    seen.add(found.name)
    yield found
    for text in found.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield from _with_requirements(requirement.name, seen)


def _size_of(found: Distribution) -> int:
    """Bytes on disk; of an editable install, those of the source packages."""
    files = [Path(str(file.locate())) for file in found.files or ()]
    if found.name == "dragoman":
        root = Path(__file__).resolve().parents[1]
        files = [path for folder in ("gateway", "translators") for path in (root / folder).rglob("*")]
    return sum(path.stat().st_size for path in files if path.is_file() and path.suffix != ".pyc")


def _start() -> tuple[float, int]:
    """Seconds from the command until the first answer, and the resident memory then in KB."""
    state = tempfile.TemporaryDirectory()
    environ = {**os.environ, "ANTHROPIC_API_KEY": "sk-ant-benchmark", "ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}
    environ["XDG_STATE_HOME"] = state.name
    command = [sys.executable, "-m", "gateway", "serve", "--port", "0"]
    began_at = time.perf_counter()
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        url = next(found[0] for line in process.stdout if (found := re.search(r"http://[\d.:]+", line)))
        urllib.request.urlopen(f"{url}/health").read()
        seconds = time.perf_counter() - began_at
        pages = int(Path(f"/proc/{process.pid}/statm").read_text("ascii").split()[1])
        process.terminate()
        process.stdout.read()
    state.cleanup()
    return seconds, pages * _PAGES_TO_KB
