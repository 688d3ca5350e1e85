"""`python -m gateway.telemetry.metrics.papers [FOLDER]`: writes dashboard, alerts and the list of metrics there."""

import sys
from pathlib import Path

from gateway.telemetry.metrics.papers.making import PAPERS


def main() -> None:
    """Write all papers, into docs/observability if no other folder is named."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/observability")
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in PAPERS.items():
        (folder / name).write_text(make(), "utf-8")


if __name__ == "__main__":
    main()
