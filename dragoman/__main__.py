"""The `dragoman` command, and `python -m dragoman`.

An installed gateway has its packages `gateway` and `translators` in this folder rather than beside it, because other
projects on PyPI use those names too. In a checkout they are the neighbours of this folder.
"""

import sys
from pathlib import Path


def main() -> int:
    """Run the command line; gives the exit code."""
    here = Path(__file__).resolve().parent
    home = here if (here / "gateway").is_dir() else here.parent
    if str(home) not in sys.path[:1]:
        # First, so that an installed package of the same name is not taken for ours.
        sys.path.insert(0, str(home))
    from gateway.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
