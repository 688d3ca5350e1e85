"""`python -m benchmarks`: prints every figure with the machine it was measured on."""

import os
import platform
import sys

from benchmarks.footprint import footprint
from benchmarks.micro import micro


def main() -> None:
    """Measure and print."""
    print(f"Python {sys.version.split()[0]} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores\n")
    for name, figure in (*footprint(), *micro()):
        print(f"{name:<46} {figure}")


main()
